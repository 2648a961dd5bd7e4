"""Running what a searcher hands out: through Ray Tune, or one after another in this process."""

from __future__ import annotations

import functools
import shutil
import uuid
from typing import Any, Protocol

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from raysurf.cluster import trials
from raysurf.cluster.environment import Capacity
from raysurf.cluster.request import Report, Request
from raysurf.cluster.suggestions import Programme


class Handlers(Protocol):
    """Who is told of what happens to the requests."""

    def started(self, request: Request) -> None:
        """A request begins."""
        ...

    def reported(self, request: Request, report: Report) -> None:
        """A request has got on."""
        ...

    def stops(self, request: Request, report: Report) -> bool:
        """Whether a request is to end where it is."""
        ...

    def ended(self, request: Request, report: Report) -> None:
        """A request has ended; ``state`` is done, failed or stopped."""
        ...


class Stops(FIFOScheduler):  # type: ignore[misc]  # ray has no types
    """Tune's scheduler: every trial as soon as it can begin, ended early where the handlers say so."""

    def __init__(self, handlers: Handlers) -> None:
        super().__init__()
        self.handlers = handlers

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its scheduler for a restore that is not used here."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        stops = result.get("state") == "running" and self.handlers.stops(trial.config["request"], result)
        return str(self.STOP if stops else self.CONTINUE)


class Relay(tune.Callback):  # type: ignore[misc]  # ray has no types
    """Turns Tune's callbacks into ours. A request that Tune starts again after a lost worker is told once."""

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers
        self._started: set[str] = set()
        self._last: dict[str, Report] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore that is not used here."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if trial.trial_id not in self._started:
            self._started.add(trial.trial_id)
            self.handlers.started(trial.config["request"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self._last[trial.trial_id] = result
        if result.get("state") == "running":
            self.handlers.reported(trial.config["request"], result)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        last = self._last.get(trial.trial_id, {})
        if last.get("state") not in ("done", "failed"):
            last = {**last, "state": "stopped"}
        self.handlers.ended(trial.config["request"], last)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        error = f"the worker process was lost: {str(trial.get_error()).strip().splitlines()[-1]}"
        self.handlers.ended(trial.config["request"], {"state": "failed", "error": error})


def run_in_tune(programme: Programme, capacity: Capacity, storage: str, handlers: Handlers) -> None:
    """Run the requests of a programme in Tune trials.

    A job of one worker is a function trial whose process is used again for the next. A job of more is a Ray Train
    group inside its trial; that trial holds no CPU, and no more run beside one another than there are CPUs for, so
    that trials and workers cannot wait for each other for ever.

    Args:
        programme: Hands out requests that all need the same resources.
        capacity: What the cluster has.
        storage: Folder for Ray's own files.
        handlers: Told of everything.
    """
    resources = programme.stage.resources
    grouped = resources.workers > 1
    if grouped:
        needs: dict[str, float] = {"cpu": 0, "memory": trials.DRIVER_MEMORY}
    else:
        needs = {"cpu": resources.cpus} | ({"gpu": resources.gpus} if resources.gpus else {})
    trainable = trials.group if grouped else trials.single
    tuner = tune.Tuner(
        tune.with_resources(trainable, needs),
        param_space={"storage": storage},
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=programme,
            scheduler=Stops(handlers),
            max_concurrent_trials=capacity.trials_at_once(resources) if grouped else None,
            reuse_actors=not grouped,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{uuid.uuid4().hex[:8]}",
            storage_path=storage,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=2),
            callbacks=[Relay(handlers)],
        ),
    )
    tuner.fit()


class _StoppedEarly(BaseException):
    """Ends a job from within; no failure, so that nothing on the way takes it for one."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


def _tell(handlers: Handlers, request: Request, report: Report) -> None:
    handlers.reported(request, report)
    if handlers.stops(request, report):
        raise _StoppedEarly(report)


def run_inline(programme: Programme, handlers: Handlers) -> None:
    """Run every request of a programme in this process, one after another, on its GPU if there is one."""
    import torch

    from raysurf.cluster.perform import perform
    from raysurf.training.workers import Workers

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = torch.get_num_threads()
    number = 0
    while isinstance(config := programme.suggest(str(number)), dict):
        request: Request = config["request"]
        handlers.started(request)
        torch.set_num_threads(request.resources.cpus)
        try:
            workers = Workers(0, 1, device)
            last = perform(request, workers, functools.partial(_tell, handlers, request))
        except _StoppedEarly as stopped:
            last = {**stopped.report, "state": "stopped"}
        finally:
            torch.set_num_threads(threads)
        handlers.ended(request, last)
        programme.on_trial_complete(str(number), last)
        number += 1


def remove_storage(path: str) -> None:
    """Remove Ray's own files of a run that has ended; what raysurf needs is in its store."""
    shutil.rmtree(path, ignore_errors=True)

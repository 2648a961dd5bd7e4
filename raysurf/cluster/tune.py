"""Running what a searcher hands out: through Ray Tune, or one after another in this process."""

from __future__ import annotations

import functools
import gc
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from raysurf.cluster import train_group
from raysurf.cluster.capacity import Capacity
from raysurf.cluster.ray_patches import asking_ahead, every_process_stays, nothing_secret_is_handed_on
from raysurf.cluster.searchers import Programme
from raysurf.cluster.shutdown import Farewell, Leaving, in_this_process
from raysurf.cluster.task import PREEMPTIONS, Report, Request
from raysurf.errors import PreemptedError, RaysurfError, StoreUnavailableError, TimeLimitError
from raysurf.redaction import redact
from raysurf.results.error_text import LOST, one_line
from raysurf.store.filesystem import MAKE_ROOM, is_full
from raysurf.sweep.sweep import Resources

if TYPE_CHECKING:
    from raysurf.training.workers import Workers


class PassingError(RuntimeError):
    """A failure that has been reported, and that another try may do away with."""


def single(config: dict[str, Any]) -> None:
    """A Tune function trial: the jobs of one request on one worker."""
    from raysurf.cluster.shutdown import of_ray_worker

    # Before the imports, which take longer than it does.
    notices = of_ray_worker()
    import torch
    from ray import tune

    from raysurf.cluster.task import perform
    from raysurf.training.workers import Workers

    request: Request = config["request"]
    torch.set_num_threads(request.resources.cpus)
    device = torch.device("cuda" if request.resources.gpus else "cpu")
    if request.time_limit_s is not None:
        tune.report({"state": "begun", "number": request.number})
    with notices.working():
        last = perform(request, Workers(0, 1, device, notices.is_told), tune.report)
    if last.get("passing"):
        tune.report(last)
        # Tune tries it again, in a new process.
        raise PassingError(last["error"])
    # That this is the last report need not be asked.
    tune.report({**last, "done": True})


LONGEST = 500
# Bytes that a trial with a Train group asks for, since it may not ask for nothing.
TRIAL_MEMORY = 300e6


class Handlers(Protocol):
    """Who is told of what happens to the requests, and may ask for an early end."""

    leaving: Leaving

    def notice(self, text: str) -> None:
        """One line for the user."""
        ...

    def ahead(self, capacity: Capacity, resources: Resources) -> int:
        """How many trials may run and wait for room at a time."""
        ...

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
        # A group would be started again.
        stops = stops or ("preempted" in result and self.handlers.leaving.asked)
        return str(self.STOP if stops else self.CONTINUE)


class Relay(tune.Callback):  # type: ignore[misc]  # ray has no types
    """Turns Tune's callbacks into ours. A request that Tune starts again after a lost worker is told once.

    One that was preempted is started again too, and that is no use of its ``retries``.

    A process that has not answered for ``GRACE_S`` after its request's time limit is killed. Time counts from when the
    request has begun in it, not while it starts and imports.
    """

    GRACE_S = 5.0

    def __init__(self, handlers: Handlers, farewell: Farewell) -> None:
        self.handlers, self.farewell = handlers, farewell
        self._preempted: Counter[str] = Counter()
        self._started: set[str] = set()
        self._last: dict[str, Report] = {}
        self._limited: dict[str, tuple[float, Trial]] = {}
        self._killed: set[str] = set()
        self._groups: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore that is not used here."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        request: Request = trial.config["request"]
        trial.max_failures = request.retries + self._preempted[trial.trial_id]
        if trial.trial_id not in self._started:
            self._started.add(trial.trial_id)
            self.handlers.started(request)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self._last[trial.trial_id] = result
        if result.get("group"):
            self._groups[trial.trial_id] = result["group"]
        request: Request = trial.config["request"]
        is_on = result.get("state") in ("begun", "running")
        if request.time_limit_s is not None and is_on and trial.trial_id not in self._limited:
            self._limited[trial.trial_id] = (time.monotonic() + request.time_limit_s + self.GRACE_S, trial)
        goes_on = "preempted" in result and not self.farewell.leaving.asked
        if goes_on and self._preempted[trial.trial_id] < PREEMPTIONS:
            self._preempted[trial.trial_id] += 1
            trial.max_failures += 1
            self._limited.pop(trial.trial_id, None)
        if result.get("state") == "running" or goes_on:
            self.handlers.reported(request, result)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.farewell.look(trials)
        now = time.monotonic()
        overdue = [trial for until, trial in self._limited.values() if now > until]
        for trial in overdue:
            del self._limited[trial.trial_id]
            if (process := trial.temporary_state.ray_actor) is not None:
                self._killed.add(trial.trial_id)
                trial.max_failures = trial.num_failures
                ray.kill(process)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._release(trial.trial_id)
        self._last.pop(trial.trial_id, None)
        self._limited.pop(trial.trial_id, None)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._limited.pop(trial.trial_id, None)
        last = self._last.get(trial.trial_id, {})
        if last.get("state") not in ("done", "failed"):
            last = {**last, "state": "stopped"}
        self.handlers.ended(trial.config["request"], last)

    def _release(self, trial_id: str) -> None:
        """Remove what a Train group holds whose trial's process is lost."""
        if (group := self._groups.pop(trial_id, None)) is not None:
            train_group.release(group)

    def release_all(self) -> None:
        """Remove what the Train groups of all trials hold; their processes have ended."""
        for group in set(self._groups.values()):
            train_group.release(group)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._release(trial.trial_id)
        self._limited.pop(trial.trial_id, None)
        request: Request = trial.config["request"]
        last = self._last.get(trial.trial_id, {})
        if last.get("state") != "failed":
            error = _error_of(trial)
            if trial.trial_id in self._killed:
                assert request.time_limit_s is not None
                error = one_line(TimeLimitError(request.time_limit_s, "with its process, which did not answer"))
            last = {"state": "failed", "error": error, "lost": True}
        self.handlers.ended(request, last)


class Silent(tune.ProgressReporter):  # type: ignore[misc]  # ray has no types
    """Shows nothing: Tune's own reporter would clear a notebook's cell, ``verbose=0`` or not."""

    def should_report(self, trials: list[Trial], done: bool = False) -> bool:
        return False

    def report(self, trials: list[Trial], done: bool, *sys_info: str) -> None:
        """Never called."""


class Ends(tune.Stopper):  # type: ignore[misc]  # ray has no types
    """Ends Tune's run when its processes have left."""

    def __init__(self, farewell: Farewell) -> None:
        self.farewell = farewell

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles it for a restore that is not used here."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.farewell.is_over


def _error_of(trial: Trial) -> str:
    """What Tune has written down of a trial's last error, as a line."""
    path = Path(trial.error_file) if trial.error_file else None
    text = path.read_text(errors="replace") if path is not None and path.exists() else ""
    lines = text.rpartition("Failure # ")[2].partition("\n")[2].strip().splitlines()
    if lines and lines[0].startswith("ray::"):
        # A traceback, which ends with what was raised.
        return redact(lines[-1])
    said = " ".join(line for line in lines if line and not line.startswith("\t")) or "nothing is known of it"
    return f"{LOST}{redact(said)[:LONGEST]}"


def run_in_tune(programme: Programme, capacity: Capacity, storage: str, handlers: Handlers) -> None:
    """Run the requests of a programme in Tune trials.

    A job of one worker is a function trial whose process is used again for the next. A job of more is done by a Ray
    Train group that lives in the trial's process, and goes on with the next; that trial holds no CPU, and no more run
    beside one another than there are CPUs for, so that trials and workers cannot wait for each other for ever.

    Args:
        programme: Hands out requests that all need the same resources.
        capacity: What the cluster has.
        storage: Folder for Ray's own files.
        handlers: Told of everything.

    Raises:
        RaysurfError: What the handlers or the programme raised; it ends everything that runs.
    """
    resources = programme.stage.resources
    grouped = resources.most_workers > 1
    if grouped:
        needs: dict[str, float] = {"cpu": 0, "memory": TRIAL_MEMORY}
    else:
        needs = {"cpu": resources.cpus} | ({"gpu": resources.gpus} if resources.gpus else {})
    trainable = train_group.group if grouped else single
    farewell = Farewell(handlers.leaving, grouped, handlers.notice)
    relay = Relay(handlers, farewell)
    tuner = tune.Tuner(
        tune.with_resources(trainable, needs),
        param_space={"storage": storage, "grows": capacity.growth is not None},
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=programme,
            scheduler=Stops(handlers),
            max_concurrent_trials=capacity.trials_at_once(resources) if grouped else None,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{uuid.uuid4().hex[:8]}",
            storage_path=storage,
            verbose=0,
            progress_reporter=Silent(),
            failure_config=tune.FailureConfig(max_failures=2),
            callbacks=[relay],
            stop=Ends(farewell),
        ),
    )
    try:
        with (
            undisguised(storage),
            every_process_stays(),
            nothing_secret_is_handed_on(),
            asking_ahead(handlers.ahead(capacity, resources)),
        ):
            tuner.fit()
    finally:
        relay.release_all()


@contextmanager
def undisguised(storage: str) -> Iterator[None]:
    """Let an error of ours that Tune has wrapped into one of its own come out as it was, and a full disk as one."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, RaysurfError):
            if isinstance(cause, OSError) and is_full(cause):
                raise StoreUnavailableError(storage, "no space left for Ray's own files", MAKE_ROOM) from error
            cause = cause.__cause__ or cause.__context__
        if cause is None or cause is error:
            raise
        raise cause from None


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
    """Run every request of a programme in this process, one after another, on its GPU if there is one.

    Of what runs out of its time limit, training and measuring are ended at the next epoch or point; nothing else is.

    Raises:
        PreemptedError: If the process got SIGTERM, of which nobody else takes care; the same again goes on.
    """
    import torch

    from raysurf.training.workers import Workers

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    number = 0
    with in_this_process() as is_told:
        while isinstance(config := programme.suggest(str(number)), dict):
            request: Request = config["request"]
            handlers.started(request)
            last = _tried(request, Workers(0, 1, device, is_told), handlers)
            handlers.ended(request, last)
            programme.on_trial_complete(str(number), last)
            number += 1


def _tried(request: Request, workers: Workers, handlers: Handlers) -> Report:
    """The last report of a request, done in this process, after as many tries as it needs and may have."""
    import torch

    from raysurf.cluster.task import perform

    threads = torch.get_num_threads()
    torch.set_num_threads(request.resources.cpus)
    try:
        for _ in range(request.retries + 1):
            last = perform(request, workers, functools.partial(_tell, handlers, request))
            if "preempted" in last:
                raise PreemptedError(*last["preempted"])
            if not last.get("passing"):
                break
            gc.collect()
            torch.cuda.empty_cache()
    except _StoppedEarly as stopped:
        last = {**stopped.report, "state": "stopped"}
    finally:
        torch.set_num_threads(threads)
    return last

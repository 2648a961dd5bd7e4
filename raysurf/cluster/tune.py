"""Run the tasks of a queue: through Ray Tune, or one after another in this process."""

from __future__ import annotations

import gc
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.exceptions import RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from raysurf.cluster import train_group
from raysurf.cluster.capacity import Capacity
from raysurf.cluster.ray_patches import keep_idle_actors, no_credentials_handed_on, release, start_actors_in_parallel
from raysurf.cluster.searchers import TrialQueue
from raysurf.cluster.shutdown import WorkerShutdown, in_this_process, of_ray_worker
from raysurf.cluster.task import PREEMPTIONS, Report, Task, run_task
from raysurf.cluster.trial_events import Recorder
from raysurf.errors import PreemptedError, RaysurfError, StoreUnavailableError, TimeLimitError
from raysurf.failure import Failure, message_of
from raysurf.store.retry import MAKE_ROOM, is_full

if TYPE_CHECKING:
    from raysurf.training.workers import Workers

LONGEST = 500
# Bytes that a trial with a Train group asks for, since it may not ask for nothing.
TRIAL_MEMORY = 300e6


class PassingError(RuntimeError):
    """A failure that has been reported, and that another try may do away with."""


def single(config: dict[str, Any]) -> None:
    """A Tune function trial: one task on one worker."""
    # Before the imports, which take longer than it does.
    notice = of_ray_worker()
    import torch

    from raysurf.training.workers import Workers

    task: Task = config["task"]
    torch.set_num_threads(task.resources.cpus)
    device = torch.device("cuda" if task.resources.gpus else "cpu")
    if task.time_limit_s is not None:
        tune.report({"state": "begun", "number": task.number})
    with notice.working():
        last = run_task(task, Workers(0, 1, device, notice.is_set), tune.report)
    if last.get("passing"):
        tune.report(last)
        # Tune tries it again, in a new process.
        raise PassingError(str(last["failure"]))
    # That this is the last report need not be asked.
    tune.report({**last, "done": True})


class _NotKept:
    """What Tune pickles for a restore that is not used here."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Stops(_NotKept, FIFOScheduler):  # type: ignore[misc]  # ray has no types
    """Tune's scheduler: every trial as soon as it can begin, ended early where its events say so."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        stops = result.get("state") == "running" and self.recorder.stops(trial.config["task"], result)
        # A group would be started again.
        stops = stops or ("preempted" in result and self.recorder.shutdown.requested)
        return str(self.STOP if stops else self.CONTINUE)


@dataclass
class _Tracked:
    """What is known of a Tune trial: its last report, and what its Train group holds."""

    last: Report = field(default_factory=dict)
    is_started: bool = False
    is_killed: bool = False
    preempted: int = 0
    held: str | None = None

    def release(self) -> None:
        """Remove what a Train group holds whose trial's process is gone."""
        if self.held is not None:
            release(self.held)
        self.held = None


class Relay(_NotKept, tune.Callback):  # type: ignore[misc]  # ray has no types
    """Passes Tune's callbacks to the recorder. A task that Tune starts again after a lost worker begins once.

    One that was preempted is started again too, and that is no use of its ``retries``.

    A process that has not answered for ``GRACE_S`` after its task's time limit is killed. Time counts from when the
    task has begun in it, not while it starts and imports.
    """

    GRACE_S = 5.0

    def __init__(self, recorder: Recorder, worker_shutdown: WorkerShutdown) -> None:
        self.recorder, self.worker_shutdown = recorder, worker_shutdown
        self._tracked: defaultdict[str, _Tracked] = defaultdict(_Tracked)
        self._deadlines: dict[Trial, float] = {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        task, tracked = trial.config["task"], self._tracked[trial.trial_id]
        trial.max_failures = task.retries + tracked.preempted
        if not tracked.is_started:
            tracked.is_started = True
            self.recorder.started(task)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        task, tracked = trial.config["task"], self._tracked[trial.trial_id]
        tracked.last = result
        tracked.held = result.get("group") or tracked.held
        is_on = result.get("state") in ("begun", "running")
        if task.time_limit_s is not None and is_on:
            self._deadlines.setdefault(trial, time.monotonic() + task.time_limit_s + self.GRACE_S)
        goes_on = "preempted" in result and not self.recorder.shutdown.requested
        if goes_on and tracked.preempted < PREEMPTIONS:
            tracked.preempted += 1
            trial.max_failures += 1
            self._deadlines.pop(trial, None)
        if result.get("state") == "running" or goes_on:
            self.recorder.reported(task, result)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.worker_shutdown.look(trials)
        now = time.monotonic()
        for trial in [trial for trial, deadline in self._deadlines.items() if now > deadline]:
            del self._deadlines[trial]
            if (process := trial.temporary_state.ray_actor) is not None:
                self._tracked[trial.trial_id].is_killed = True
                trial.max_failures = trial.num_failures
                ray.kill(process)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        tracked = self._tracked[trial.trial_id]
        tracked.release()
        tracked.last = {}
        self._deadlines.pop(trial, None)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        tracked = self._tracked[trial.trial_id]
        self._deadlines.pop(trial, None)
        is_ended = tracked.last.get("state") in ("done", "failed")
        self.recorder.ended(trial.config["task"], tracked.last if is_ended else {**tracked.last, "state": "stopped"})

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        task, tracked = trial.config["task"], self._tracked[trial.trial_id]
        tracked.release()
        self._deadlines.pop(trial, None)
        last = tracked.last
        if last.get("state") != "failed":
            failure = _failure_of(trial)
            if tracked.is_killed:
                failure = Failure.of(TimeLimitError(task.time_limit_s, "with its process, which did not answer"))
            last = {"state": "failed", "failure": failure, "lost": True}
        self.recorder.ended(task, last)

    def release_all(self) -> None:
        """Remove what the Train groups of all trials hold; their processes have ended."""
        for held in {tracked.held for tracked in self._tracked.values() if tracked.held is not None}:
            release(held)


class Silent(tune.ProgressReporter):  # type: ignore[misc]  # ray has no types
    """Shows nothing: Tune's own reporter would clear a notebook's cell, ``verbose=0`` or not."""

    def should_report(self, trials: list[Trial], done: bool = False) -> bool:
        return False

    def report(self, trials: list[Trial], done: bool, *sys_info: str) -> None:
        """Never called."""


class Ends(_NotKept, tune.Stopper):  # type: ignore[misc]  # ray has no types
    """Ends Tune's run when its processes have left."""

    def __init__(self, worker_shutdown: WorkerShutdown) -> None:
        self.worker_shutdown = worker_shutdown

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.worker_shutdown.is_over


def _failure_of(trial: Trial) -> Failure:
    """The failure that Tune has kept of a trial's last error."""
    path = Path(trial.pickled_error_file) if trial.pickled_error_file else None
    error = ray.cloudpickle.loads(path.read_bytes()) if path is not None and path.exists() else None
    if isinstance(error, RayTaskError):
        return Failure.of(error.cause)
    lines = "" if error is None else message_of(error).splitlines()
    said = " ".join(line for line in lines if line and not line.startswith("\t")) or "nothing is known of it"
    return Failure.lost(error, said[:LONGEST])


def run_in_tune(queue: TrialQueue, capacity: Capacity, storage: str, recorder: Recorder, ahead: int) -> None:
    """Run the tasks of a queue in Tune trials.

    A job of one worker is a function trial whose process is used again for the next. A job of more is done by a Ray
    Train group that lives in the trial's process, and goes on with the next; that trial holds no CPU, and no more run
    beside one another than there are CPUs for, so that trials and workers cannot wait for each other for ever.

    Args:
        queue: Hands out tasks that all need the same resources.
        capacity: What the cluster has.
        storage: Folder for Ray's own files.
        recorder: Records everything.
        ahead: How many trials may run and wait for room at a time.

    Raises:
        RaysurfError: What the recorder or the queue raised; it ends everything that runs.
    """
    resources = queue.stage.resources
    grouped = resources.most_workers > 1
    if grouped:
        needs: dict[str, float] = {"cpu": 0, "memory": TRIAL_MEMORY}
    else:
        needs = {"cpu": resources.cpus} | ({"gpu": resources.gpus} if resources.gpus else {})
    worker_shutdown = WorkerShutdown(recorder.shutdown, grouped, recorder.notice)
    relay = Relay(recorder, worker_shutdown)
    tuner = tune.Tuner(
        tune.with_resources(train_group.group if grouped else single, needs),
        param_space={"storage": storage, "grows": capacity.growth is not None},
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=queue,
            scheduler=Stops(recorder),
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
            stop=Ends(worker_shutdown),
        ),
    )
    try:
        with unwrapped(storage), keep_idle_actors(), no_credentials_handed_on(), start_actors_in_parallel(ahead):
            tuner.fit()
    finally:
        relay.release_all()


@contextmanager
def unwrapped(storage: str) -> Iterator[None]:
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


def run_inline(queue: TrialQueue, recorder: Recorder) -> None:
    """Run every task of a queue in this process, one after another, on its GPU if there is one.

    Of what runs out of its time limit, training and measuring are ended at the next epoch or point; nothing else is.

    Raises:
        PreemptedError: If the process got SIGTERM, of which nobody else takes care; the same again goes on.
    """
    import torch

    from raysurf.training.workers import Workers

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    number = 0
    with in_this_process() as is_leaving:
        while isinstance(config := queue.suggest(str(number)), dict):
            task: Task = config["task"]
            recorder.started(task)
            last = _tried(task, Workers(0, 1, device, is_leaving), recorder)
            recorder.ended(task, last)
            queue.on_trial_complete(str(number), last)
            number += 1


def _tried(task: Task, workers: Workers, recorder: Recorder) -> Report:
    """The last report of a task, done in this process, after as many tries as it needs and may have."""
    import torch

    def progressed(report: Report) -> None:
        recorder.reported(task, report)
        if recorder.stops(task, report):
            raise _StoppedEarly(report)

    threads = torch.get_num_threads()
    torch.set_num_threads(task.resources.cpus)
    try:
        for _ in range(task.retries + 1):
            last = run_task(task, workers, progressed)
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

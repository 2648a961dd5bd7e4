"""Worker tasks: what the driver hands out, and its execution on a worker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raysurf import own_code
from raysurf.cluster.trial_table import trial_values
from raysurf.errors import ChangedError, PreemptedError, StoreUnavailableError, TimeLimitError
from raysurf.failure import PASSING, Failure
from raysurf.jobs.context import Progress
from raysurf.jobs.execute import execute, execute_piece
from raysurf.jobs.job import Job
from raysurf.jobs.provenance import Labels
from raysurf.store.store import Store
from raysurf.sweep.sweep import Resources
from raysurf.training.workers import Workers

# A task that has been preempted so often is not preempted any more, but has lost its process.
PREEMPTIONS = 100
# Errors that all workers of a group raise together.
MET_BY_ALL = (ArithmeticError, ValueError, TimeLimitError, PreemptedError)


@dataclass(frozen=True)
class Task:
    """A trial, or an input: jobs to be done, and which of their metrics are searched.

    Args:
        number: The trial's number in its sweep, or the input's place in its wave.
        label: Its name for people.
        jobs: One a seed.
        labels: What its runs are called in the tables.
        store: Address of the result store.
        resources: What each job runs on.
        metrics: What is searched for; none for inputs.
        every_epoch: Whether a scheduler wants to see every epoch.
        folder: The driver's working folder, in which relative paths and dotted-path models are looked for.
        beside: The sweep file's, in which such models are looked for too; relative if it lies in the working folder.
        accept_changed: Whether what is stored may be of another network or other data than there are now.
        fault: Why these are no valid jobs, if they are not.
        replicate: Whether it is one seed of a trial, run beforehand so that seeds run beside one another.
        points: If any, only these points of the one job, which is a measuring one, are to be measured.
        retries: How many times it is tried again if its process was lost, or ran out of memory.
        time_limit_s: Seconds after which it is ended; None for never.
    """

    number: int
    label: str
    jobs: tuple[Job, ...]
    labels: Labels
    store: str
    resources: Resources
    metrics: tuple[str, ...] = ()
    every_epoch: bool = False
    folder: str = "."
    fault: Failure | None = None
    replicate: bool = False
    points: tuple[int, ...] = ()
    retries: int = 0
    time_limit_s: float | None = None
    beside: str = ""
    accept_changed: bool = False


Report = dict[str, Any]


def run_task(task: Task, workers: Workers, tell: Callable[[Report], None], alone: bool = True) -> Report:
    """Do a task's jobs one after another.

    Args:
        task: What to do.
        workers: This process's place in its group.
        tell: Given a report after an epoch or point, not more often than twice a second unless every one is wanted, and
            one when a job is waited for that another process does.
        alone: Whether there is no group; errors that one worker of a group may meet by itself are let through, so that
            Ray Train ends the others and tries again.

    Returns:
        The last report: ``state`` done or failed, ``values`` and ``std`` of the trial, ``metrics`` of the last job,
        ``failure``, and ``passing`` if another try may do away with it. If the store is to blame, ``unavailable`` has
        the arguments of the StoreUnavailableError; if it had to leave, ``preempted`` those of the PreemptedError;
        if what is stored was of something else, ``changed`` those of the ChangedError.
    """
    if task.fault is not None:
        return {"state": "failed", "failure": task.fault, "number": task.number}
    if os.path.isdir(task.folder):
        os.chdir(task.folder)
    if task.beside:
        own_code.look_in(task.beside)
    reported_at, waits_for, began = 0.0, "", time.monotonic()

    def progress(at: Progress) -> None:
        nonlocal reported_at, waits_for
        limit_s = task.time_limit_s
        if limit_s is not None and workers.agree(time.monotonic() - began > limit_s):
            raise TimeLimitError(limit_s, f"after {at.epoch} of {at.epochs} of {at.run_id}")
        value = at.metrics.get(task.metrics[0]) if len(task.metrics) == 1 else None
        wanted = (task.every_epoch and value is not None) or at.waits_for != waits_for
        if workers.agree(wanted or (not waits_for and time.monotonic() - reported_at > 0.5)):
            reported_at, waits_for = time.monotonic(), at.waits_for
            if task.every_epoch and value is not None:
                # What is decided with a value is decided again from the rows.
                at.flush()
            report = {"state": "running", "number": task.number, "run_id": at.run_id, "metrics": dict(at.metrics)}
            report |= {"epoch": at.epoch, "epochs": at.epochs} | ({} if value is None else {"value": value})
            if waits_for:
                notice = f"{at.run_id} is being done by {waits_for}; waiting for it"
                tell(report | {"notice": notice, "notice_of": at.run_id})
            else:
                tell(report | ({"notice": notices.pop()} if notices else {}))

    notices: list[str] = []
    store = Store(task.store, known=True, tell=notices.append)
    metrics: list[Mapping[str, float]] = []
    if task.points:
        try:
            (job,) = task.jobs
            sweep, accept = task.labels.sweep, task.accept_changed
            execute_piece(job, store, workers, progress, task.points, sweep, accept)  # type: ignore[arg-type]
        except Exception as error:
            return failed(task, error)
        return {"state": "done", "number": task.number}
    for job in task.jobs:
        try:
            metrics.append(execute(job, store, workers, progress, task.labels, task.accept_changed))
        except Exception as error:
            # The other workers of a group have not met what one of them meets by itself, and would wait for it.
            if not alone and (not isinstance(error, MET_BY_ALL) or isinstance(error, StoreUnavailableError)):
                raise
            return failed(task, error)
    last = {"state": "done", "number": task.number, "metrics": dict(metrics[-1])}
    values, std = trial_values(task.metrics, metrics)
    return last | {"values": values, "std": std}


def failed(task: Task, error: Exception) -> Report:
    """The last report of a task that an error has ended."""
    failure = Failure.of(error)
    report = {"state": "failed", "number": task.number, "failure": failure, "passing": failure.kind in PASSING}
    if isinstance(error, PreemptedError):
        return report | {"preempted": error.args, "lost": True}
    if isinstance(error, ChangedError):
        return report | {"changed": error.args}
    return report | ({"unavailable": error.args} if isinstance(error, StoreUnavailableError) else {})

"""Worker tasks: what the driver hands out, and its execution on a worker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from raysurf import own_code
from raysurf.errors import ChangedError, PreemptedError, StoreUnavailableError, TimeLimitError, message_of
from raysurf.jobs.context import Progress
from raysurf.jobs.execute import execute, execute_piece
from raysurf.jobs.job import Job
from raysurf.jobs.provenance import Labels
from raysurf.results.error_text import PASSING, kind_of, one_line
from raysurf.store.store import Store
from raysurf.sweep.sweep import Resources
from raysurf.training.workers import Workers

# A request that has been preempted so often is not preempted any more, but has lost its process.
PREEMPTIONS = 100


@dataclass(frozen=True)
class Request:
    """A trial, or an input: jobs to be done, and what is made of their figures.

    Args:
        number: The trial's number in its sweep, or the input's place in its wave.
        label: Its name for people.
        jobs: One a seed.
        labels: What its runs are called in the tables.
        store: Address of the result store.
        resources: What each job runs on.
        metrics: The figures that are searched; none for inputs.
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
    fault: str | None = None
    replicate: bool = False
    points: tuple[int, ...] = ()
    retries: int = 0
    time_limit_s: float | None = None
    beside: str = ""
    accept_changed: bool = False

    def values(self, figures: list[Mapping[str, float]]) -> tuple[float, ...] | None:
        """The mean of each searched figure over the seeds; None if there is none to be had."""
        found = [[each[metric] for each in figures if metric in each] for metric in self.metrics]
        return tuple(map(mean, found)) if found and all(found) else None


Report = dict[str, Any]


def perform(request: Request, workers: Workers, tell: Callable[[Report], None], alone: bool = True) -> Report:
    """Do a request's jobs one after another.

    Args:
        request: What to do.
        workers: This process's place in its group.
        tell: Given a report after an epoch or point, not more often than twice a second unless every one is wanted, and
            one when a job is waited for that somebody else does.
        alone: Whether there is no group; errors that one worker of a group may meet by itself are let through, so that
            Ray Train ends the others and tries again.

    Returns:
        The last report: ``state`` done or failed, ``values`` (``value`` if it is but one), ``figures`` of the last job,
        ``error``, and ``passing`` if another try may do away with it. If the store is to blame, ``unavailable`` has the
        arguments of the StoreUnavailableError; if it was told to leave, ``preempted`` those of the PreemptedError; if
        what is stored was of something else, ``changed`` those of the ChangedError.
    """
    if request.fault is not None:
        return {"state": "failed", "error": request.fault, "number": request.number}
    if os.path.isdir(request.folder):
        os.chdir(request.folder)
    if request.beside:
        own_code.look_in(request.beside)
    told, waits_for, began = 0.0, "", time.monotonic()

    def progress(at: Progress) -> None:
        nonlocal told, waits_for
        limit_s = request.time_limit_s
        if limit_s is not None and workers.agree(time.monotonic() - began > limit_s):
            raise TimeLimitError(limit_s, f"after {at.epoch} of {at.epochs} of {at.run_id}")
        value = at.figures.get(request.metrics[0]) if len(request.metrics) == 1 else None
        wanted = (request.every_epoch and value is not None) or at.waits_for != waits_for
        if workers.agree(wanted or (not waits_for and time.monotonic() - told > 0.5)):
            told, waits_for = time.monotonic(), at.waits_for
            if request.every_epoch and value is not None:
                # What is decided with a figure is decided again from the rows.
                at.flush()
            report = {"state": "running", "number": request.number, "run_id": at.run_id, "figures": dict(at.figures)}
            report |= {"epoch": at.epoch, "epochs": at.epochs} | ({} if value is None else {"value": value})
            if waits_for:
                notice = f"{at.run_id} is being done by {waits_for}; waiting for it"
                tell(report | {"notice": notice, "notice_of": at.run_id})
            else:
                tell(report | ({"notice": notices.pop()} if notices else {}))

    notices: list[str] = []
    store = Store(request.store, known=True, tell=notices.append)
    figures: list[Mapping[str, float]] = []
    if request.points:
        try:
            (job,) = request.jobs
            sweep, accept = request.labels.sweep, request.accept_changed
            execute_piece(job, store, workers, progress, request.points, sweep, accept)  # type: ignore[arg-type]
        except Exception as error:
            return failed(request, error)
        return {"state": "done", "number": request.number, "error": None}
    for job in request.jobs:
        try:
            figures.append(execute(job, store, workers, progress, request.labels, request.accept_changed))
        except StoreUnavailableError as error:
            # The workers that write nothing have not met it, and would wait for this one.
            if not alone:
                raise
            return failed(request, error)
        except (ArithmeticError, ValueError, TimeLimitError, PreemptedError) as error:
            return failed(request, error)
        except Exception as error:
            if not alone:
                raise
            return failed(request, error)
    last = {"state": "done", "number": request.number, "figures": dict(figures[-1]), "error": None}
    values = request.values(figures)
    value = {"value": values[0]} if values and len(values) == 1 else {}
    return last | ({} if values is None else {"values": values}) | value


def failed(request: Request, error: Exception) -> Report:
    """The last report of a request that an error has ended."""
    passing = kind_of(type(error).__name__, message_of(error)) in PASSING
    report = {"state": "failed", "number": request.number, "error": one_line(error), "passing": passing}
    if isinstance(error, PreemptedError):
        return report | {"preempted": error.args, "lost": True}
    if isinstance(error, ChangedError):
        return report | {"changed": error.args}
    return report | ({"unavailable": error.args} if isinstance(error, StoreUnavailableError) else {})

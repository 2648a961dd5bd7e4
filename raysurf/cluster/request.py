"""One unit of work that the driver hands out, and how it is done wherever it lands."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raysurf.jobs.context import Progress
from raysurf.jobs.execute import Labels, execute
from raysurf.jobs.job import Job
from raysurf.results.store import Store
from raysurf.sweep.sweep import Resources
from raysurf.training.workers import Workers


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
        metric: The figure that is searched; None for inputs.
        every_epoch: Whether a scheduler wants to see every epoch.
        import_from: Folders that dotted-path models may be imported from.
        fault: Why these are no valid jobs, if they are not.
    """

    number: int
    label: str
    jobs: tuple[Job, ...]
    labels: Labels
    store: str
    resources: Resources
    metric: str | None = None
    every_epoch: bool = False
    import_from: tuple[str, ...] = ()
    fault: str | None = None

    def value(self, figures: list[Mapping[str, float]]) -> float | None:
        """The mean of the searched figure over the seeds."""
        found = [each[self.metric] for each in figures if self.metric in each] if self.metric else []
        return sum(found) / len(found) if found else None


Report = dict[str, Any]


def perform(request: Request, workers: Workers, tell: Callable[[Report], None], alone: bool = True) -> Report:
    """Do a request's jobs one after another.

    Args:
        request: What to do.
        workers: This process's place in its group.
        tell: Given a report after an epoch or point, not more often than twice a second unless every one is wanted.
        alone: Whether there is no group; errors that one worker of a group may meet by itself are let through, so that
            Ray Train ends the others and tries again.

    Returns:
        The last report: ``state`` done or failed, ``value``, ``figures`` of the last job and ``error``.
    """
    if request.fault is not None:
        return {"state": "failed", "error": request.fault, "number": request.number}
    for folder in request.import_from:
        if folder not in sys.path:
            sys.path.append(folder)
    told = 0.0

    def progress(at: Progress) -> None:
        nonlocal told
        value = at.figures.get(request.metric) if request.metric else None
        wanted = request.every_epoch and value is not None
        if workers.agree(wanted or time.monotonic() - told > 0.5):
            told = time.monotonic()
            report = {"state": "running", "number": request.number, "run_id": at.run_id, "figures": dict(at.figures)}
            tell(report | {"epoch": at.epoch, "epochs": at.epochs} | ({} if value is None else {"value": value}))

    store, figures = Store(request.store), list[Mapping[str, float]]()
    for job in request.jobs:
        try:
            figures.append(execute(job, store, workers, progress, request.labels))
        except (ArithmeticError, ValueError) as error:
            return _failed(request, error)
        except Exception as error:
            if not alone:
                raise
            return _failed(request, error)
    last = {"state": "done", "number": request.number, "figures": dict(figures[-1]), "error": None}
    value = request.value(figures)
    return last | ({} if value is None else {"value": value})


def _failed(request: Request, error: Exception) -> Report:
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f" ({place.filename.rsplit('/', 1)[-1]}:{place.lineno})"
    return {"state": "failed", "number": request.number, "error": f"{type(error).__name__}: {error}{where}"}

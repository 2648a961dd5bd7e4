"""One unit of work that the driver hands out. Importing it imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from raysurf.jobs.job import Job
from raysurf.jobs.labels import Labels
from raysurf.sweep.sweep import Resources

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

"""The account of a sweep's budget: what is spent by the tables, and whether the next trial still fits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import chain

from raysurf.cluster.trial_table import TrialTable
from raysurf.errors import Fault, SpecError
from raysurf.jobs.job import Job
from raysurf.store import Row
from raysurf.store.tables import read_rows

FOLDER = "budgets"
HOUR_S = 3600.0


class Verdict(Enum):
    """Whether a trial may begin."""

    YES = "yes"
    WAIT = "wait"
    NO = "no"


class Spending:
    """The account of one sweep's budget.

    Epochs are what its runs have trained, each once: a job that goes on from another costs the rest, and what another
    sweep trained costs nothing. What runs is charged in full from its begin, so that no two trials that begin
    together can pass a limit; what it did not use, since it failed or was stopped, is given back. Time is counted
    until a limit is reached; trials that run then are finished.

    Args:
        table: The sweep's trials.
        jobs: Its inputs and baselines.
        clock: Seconds.
    """

    def __init__(
        self, table: TrialTable, jobs: Iterable[Job] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.store, self.sweep, self.clock = table.store, table.sweep, clock
        self.budget = self.sweep.budget
        self.begun = set(table.rows)
        self._epochs: dict[str, tuple[str, float]] = {}
        self._ours: dict[str, bool] = {}
        self._device_s: dict[str, float] = {}
        self._running: dict[int, tuple[float, tuple[Job, ...]]] = {}
        self._began: float | None = None
        self._wall_s = 0.0
        if self.budget is None:
            return
        begun = [number for number, row in table.rows.items() if row["run_ids"]]
        of_trials = (job for number in begun for job in with_inputs(self.sweep.fill(table.params(number)).jobs))
        spans = self.settle({job.id: job for job in chain(jobs, of_trials)}.values())
        # What has passed between runs is in no table.
        self._wall_s = max(
            covered(spans), self.store.get_json(self._path)["wall_s"] if self.store.exists(self._path) else 0.0
        )

    @property
    def _path(self) -> str:
        return f"{FOLDER}/{self.sweep.name}/{self.sweep.digest}.json"

    def keep(self) -> None:
        """Store the wall time spent, if it is limited, for the next run of the sweep."""
        if self.budget is not None and self.budget.wall_hours is not None:
            self.store.put_json(self._path, {"wall_s": self.spent()["wall_hours"] * HOUR_S})

    def settle(self, jobs: Iterable[Job]) -> list[tuple[float, float]]:
        """Charge what the tables say that jobs have cost; gives their spans on the wall clock, in seconds."""
        spans: list[tuple[float, float]] = []
        if self.budget is None:
            return spans
        for job in jobs:
            rows = read_rows(self.store, "runs", job.id)
            if not rows:
                # Broken off: what it has trained is charged, and gone on from when it begins again.
                self._epochs[job.id] = (job.trajectory or job.id, float(self._reached(job)))
                continue
            (row,) = rows
            self._ours[job.id] = row["sweep"] == self.sweep.name
            self._epochs[job.id] = (job.trajectory or job.id, self._trained(job, row))
            if self._ours[job.id]:
                self._device_s[job.id] = row["device_s"] or 0.0
                if row["started_at"] is not None and row["wall_s"] is not None:
                    start = row["started_at"].timestamp()
                    spans.append((start, start + row["wall_s"]))
        return spans

    def _trained(self, job: Job, row: Row) -> float:
        """Epochs that a run has trained; of a failed one those with rows, and the one in which it failed."""
        if row["status"] != "failed":
            return float(row["epochs"])
        return float(min(job.epochs_to_train, self._reached(job) + 1))

    def _reached(self, job: Job) -> int:
        return max((row["epoch"] for row in read_rows(self.store, "epochs", job.id)), default=0)

    def _total(self, more: Iterable[Job] = ()) -> float:
        """Epochs spent, with what more jobs would add; along a trajectory each epoch once."""
        ours: dict[str, float] = {}
        free: dict[str, float] = {}
        charged = dict(self._epochs)
        for job in more:
            if self._ours.get(job.id) is not False:
                charged[job.id] = (job.trajectory or job.id, float(job.epochs_to_train))
        for run_id, (along, epochs) in charged.items():
            side = ours if self._ours.get(run_id, True) else free
            side[along] = max(side.get(along, 0.0), epochs)
        return sum(max(0.0, epochs - free.get(along, 0.0)) for along, epochs in ours.items())

    def spent(self) -> dict[str, float]:
        """What is spent by now of everything that a budget may limit; what runs counts in full."""
        now = self.clock()
        running_s = sum((now - began) * self.sweep.resources.most_workers for began, _ in self._running.values())
        wall_s = self._wall_s + (now - self._began if self._began is not None else 0.0)
        return {
            "trials": float(len(self.begun)),
            "epochs": self._total(),
            "device_hours": (sum(self._device_s.values()) + running_s) / HOUR_S,
            "wall_hours": wall_s / HOUR_S,
        }

    def may_begin(self, number: int, jobs: Sequence[Job]) -> Verdict:
        """Whether a trial of these jobs, one a seed, fits what is left; one that had begun before counts already."""
        if self.budget is None:
            return Verdict.YES
        self.settle(job for job in with_inputs(jobs) if job.id not in self._ours)
        limits, spent = self.budget.limits, self.spent()
        spent["trials"] += number not in self.begun
        spent["epochs"] = self._total(with_inputs(jobs))
        if any(spent[name] > limits[name] for name in ("trials", "epochs") if name in limits):
            # What is running may end early and leave room; no other trial may overtake this one meanwhile.
            waits = self._running and spent["trials"] <= limits.get("trials", spent["trials"])
            return Verdict.WAIT if waits else Verdict.NO
        if any(spent[name] >= limits[name] for name in ("device_hours", "wall_hours") if name in limits):
            return Verdict.NO
        return Verdict.YES

    def starts(self) -> None:
        """Something of the sweep begins to run: the wall clock goes on."""
        if self._began is None:
            self._began = self.clock()

    def started(self, number: int, jobs: Sequence[Job]) -> None:
        """A trial begins."""
        self.starts()
        self.begun.add(number)
        self._running[number] = (self.clock(), tuple(jobs))
        for job in with_inputs(jobs):
            if self._ours.get(job.id) is not False:
                self._epochs[job.id] = (job.trajectory or job.id, float(job.epochs_to_train))

    def ended(self, number: int) -> None:
        """A trial has ended, and its rows are written."""
        if number in self._running:
            _, jobs = self._running.pop(number)
            self.settle(with_inputs(jobs))
            self.keep()

    def require_room(self, jobs: Sequence[Job]) -> None:
        """Check that the inputs and baselines that are left to run fit the epochs.

        Raises:
            SpecError: If they do not; nothing has been run then.
        """
        if self.budget is None or self.budget.epochs is None:
            return
        self.settle(job for job in jobs if job.id not in self._ours)
        if (total := self._total(jobs)) > self.budget.epochs:
            got = f"{self.budget.epochs:g}, of which inputs and baselines take {total:g}"
            raise SpecError([Fault(f"{self.sweep.name}.budget.epochs", got, f"{total:g} or more")])

    def __str__(self) -> str:
        """What is spent of what is limited, in words."""
        if self.budget is None:
            return "no budget"
        spent = self.spent()
        return ", ".join(
            f"{spent[name]:.4g} of {limit:g} {name.replace('_', ' ')}" for name, limit in self.budget.limits.items()
        )


def with_inputs(jobs: Sequence[Job]) -> list[Job]:
    """Jobs and all that they need, each once."""
    return list({needed.id: needed for job in jobs for needed in (*job.ancestors, job)}.values())


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of some spans."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total

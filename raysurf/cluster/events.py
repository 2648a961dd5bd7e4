"""Events of a run, its state as they tell it, and how it ended."""

from __future__ import annotations

import html
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from raysurf.errors import RaysurfError
from raysurf.jobs.job import POINT_EPOCHS, Job
from raysurf.results.api import Results, open
from raysurf.results.progress import Running, SweepProgress
from raysurf.sweep.plan import Plan
from raysurf.sweep.sweep import Sweep

State = Literal["done", "failed", "stopped"]


@dataclass(frozen=True)
class StageStarted:
    """A sweep's inputs or trials begin; ``reused`` of ``total`` are done already."""

    sweep: Sweep
    stage: Literal["inputs", "trials"]
    total: int
    reused: int


@dataclass(frozen=True)
class RunStarted:
    """A trial or an input begins to run."""

    sweep: Sweep
    number: int
    label: str
    jobs: tuple[Job, ...]
    params: Mapping[str, Any]
    arm: str
    role: str


@dataclass(frozen=True)
class RunProgressed:
    """A job within a run has finished an epoch, or a point."""

    number: int
    run_id: str
    epoch: int
    epochs: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class PointsMeasured:
    """So many of a job's points, which are spread over workers before the job itself is run, are measured."""

    sweep: Sweep
    job: Job
    done: int
    total: int


@dataclass(frozen=True)
class RunEnded:
    """A trial or an input has ended; ``values`` are those of the searched metrics.

    What is ``reused`` was done before and never began here, so its parameters, arm and role stand here.
    """

    sweep: Sweep
    number: int
    label: str
    jobs: tuple[Job, ...]
    state: State
    reused: bool = False
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    arm: str = ""
    role: str = "trial"
    values: tuple[float, ...] = ()

    @property
    def value(self) -> float | None:
        """The value of a single searched metric, if it is finite."""
        return self.values[0] if len(self.values) == 1 and math.isfinite(self.values[0]) else None


@dataclass(frozen=True)
class SweepEnded:
    """A sweep has no more to do."""

    sweep: Sweep


@dataclass(frozen=True)
class Notice:
    """One line that the user should see."""

    text: str


Event = StageStarted | RunStarted | RunProgressed | PointsMeasured | RunEnded | SweepEnded | Notice
Listener = Callable[[Event], None]


class RunState:
    """The progress of the sweep that runs, as events tell it.

    Args:
        plan: What will be done; without it the time left is that of the stage, whose trials are taken as alike.

    Attributes:
        progress: As of the last event; ``look`` brings what changes with time up to date.
        stage: ``inputs`` or ``trials``.
        reused, failed_before: How many of the stage were done before, and failed before.
        measured: Points measured so far, by the job's id.
        surface: What is measured now, in words.
    """

    def __init__(self, plan: Plan | None = None) -> None:
        sweeps = plan.sweeps if plan else ()
        self.has_plan = plan is not None
        self.trials = {planned.sweep.name: planned.trials for planned in sweeps}
        # Work in epochs of training: of a trial by sweep, in all, done, and of each running trial with its share done.
        self.costs = {planned.sweep.name: planned.left_per_trial(_work) for planned in sweeps}
        self.total_work = sum(sum(planned.left(_work)) / 2 for planned in sweeps)
        self.ended_work = 0.0
        self.running: dict[int, tuple[float, float]] = {}
        self.began: float | None = None
        self.progress, self.stage = SweepProgress(), ""
        self.reused = self.failed_before = 0
        self.measured: dict[str, int] = {}
        self.surface = ""
        self.mode = "max"
        self.metrics: tuple[str, ...] = ("",)
        self.labels: dict[int, str] = {}
        self.places: dict[int, str] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, StageStarted):
            self._stage(event)
        elif isinstance(event, RunStarted):
            self.began = self.began or time.monotonic()
            self.labels[event.number] = event.label
            self.running[event.number] = (self._cost(event), 0.0)
        elif isinstance(event, RunProgressed):
            cost, _ = self.running.get(event.number, (0.0, 0.0))
            self.running[event.number] = (cost, event.epoch / max(1, event.epochs))
            self.places[event.number] = f"{event.run_id.split('-')[0]} {event.epoch}/{event.epochs}"
        elif isinstance(event, PointsMeasured):
            self.began = self.began or time.monotonic()
            before = self.measured.get(event.job.id, event.done)
            self.measured[event.job.id] = event.done
            if self.has_plan:
                self.ended_work += POINT_EPOCHS * (event.done - before)
            self.surface = f"{event.job.kind} {event.done} of {event.total} points"
        elif isinstance(event, RunEnded):
            self._ended(event)
        self.counts["running"] = len(self.running)
        self.look()

    @property
    def counts(self) -> Counter[str]:
        """What the stage runs, by state."""
        return self.progress.inputs if self.stage == "inputs" else self.progress.counts

    @property
    def total(self) -> int:
        """How many there are of what the stage runs."""
        return self.progress.total_inputs if self.stage == "inputs" else self.progress.total or 0

    def look(self) -> SweepProgress:
        """The progress now."""
        self.progress.has_begun = self.began is not None
        self.progress.left_s = self._left_s()
        running = [Running(self.labels.get(number, ""), place) for number, place in sorted(self.places.items())]
        self.progress.running = (*running, *([Running(self.surface, "")] if self.surface else []))
        return self.progress

    def _stage(self, event: StageStarted) -> None:
        name, search = event.sweep.name, event.sweep.search
        if name != self.progress.sweep or event.stage == "inputs" or self.stage == "trials":
            self.progress = SweepProgress(name, self.trials.get(name))
        self.stage = event.stage
        self.reused = self.failed_before = 0
        self.mode, self.metrics = (search.directions[0], search.metrics) if search else ("max", ("",))
        self.progress.metric = self.metrics[0]
        if event.stage == "inputs":
            self.progress.total_inputs = event.total
        else:
            self.progress.total = event.total
        if not self.has_plan:
            self.total_work, self.ended_work, self.began = event.total - event.reused, 0.0, None
            self.running.clear()

    def _cost(self, event: RunStarted) -> float:
        if not self.has_plan:
            return 1.0
        spread = sum(POINT_EPOCHS * self.measured.get(job.id, 0) for job in event.jobs)
        whole = self.costs[event.sweep.name] if event.role == "trial" else sum(map(_work, event.jobs))
        return max(0.0, whole - spread)

    def _ended(self, event: RunEnded) -> None:
        self.surface = ""
        self.ended_work += self.running.pop(event.number, (0.0, 0.0))[0]
        self.places.pop(event.number, None)
        self.counts[event.state] += 1
        self.reused += event.reused and event.state != "failed"
        self.failed_before += event.reused and event.state == "failed"
        best = self.progress.best
        if event.value is not None and (
            best is None or (event.value > best if self.mode == "max" else event.value < best)
        ):
            self.progress.best, self.progress.best_of = event.value, event.label

    def _left_s(self) -> float | None:
        """Seconds left at the pace so far; None if nobody can know yet."""
        now = time.monotonic()
        done = self.ended_work + sum(cost * share for cost, share in self.running.values())
        if self.began is None or done <= 0 or now - self.began < 1:
            return None
        return (now - self.began) / done * max(0.0, self.total_work - done)


def _work(job: Job) -> float:
    return job.work


@dataclass(frozen=True)
class Finished:
    """What a run of a plan came to; a notebook shows the best trials of every sweep.

    Args:
        trials: Trials that there were.
        failed: How many of them, and of the inputs, failed.
        stopped: Sweeps of which so much failed that the rest did not begin.
        results: Address of the result store.
        sweeps: Names of the sweeps.
        inputs: Inputs and baselines that there were.
    """

    trials: int
    failed: int
    stopped: tuple[str, ...] = ()
    results: str = "results"
    sweeps: tuple[str, ...] = ()
    inputs: int = 0

    @property
    def done(self) -> int:
        """Trials, inputs and baselines that did not fail."""
        return self.trials + self.inputs - self.failed

    @property
    def tables(self) -> Results:
        """The result store, for reading.

        Raises:
            StoreError: If it is not there.
        """
        return open(self.results)

    def _repr_html_(self) -> str:
        from raysurf.results.notebook import sweep_html

        failed = f", {self.failed} failed" if self.failed else ""
        stopped = f"; stopped since so much failed: {', '.join(self.stopped)}" if self.stopped else ""
        counts = f"<p>{self.done} done{failed}{html.escape(stopped)}; {html.escape(self.results)}</p>"
        try:
            return counts + "".join(sweep_html(self.tables, sweep) for sweep in self.sweeps)
        except RaysurfError as error:
            return f"{counts}<p>{html.escape(str(error))}</p>"

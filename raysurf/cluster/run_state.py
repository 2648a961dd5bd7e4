"""Where a run is, as its events tell: counts, the best so far, what is at work, and the time left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from raysurf.cluster.events import (
    Event,
    PointsMeasured,
    RunEnded,
    RunProgressed,
    RunStarted,
    StageStarted,
)
from raysurf.jobs.job import POINT_EPOCHS, Job
from raysurf.results.duration import duration
from raysurf.sweep.plan import Plan

MOST_RUNNING = 7


@dataclass
class Work:
    """How much is done of a plan, in work of so many epochs of training, and how fast it went."""

    total: float
    ended: float = 0.0
    running: dict[int, tuple[float, float]] = field(default_factory=dict)
    began: float | None = None

    def left_s(self, now: float) -> float | None:
        """Seconds left at the pace so far; None before there is one."""
        done = self.ended + sum(cost * share for cost, share in self.running.values())
        if self.began is None or done <= 0 or now - self.began < 1:
            return None
        return (now - self.began) / done * max(0.0, self.total - done)


class RunState:
    """Listens to the events of a run, and knows where it is.

    Args:
        plan: What will be done; without it the time left is that of the stage, whose trials are taken as alike.
    """

    def __init__(self, plan: Plan | None = None) -> None:
        sweeps = plan.sweeps if plan else ()
        self.has_plan = plan is not None
        self.costs = {each.sweep.name: each.left_per_trial(_work) for each in sweeps}
        self.work = Work(sum(sum(each.left(_work)) / 2 for each in sweeps))
        self.measured: dict[str, int] = {}
        self.surface = ""
        self.sweep = self.stage = ""
        self.total = self.done = self.failed = self.reused = self.failed_before = 0
        self.best: tuple[float, str] | None = None
        self.mode = "max"
        self.metrics: tuple[str, ...] = ("",)
        self.labels: dict[int, str] = {}
        self.places: dict[int, str] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, StageStarted):
            self._stage(event)
        elif isinstance(event, RunStarted):
            self.work.began = self.work.began or time.monotonic()
            self.labels[event.number] = event.label
            self.work.running[event.number] = (self._cost(event), 0.0)
        elif isinstance(event, RunProgressed):
            cost, _ = self.work.running.get(event.number, (0.0, 0.0))
            self.work.running[event.number] = (cost, event.epoch / max(1, event.epochs))
            self.places[event.number] = f"{event.run_id.split('-')[0]} {event.epoch}/{event.epochs}"
        elif isinstance(event, PointsMeasured):
            self.work.began = self.work.began or time.monotonic()
            before = self.measured.get(event.job.id, event.done)
            self.measured[event.job.id] = event.done
            if self.has_plan:
                self.work.ended += POINT_EPOCHS * (event.done - before)
            self.surface = f"{event.job.kind} {event.done} of {event.total} points"
        elif isinstance(event, RunEnded):
            self._ended(event)

    def _stage(self, event: StageStarted) -> None:
        self.sweep, self.stage, self.total = event.sweep.name, event.stage, event.total
        self.done = self.failed = self.reused = self.failed_before = 0
        self.best = None
        search = event.sweep.search
        self.mode, self.metrics = (search.directions[0], search.metrics) if search else ("max", ("",))
        if not self.has_plan:
            self.work = Work(event.total - event.reused)

    def _cost(self, event: RunStarted) -> float:
        if not self.has_plan:
            return 1.0
        spread = sum(POINT_EPOCHS * self.measured.get(job.id, 0) for job in event.jobs)
        whole = self.costs[event.sweep.name] if event.role == "trial" else sum(map(_work, event.jobs))
        return max(0.0, whole - spread)

    def _ended(self, event: RunEnded) -> None:
        self.surface = ""
        cost, _ = self.work.running.pop(event.number, (0.0, 0.0))
        self.work.ended += cost
        self.places.pop(event.number, None)
        self.done += event.state != "failed"
        self.failed += event.state == "failed"
        self.reused += event.reused and event.state != "failed"
        self.failed_before += event.reused and event.state == "failed"
        if event.value is not None and (self.best is None or _better(event.value, self.best[0], self.mode)):
            self.best = (event.value, event.label)

    @property
    def left_s(self) -> float | None:
        """Seconds left; None if nobody can know yet."""
        return self.work.left_s(time.monotonic())

    @property
    def line(self) -> str:
        """The stage in one line."""
        return "; ".join(self.parts)

    @property
    def parts(self) -> list[str]:
        """Parts of the status line: counts, the best so far, the time left, as far as they are known."""
        if not self.sweep:
            return ["starting"]
        counts = [f"{self.done} done", f"{len(self.work.running)} running", f"{self.failed} failed"]
        parts = [f"{self.sweep} {self.stage}: {', '.join(counts)} of {self.total}"]
        if self.work.began is None:
            parts.append("workers are starting")
        if self.best is not None:
            parts.append(f"best {self.metrics[0]} {self.best[0]:.4f} ({self.best[1]})")
        if (left := self.left_s) is not None:
            parts.append(f"about {duration(left)} left")
        return parts

    @property
    def at_work(self) -> list[tuple[str, str]]:
        """What runs, and where it is: a label and a place each, the first few of them."""
        running = [(self.labels.get(number, ""), place) for number, place in sorted(self.places.items())]
        return [*running[:MOST_RUNNING], *([(self.surface, "")] if self.surface else [])]


def _work(job: Job) -> float:
    return job.work


def _better(value: float, than: float, mode: str) -> bool:
    return value > than if mode == "max" else value < than

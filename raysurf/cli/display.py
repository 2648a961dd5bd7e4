"""What one sees while a plan runs: in place on a terminal, a line a change in a pipe."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import IO, Any

from raysurf.cli.duration import duration
from raysurf.cluster.events import (
    Event,
    Notice,
    PointsMeasured,
    RunEnded,
    RunProgressed,
    RunStarted,
    StageStarted,
    SweepEnded,
)
from raysurf.jobs.job import POINT_EPOCHS, Job
from raysurf.sweep.lineage import own_values
from raysurf.sweep.plan import Plan

# In a pipe, a surface is a line for every tenth of it.
TOLD = 10


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


class Display:
    """Listens to the events of a run and shows where it is.

    Args:
        plan: What will be done.
        stream: Where to write; a terminal is written in place.
    """

    def __init__(self, plan: Plan, stream: IO[str] | None = None) -> None:
        self.stream = stream or sys.stderr
        self.costs = {each.sweep.name: each.left_per_trial(_work) for each in plan.sweeps}
        self.work = Work(sum(sum(each.left(_work)) / 2 for each in plan.sweeps))
        self.measured: dict[str, int] = {}
        self.surface = ""
        self.sweep = self.stage = ""
        self.total = self.done = self.failed = self.reused = 0
        self.best: tuple[float, str] | None = None
        self.mode = "max"
        self.metrics: tuple[str, ...] = ("",)
        self.labels: dict[int, str] = {}
        self.places: dict[int, str] = {}
        self._live: Any = None

    def __enter__(self) -> Display:
        if self.stream.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self.stream)
            self._live = Live(console=console, get_renderable=self._screen, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, StageStarted):
            self._close_stage()
            self.sweep, self.stage, self.total = event.sweep.name, event.stage, event.total
            self.done = self.failed = self.reused = 0
            self.best = None
            search = event.sweep.search
            self.mode, self.metrics = (search.directions[0], search.metrics) if search else ("max", ("",))
            if event.reused < event.total or event.stage == "trials":
                self._say(self._line())
        elif isinstance(event, RunStarted):
            self.work.began = self.work.began or time.monotonic()
            self.labels[event.number] = event.label
            self.work.running[event.number] = (self._cost(event), 0.0)
            self._say(f"{self._line()}; {event.label} begins{_params(event)}")
        elif isinstance(event, RunProgressed):
            cost, _ = self.work.running.get(event.number, (0.0, 0.0))
            self.work.running[event.number] = (cost, event.epoch / max(1, event.epochs))
            self.places[event.number] = f"{event.run_id.split('-')[0]} {event.epoch}/{event.epochs}"
        elif isinstance(event, PointsMeasured):
            self._measured(event)
        elif isinstance(event, RunEnded):
            self._ended(event)
        elif isinstance(event, SweepEnded):
            self._close_stage()
        elif isinstance(event, Notice):
            self._say(event.text)

    def _cost(self, event: RunStarted) -> float:
        spread = sum(POINT_EPOCHS * self.measured.get(job.id, 0) for job in event.jobs)
        whole = self.costs[event.sweep.name] if event.role == "trial" else sum(map(_work, event.jobs))
        return max(0.0, whole - spread)

    def _measured(self, event: PointsMeasured) -> None:
        self.work.began = self.work.began or time.monotonic()
        before = self.measured.get(event.job.id, event.done)
        self.measured[event.job.id] = event.done
        self.work.ended += POINT_EPOCHS * (event.done - before)
        self.surface = f"{event.job.kind} {event.done} of {event.total} points"
        if event.done * TOLD // event.total > before * TOLD // event.total:
            self._say(f"{self._line()}; {self.surface}")

    def _ended(self, event: RunEnded) -> None:
        self.surface = ""
        cost, _ = self.work.running.pop(event.number, (0.0, 0.0))
        self.work.ended += cost
        self.places.pop(event.number, None)
        self.done += event.state != "failed"
        self.failed += event.state == "failed"
        self.reused += event.reused
        if event.value is not None and (self.best is None or _better(event.value, self.best[0], self.mode)):
            self.best = (event.value, event.label)
        if event.state == "failed":
            self._say(f"{event.label} failed: {event.error}")
        if not event.reused:
            values = (event.value,) if event.value is not None else event.values
            told = ",".join(f" {metric} {value:.4f}" for metric, value in zip(self.metrics, values, strict=False))
            self._say(f"{self._line()}; {event.label} {event.state}{told}")

    def _close_stage(self) -> None:
        if self.reused:
            self._say(f"{self.sweep} {self.stage}: {self.reused} of {self.total} were done already and are reused")
        self.reused = 0

    def _line(self) -> str:
        parts = [f"{self.done} done", f"{len(self.work.running)} running", f"{self.failed} failed"]
        text = f"{self.sweep} {self.stage}: {', '.join(parts)} of {self.total}"
        if self.work.began is None:
            text += "; workers are starting"
        if self.best is not None:
            text += f"; best {self.metrics[0]} {self.best[0]:.4f} ({self.best[1]})"
        left = self.work.left_s(time.monotonic())
        return text + (f"; about {duration(left)} left" if left is not None else "")

    def _screen(self) -> Any:
        from rich.text import Text

        running = [f"  {self.labels[n]}  {place}" for n, place in sorted(self.places.items())]
        running += [f"  {self.surface}"] if self.surface else []
        return Text("\n".join([self._line(), *running[:8]]), no_wrap=True, overflow="ellipsis")

    def _say(self, line: str) -> None:
        if self._live is None:
            print(line, file=self.stream, flush=True)
        elif " failed" in line.partition(":")[0] or ": " not in line or not line.startswith(self.sweep):
            self._live.console.print(line, markup=False, highlight=False)


def _work(job: Job) -> float:
    return job.work


def _params(event: RunStarted) -> str:
    values = own_values(event.params)
    return f" ({', '.join(f'{k}={_short(v)}' for k, v in values.items())})" if values else ""


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _better(value: float, than: float, mode: str) -> bool:
    return value > than if mode == "max" else value < than

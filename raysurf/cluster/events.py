"""What happens in a run, as values: displays, trackers and tests listen to the same ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from raysurf.jobs.job import Job
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
    figures: Mapping[str, float]


@dataclass(frozen=True)
class PointsMeasured:
    """So many of a job's points, which are spread over workers before the job itself is run, are measured."""

    sweep: Sweep
    job: Job
    done: int
    total: int


@dataclass(frozen=True)
class RunEnded:
    """A trial or an input has ended; ``value`` is the searched figure, if there is one, ``values`` one or several.

    What is ``reused`` was done before and never began here, so its parameters, arm and role are told now.
    """

    sweep: Sweep
    number: int
    label: str
    jobs: tuple[Job, ...]
    state: State
    reused: bool = False
    value: float | None = None
    error: str | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    arm: str = ""
    role: str = "trial"
    values: tuple[float, ...] = ()


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

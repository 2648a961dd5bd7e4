"""Learning-rate schedules: small values that turn a position in training into a rate. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import Field, model_validator

from raysurf.values import Node


@dataclass(frozen=True)
class Span:
    """The lengths that a schedule runs over, all in steps.

    Args:
        steps: Of the whole schedule.
        cycle_steps: Of a cycle; only cyclic schedules look at it.
        epoch_steps: Of an epoch; only a warm-up looks at it.
    """

    steps: int
    cycle_steps: int
    epoch_steps: int


class Schedule(Node):
    """A learning rate as a function of the position in training."""

    PLUGS: ClassVar[str] = "schedules"

    def rate(self, step: int, span: Span) -> float:
        """The learning rate.

        Args:
            step: Steps done so far, from 0, below ``span.steps``.
            span: Lengths.

        Returns:
            The rate for the next step.
        """
        raise AssertionError(f"{type(self).__name__} has no rate")

    @property
    def label(self) -> str:
        """What it is called in pictures."""
        return self.kind

    @property
    def depends_on_length(self) -> bool:
        """Whether rates change with the length of the whole; if not, a longer training begins as a shorter one does."""
        return True


class Constant(Schedule):
    """The same rate all along."""

    kind: ClassVar[str] = "constant"
    lr: float = Field(gt=0, description="learning rate")

    def rate(self, step: int, span: Span) -> float:
        return self.lr

    @property
    def depends_on_length(self) -> bool:
        return False


class PlateauLinear(Schedule):
    """The papers' schedule: constant, then linear, then a floor.

    lr for step/steps <= 0.5; linear down to ``floor``·lr at 0.9; ``floor``·lr after.

    Source:
        Izmailov et al. 2018, Garipov et al. 2018: their codes change the rate once an epoch. Epochs count from 0 as in
        the SWA code, and the values agree at the start of each epoch.
    """

    kind: ClassVar[str] = "plateau_linear"
    lr: float = Field(gt=0, description="learning rate of the plateau")
    floor: float = Field(0.01, gt=0, le=1, description="final rate as a share of lr")

    def rate(self, step: int, span: Span) -> float:
        done = step / span.steps
        if done <= 0.5:
            return self.lr
        if done >= 0.9:
            return self.lr * self.floor
        return self.lr * (1.0 - (1.0 - self.floor) * (done - 0.5) / 0.4)


class Linear(Schedule):
    """From ``lr`` linearly down to ``end``, per step, after a share of the length at ``lr``.

    Source:
        Neklyudov et al. 2018 (arXiv:1803.03764) and Molchanov et al. 2017 (arXiv:1701.05369), whose codes change Adam's
        rate so, once an epoch; the former's for VGG has a floor of 1e-5.
    """

    kind: ClassVar[str] = "linear"
    lr: float = Field(gt=0, description="learning rate at the start")
    end: float = Field(0.0, ge=0, description="rate that the line reaches at the end")
    hold: float = Field(0.0, ge=0, lt=1, description="share of the length before the rate falls")
    floor: float = Field(0.0, ge=0, description="lowest rate")

    @model_validator(mode="after")
    def _floor_below(self) -> Self:
        if self.floor > self.lr:
            raise ValueError(f"floor {self.floor:g} is above lr {self.lr:g}")
        return self

    def rate(self, step: int, span: Span) -> float:
        fallen = max(0.0, step / span.steps - self.hold) / (1.0 - self.hold)
        return max(self.floor, self.lr + (self.end - self.lr) * fallen)


class Cosine(Schedule):
    """Half a cosine from ``lr`` down to ``end``, per step: end + (lr - end) (1 + cos(pi x)) / 2 at the share x.

    Source:
        Loshchilov & Hutter 2017 (arXiv:1608.03983), equation 5, with no restart.
    """

    kind: ClassVar[str] = "cosine"
    lr: float = Field(gt=0, description="learning rate at the start")
    end: float = Field(0.0, ge=0, description="rate that the cosine reaches at the end")

    def rate(self, step: int, span: Span) -> float:
        return self.end + (self.lr - self.end) * _half_cosine(step / span.steps)


class CosineCycles(Schedule):
    """Each cycle runs along a part of half a cosine, per step: lr (1 + cos(pi x)) / 2, x from ``first`` to ``last``.

    The whole of it, 0 to 1, is SGDR's warm restarts. fast-SWA repeats the last 30 of the 180 epochs of a cosine that
    is 210 long: 150/210 to 180/210.

    Source:
        Loshchilov & Hutter 2017 (arXiv:1608.03983), equation 5, with cycles of one length and a lowest rate of zero;
        Athiwaratkun et al. 2019 (arXiv:1806.05594), whose code repeats the end of the cosine.
    """

    kind: ClassVar[str] = "cosine_cycles"
    lr: float = Field(gt=0, description="learning rate where the cosine begins, which a cycle need not reach")
    first: float = Field(0.0, ge=0, lt=1, description="share of the half cosine at which a cycle begins")
    last: float = Field(1.0, gt=0, le=1, description="share of the half cosine that a cycle runs up to")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first >= self.last:
            raise ValueError(f"first {self.first:g} is not below last {self.last:g}")
        return self

    def rate(self, step: int, span: Span) -> float:
        done = (step % span.cycle_steps) / span.cycle_steps
        return self.lr * _half_cosine(self.first + (self.last - self.first) * done)

    @property
    def depends_on_length(self) -> bool:
        return False


class TwoRates(Schedule):
    """What cyclic schedules share: a high and a low rate."""

    high: float = Field(gt=0, description="rate at the start of a cycle")
    low: float = Field(gt=0, description="lowest rate of a cycle")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self

    @property
    def depends_on_length(self) -> bool:
        return False


class Cyclic(TwoRates):
    """Saw-tooth cycles: from ``high`` linearly down to ``low`` in each cycle, per step.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), section 3.1: alpha(i) = (1 - t) alpha_1 + t alpha_2 with
        t = (mod(i - 1, c) + 1) / c, so that a cycle ends at exactly alpha_2.
    """

    kind: ClassVar[str] = "cyclic"

    def rate(self, step: int, span: Span) -> float:
        t = (step % span.cycle_steps + 1) / span.cycle_steps
        return (1.0 - t) * self.high + t * self.low


class Triangle(TwoRates):
    """Triangular cycles: from ``high`` linearly down to ``low`` at the middle of a cycle, and up again, per step.

    With t = (i mod c) / c: (1 - 2t) alpha_1 + 2t alpha_2 for t < 1/2, else (2 - 2t) alpha_2 + (2t - 1) alpha_1.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 4, whose members are taken where the rate is lowest.
    """

    kind: ClassVar[str] = "triangle"

    def rate(self, step: int, span: Span) -> float:
        t = (step % span.cycle_steps) / span.cycle_steps
        towards_low = 2 * t if t < 0.5 else 2 - 2 * t
        return (1.0 - towards_low) * self.high + towards_low * self.low


class WarmUp(Schedule):
    """Another schedule, whose rates grow to their full height first, linearly, per step.

    Step i of the w steps of the warm-up has the share start + (1 - start) (i + 1) / w of the rate that ``then`` has at
    that step, so that no step has a rate of zero and the last has all of it. ``then`` counts from the training's start.

    Source:
        Goyal et al. 2017 (arXiv:1706.02677), section 2.2, gradual warm-up; there the first step has ``start`` itself.
    """

    kind: ClassVar[str] = "warm_up"
    epochs: float = Field(gt=0, description="length of the warm-up")
    start: float = Field(0.0, ge=0, lt=1, description="share of the rate that it grows from")
    then: Schedule = Field(description="the schedule that is warmed up to")

    def rate(self, step: int, span: Span) -> float:
        done = min(1.0, (step + 1) / (self.epochs * span.epoch_steps))
        return (self.start + (1.0 - self.start) * done) * self.then.rate(step, span)

    @property
    def label(self) -> str:
        return f"{self.kind} {self.then.label}"

    @property
    def depends_on_length(self) -> bool:
        return self.then.depends_on_length


def _half_cosine(share: float) -> float:
    """From 1 to 0 as the share goes from 0 to 1."""
    return 0.5 * (1.0 + math.cos(math.pi * share))


def num_batches(num_examples: int, size: int) -> int:
    """Batches that cover every example once; a remainder below an eighth of a batch joins the batch before it.

    So does a remainder of one, which batch norm cannot be trained on.
    """
    full, rest = divmod(num_examples, size)
    return max(1, full + (8 * rest >= size and rest > 1))


def cycle_steps(cycle_epochs: float, steps_per_epoch: int) -> int:
    """Length of a cycle in whole steps, at least one."""
    return max(1, round(cycle_epochs * steps_per_epoch))


@dataclass(frozen=True)
class Cycles:
    """Members at even distances: the one definition of which steps they are taken after.

    Args:
        steps: From one member to the next.
        first_step: Steps after which the first of these distances begins. It may lie before the start, where the first
            is a shorter one.
    """

    steps: int
    first_step: int = 0

    def members(self, steps_done: int) -> int:
        """How many members have been taken after so many steps."""
        return max(0, steps_done - self.first_step) // self.steps

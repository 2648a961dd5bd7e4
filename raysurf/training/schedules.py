"""Learning-rate schedules: small values that turn a position in training into a rate. No torch here."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from raysurf.values import Node


class Schedule(Node):
    """A learning rate as a function of the position in training."""

    depends_on_length: ClassVar[bool] = False

    def rate(self, step: int, steps: int, cycle_steps: int) -> float:
        """The learning rate.

        Args:
            step: Steps done so far, from 0.
            steps: Length of the whole schedule, in steps.
            cycle_steps: Length of a cycle, in steps; only cyclic schedules look at it.

        Returns:
            The rate for the next step.
        """
        raise AssertionError(f"{type(self).__name__} has no rate")


class Constant(Schedule):
    """The same rate all along."""

    kind: ClassVar[str] = "constant"
    lr: float = Field(gt=0, description="learning rate")

    def rate(self, step: int, steps: int, cycle_steps: int) -> float:
        return self.lr


class PlateauLinear(Schedule):
    """The papers' schedule: constant, then linear, then a floor.

    lr for step/steps <= 0.5; linear down to ``floor``·lr at 0.9; ``floor``·lr after.

    Source:
        Izmailov et al. 2018, Garipov et al. 2018: their codes change the rate once an epoch. Epochs count from 0 as in
        the SWA code, and the values agree at the start of each epoch.
    """

    kind: ClassVar[str] = "plateau_linear"
    depends_on_length: ClassVar[bool] = True
    lr: float = Field(gt=0, description="learning rate of the plateau")
    floor: float = Field(0.01, gt=0, le=1, description="final rate as a share of lr")

    def rate(self, step: int, steps: int, cycle_steps: int) -> float:
        done = step / steps
        if done <= 0.5:
            return self.lr
        if done >= 0.9:
            return self.lr * self.floor
        return self.lr * (1.0 - (1.0 - self.floor) * (done - 0.5) / 0.4)


class Linear(Schedule):
    """From ``lr`` linearly down to ``end``, per step, after a share of the length at ``lr``.

    Source:
        Neklyudov et al. 2018 (arXiv:1803.03764) and Molchanov et al. 2017 (arXiv:1701.05369), whose codes change Adam's
        rate so, once an epoch.
    """

    kind: ClassVar[str] = "linear"
    depends_on_length: ClassVar[bool] = True
    lr: float = Field(gt=0, description="learning rate at the start")
    end: float = Field(0.0, ge=0, description="rate that the line reaches at the end")
    hold: float = Field(0.0, ge=0, lt=1, description="share of the length before the rate falls")

    def rate(self, step: int, steps: int, cycle_steps: int) -> float:
        fallen = max(0.0, step / steps - self.hold) / (1.0 - self.hold)
        return self.lr + (self.end - self.lr) * fallen


class TwoRates(Schedule):
    """What cyclic schedules share: a high and a low rate."""

    high: float = Field(gt=0, description="rate at the start of a cycle")
    low: float = Field(gt=0, description="lowest rate of a cycle")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self


class Cyclic(TwoRates):
    """Saw-tooth cycles: from ``high`` linearly down to ``low`` in each cycle, per step.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), section 3.1: alpha(i) = (1 - t) alpha_1 + t alpha_2 with
        t = (mod(i - 1, c) + 1) / c, so that a cycle ends at exactly alpha_2.
    """

    kind: ClassVar[str] = "cyclic"

    def rate(self, step: int, steps: int, cycle_steps: int) -> float:
        t = (step % cycle_steps + 1) / cycle_steps
        return (1.0 - t) * self.high + t * self.low


class Triangle(TwoRates):
    """Triangular cycles: from ``high`` linearly down to ``low`` at the middle of a cycle, and up again, per step.

    With t = (i mod c) / c: (1 - 2t) alpha_1 + 2t alpha_2 for t < 1/2, else (2 - 2t) alpha_2 + (2t - 1) alpha_1.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 4, whose members are taken where the rate is lowest.
    """

    kind: ClassVar[str] = "triangle"

    def rate(self, step: int, steps: int, cycle_steps: int) -> float:
        t = (step % cycle_steps) / cycle_steps
        towards_low = 2 * t if t < 0.5 else 2 - 2 * t
        return (1.0 - towards_low) * self.high + towards_low * self.low

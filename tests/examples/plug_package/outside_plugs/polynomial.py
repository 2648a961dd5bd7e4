"""A learning-rate schedule."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from raysurf.training.schedules import Schedule, Span


class Polynomial(Schedule):
    """From ``lr`` down to zero: lr (1 - x)^power at the share x of the length."""

    kind: ClassVar[str] = "polynomial"
    lr: float = Field(gt=0, description="learning rate at the start")
    power: float = Field(2.0, gt=0, description="how fast it falls")

    def rate(self, step: int, span: Span) -> float:
        rate: float = self.lr * (1.0 - step / span.steps) ** self.power
        return rate

    @property
    def depends_on_length(self) -> bool:
        return True

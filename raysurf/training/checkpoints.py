"""Where the loop's state is kept between sittings."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

State = dict[str, Tensor]


class Place(NamedTuple):
    """How far a loop has come: epochs that have ended, and steps of the one after; earlier places are smaller."""

    epoch: int
    step: int = 0

    def after(self, epochs: int) -> Place:
        """The same place, counted from so many epochs earlier."""
        return Place(epochs + self.epoch, self.step)

    def __str__(self) -> str:
        return f"in epoch {self.epoch + 1}, after step {self.step}" if self.step else f"after epoch {self.epoch}"


class Checkpoints:
    """Where the loop's state is kept between sittings; this one keeps nothing."""

    def load(self) -> tuple[Place, State] | None:
        """The newest state and its place, or None."""
        return None

    def save(self, place: Place, state: Callable[[], State], must: bool = False) -> None:
        """Offer a state; whether it is taken is the keeper's choice, unless it must be."""

    def is_due(self) -> bool:
        """Whether the last state is so old that one should be taken in the middle of an epoch; rank 0 is asked."""
        return False


class LaterCheckpoints(Checkpoints):
    """The checkpoints of one loop among those of a job of several loops, whose epochs are counted through.

    Args:
        keeper: The job's.
        origin: Epochs of the loops before.
        saved: The job's newest state if it is of this loop, with its place counted through.
    """

    def __init__(self, keeper: Checkpoints, origin: int, saved: tuple[Place, State] | None) -> None:
        self.keeper, self.origin, self.saved = keeper, origin, saved

    def load(self) -> tuple[Place, State] | None:
        return None if self.saved is None else (self.saved[0].after(-self.origin), self.saved[1])

    def save(self, place: Place, state: Callable[[], State], must: bool = False) -> None:
        self.keeper.save(place.after(self.origin), state, must)

    def is_due(self) -> bool:
        return self.keeper.is_due()

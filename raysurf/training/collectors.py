"""What is kept of the iterates while the loop runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor

from raysurf.training.cycles import Cycles
from raysurf.training.objectives import Objective
from raysurf.weightspace.average import RunningAverage
from raysurf.weightspace.point import buffers_of


class Collector(Protocol):
    """Sees the objective after every step; its state is part of the checkpoint."""

    def after_step(self, steps_done: int, objective: Objective) -> None:
        """Take what it wants of the weights after ``steps_done`` steps."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Tensors that ``load`` needs to go on."""
        ...

    def load(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        """Go on from a state that was taken after ``steps_done`` steps."""
        ...


def trainables(objective: Objective) -> Mapping[str, Tensor]:
    """What is trained."""
    return objective.trainables


def floating_buffers(objective: Objective) -> Mapping[str, Tensor]:
    """The network's buffers, counters left out."""
    return {name: value for name, value in buffers_of(objective.model).items() if value.is_floating_point()}


class CycleAverage:
    """The mean (or further moments) of the weights at the end of each cycle.

    Args:
        cycle_steps: Steps a cycle.
        first_step: Steps after which averaging begins; the first weights are taken a cycle later. It may lie before the
            start, where the first cycle is a shorter one.
        average: Where the mean grows; it may hold the start weights already.
        on_member: Told the number, from 1, of every member that is taken.
        source: What is averaged.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), algorithm 1.
    """

    def __init__(
        self,
        cycle_steps: int,
        first_step: int,
        average: RunningAverage,
        on_member: Callable[[int], None] = lambda number: None,
        source: Callable[[Objective], Mapping[str, Tensor]] = trainables,
    ) -> None:
        self.cycles, self.average, self.on_member = Cycles(cycle_steps, first_step), average, on_member
        self._source = source
        self._initial = average.count

    def members(self, steps_done: int) -> int:
        """How many cycles have ended after so many steps."""
        return self.cycles.members(steps_done)

    def after_step(self, steps_done: int, objective: Objective) -> None:
        if self.members(steps_done) > self.members(steps_done - 1):
            self.average.add(self._source(objective))
            self.on_member(self.members(steps_done))

    def state(self) -> dict[str, Tensor]:
        return self.average.state()

    def load(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        self.average.restore(state, self._initial + self.members(steps_done))

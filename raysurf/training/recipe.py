"""How a loop runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raysurf.training.batches import TwoStreams, shuffled
from raysurf.training.cycles import cycle_steps, num_batches
from raysurf.training.schedules import Schedule


@dataclass(frozen=True)
class Recipe:
    """How a loop runs; lengths in epochs, ``schedule_epochs`` being the schedule's own length (>= epochs).

    ``origin`` is how many epochs the job has trained in earlier loops: what is random goes on from there.
    ``optimiser`` is sgd or adam, whose beta1 is ``momentum``. ``streams`` are the batches of labelled and unlabelled
    examples, if that is how they are formed.
    """

    epochs: int
    schedule_epochs: int
    schedule: Schedule
    batch_size: int
    momentum: float
    nesterov: bool
    seed: int
    cycle_epochs: float = 1.0
    origin: int = 0
    optimiser: str = "sgd"
    cycle_iterations: int | None = None
    streams: TwoStreams | None = None

    def steps_per_epoch(self, num_examples: int) -> int:
        """Steps that cover every example once, or every unlabelled one."""
        return num_batches(num_examples, self.batch_size) if self.streams is None else self.streams.steps

    def batches(self, num_examples: int, generator: torch.Generator, device: torch.device) -> list[Tensor]:
        """Numbers of the examples of every batch of an epoch."""
        if self.streams is None:
            return shuffled(num_examples, self.batch_size, generator, device)
        return self.streams.epoch(generator, device)

    def cycle_steps(self, num_examples: int) -> int:
        """Length of a cycle in whole steps, at least one; ``cycle_iterations`` if that is given."""
        return self.cycle_iterations or cycle_steps(self.cycle_epochs, self.steps_per_epoch(num_examples))

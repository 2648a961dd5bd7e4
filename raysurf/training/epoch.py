"""One pass over the data: its batches, its steps, and the recipe that it follows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raysurf.data.dataset import AugmentSeeds, Dataset
from raysurf.errors import DataError, DivergedError
from raysurf.training.checkpoints import State
from raysurf.training.objective import is_finite
from raysurf.training.schedules import Schedule, cycle_steps, num_batches
from raysurf.training.workers import Workers, stream


def shuffled(num_examples: int, size: int, generator: torch.Generator, device: torch.device) -> list[Tensor]:
    """Batches of all examples in a random order.

    Args:
        num_examples: How many there are.
        size: Examples a batch.
        generator: Of the order, on the CPU.
        device: Where the batches, int64, are wanted.
    """
    order = torch.randperm(num_examples, generator=generator).to(device)
    return _cut(order, size, num_batches(num_examples, size))


@dataclass(frozen=True)
class TwoStreams:
    """Batches of two kinds of examples: an epoch is one pass over the unlabelled, while labelled ones are cycled.

    Args:
        labelled, unlabelled: Numbers of the examples, [L] and [U] int64 on the CPU.
        batch_size: Examples a batch.
        labelled_batch: Labelled ones among them, in every batch.

    Source:
        Tarvainen & Valpola 2017, code. Deviation: it drops a last batch that is not full; here the rule of
        ``num_batches`` holds, so that no example is left out.
    """

    labelled: Tensor
    unlabelled: Tensor
    batch_size: int
    labelled_batch: int

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return num_batches(len(self.unlabelled), self.batch_size - self.labelled_batch)

    def epoch(self, generator: torch.Generator, device: torch.device) -> list[Tensor]:
        """The batches of one epoch, each in a random order, so that every worker's part has both kinds."""
        wanted = self.steps * self.labelled_batch
        rounds = -(-wanted // len(self.labelled))
        cycled = torch.cat([_permuted(self.labelled, generator) for _ in range(rounds)])[:wanted]
        once = _cut(_permuted(self.unlabelled, generator), self.batch_size - self.labelled_batch, self.steps)
        pairs = zip(once, torch.split(cycled, self.labelled_batch), strict=True)
        batches = [_permuted(torch.cat(pair), generator) for pair in pairs]
        return list(torch.split(torch.cat(batches).to(device), [len(batch) for batch in batches]))


def _permuted(values: Tensor, generator: torch.Generator) -> Tensor:
    return values[torch.randperm(len(values), generator=generator)]


def _cut(order: Tensor, size: int, count: int) -> list[Tensor]:
    return list(order.tensor_split([i * size for i in range(1, count)]))


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


class Epoch:
    """One pass over the data, as far as it has come, on one worker.

    Order, augmentation and draws follow from (seed, epoch), so that a state in its middle is but what was summed up,
    and how far the generators have come that networks draw from.

    Args:
        number: Which one, from 0; torch's generators are seeded for it.
        recipe: Batches and seed.
        data: Its training split is passed over.
        workers: The group; each worker takes its share of every batch.
        views: How many times a batch has each of its images.

    Attributes:
        steps_done: How many batches have been trained on.
        draw: Random numbers that are the same on every worker.
        skipped: Examples that could not be read: by this worker, or by all once ``means`` is known.
    """

    def __init__(self, number: int, recipe: Recipe, data: Dataset, workers: Workers, views: int) -> None:
        self.number, self.data, self.workers, self.views = number, data, workers, views
        key, device = (recipe.seed, recipe.origin + number), data.train.labels.device
        torch.manual_seed(stream(*key, "model", workers.rank).getrandbits(63))
        order_from = torch.Generator().manual_seed(stream(*key, "order").getrandbits(63))
        self._seeds = AugmentSeeds(*(stream(*key, "augment", *o).getrandbits(63) for o in ((), (workers.rank,))))
        self.draw = stream(*key, "draw")
        self._parts = recipe.batches(len(data.train), order_from, device)
        self._own_parts = [part[workers.share(len(part))].repeat(views) for part in self._parts]
        self.steps_done = self.skipped = 0
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._finite_steps = torch.zeros((), dtype=torch.float64, device=device)
        self._began = time.perf_counter()

    def batches(self) -> Iterator[tuple[Tensor, Tensor, int]]:
        """What is left of it; ``add`` is to be called after each.

        Yields:
            Images and labels of this worker's part of a batch, and the number of examples of the whole batch.

        Raises:
            DataError: If no image of this worker's part can be read.
        """
        seeds = None if self.data.augment == "none" else self._seeds
        for images, labels in self.data.train.batches(self._own_parts, seeds, self.steps_done):
            wanted = len(self._own_parts[self.steps_done])
            if wanted and not len(labels):
                raise DataError(self.data.name, "a batch with no image that can be read", "most images to be readable")
            self.skipped += (wanted - len(labels)) // self.views
            yield images, labels, len(self._parts[self.steps_done])

    def add(self, sums: Tensor) -> None:
        """Count a step.

        Args:
            sums: [2] float64: summed nll and wrong answers of this worker's part.
        """
        self._sums += sums
        self._finite_steps += self._sums[0].isfinite()
        self.steps_done += 1

    @property
    def seconds(self) -> float:
        """How long it has taken, what went before it was broken off included."""
        return time.perf_counter() - self._began

    def means(self, last_loss: float) -> tuple[float, float]:
        """The nll and error of an example, over all workers, each of which must ask; once, at the end.

        Args:
            last_loss: Mean nll of the epoch before.

        Raises:
            DivergedError: If the loss is not finite.
        """
        self.workers.sum(self._sums)
        self.skipped = int(self.workers.sum(torch.tensor(self.skipped, device=self._sums.device)))
        if not is_finite(self._sums):
            self.workers.least(self._finite_steps)
            step = self.number * len(self._parts) + int(self._finite_steps) + 1
            raise DivergedError(self.number + 1.0, last_loss, step)
        nll, error = (self._sums / (sum(map(len, self._parts)) - self.skipped)).tolist()
        return nll, error

    def state(self) -> State:
        """What ``load`` needs; all workers of the group must ask, after the same step."""
        device = self._sums.device
        others = torch.tensor([self.skipped, self.seconds], dtype=torch.float64, device=device)
        own = {"tally": torch.cat([self._sums, self._finite_steps[None], others]), "cpu": torch.get_rng_state()}
        if device.type == "cuda":
            own["cuda"] = torch.cuda.get_rng_state(device)
        draw = torch.tensor(self.draw.getstate()[1], dtype=torch.int64)
        return {"draw": draw} | {name: self.workers.rows(value) for name, value in own.items()}

    def load(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        """Go on from a state that was taken after so many steps.

        A group of another size has the same order, weights and sums, but other noise in the rest of the epoch.
        """
        rank, tally, device = self.workers.rank, state["tally"].to(self._sums), self._sums.device
        is_same_group = len(tally) == self.workers.size
        if is_same_group:
            # Copies, since torch reads what lies at the beginning of a view's storage, or beyond its end.
            torch.set_rng_state(state["cpu"][rank].cpu().clone())
            if device.type == "cuda" and "cuda" in state:
                torch.cuda.set_rng_state(state["cuda"][rank].cpu().clone(), device)
        own = tally[rank] if is_same_group else tally.sum(0) * (rank == 0)
        self._sums, self._finite_steps = own[:2].clone(), tally[:, 2].min()
        self.skipped, earlier_s = int(own[3]), float(tally[:, 4].max())
        self._began -= earlier_s
        self.draw.setstate((3, tuple(state["draw"].tolist()), None))
        self.steps_done = steps_done

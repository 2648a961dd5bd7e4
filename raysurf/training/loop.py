"""The one training loop: every training job is this loop with its own objective, schedule and collectors."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raysurf.data.dataset import AugmentSeeds, Dataset
from raysurf.errors import DataError, DivergedError
from raysurf.training.batches import TwoStreams, num_batches, shuffled
from raysurf.training.collectors import Collector
from raysurf.training.objectives import ManyViews, Objective, is_finite, step_of
from raysurf.training.schedules import Schedule, Span
from raysurf.training.workers import Workers

State = dict[str, Tensor]


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
        return self.cycle_iterations or max(1, round(self.cycle_epochs * self.steps_per_epoch(num_examples)))


@dataclass(frozen=True)
class EpochEnd:
    """What the loop knows at the end of an epoch: means over the epoch's own (augmented) batches.

    ``skipped`` is how many examples could not be read.
    """

    epoch: int
    lr: float
    train_nll: float
    train_error: float
    epoch_s: float
    skipped: int = 0


class Checkpoints:
    """Where the loop's state is kept between sittings; this one keeps nothing."""

    def load(self) -> tuple[int, State] | None:
        """The newest state and the epochs that it had done, or None."""
        return None

    def save(self, epoch: int, state: Callable[[], State]) -> None:
        """Offer a state after an epoch; whether it is taken is the keeper's choice."""


class LaterCheckpoints(Checkpoints):
    """The checkpoints of one loop among those of a job of several loops, whose epochs are counted through.

    Args:
        keeper: The job's.
        origin: Epochs of the loops before.
        saved: The job's newest state if it is of this loop, with its epoch counted through.
    """

    def __init__(self, keeper: Checkpoints, origin: int, saved: tuple[int, State] | None) -> None:
        self.keeper, self.origin, self.saved = keeper, origin, saved

    def load(self) -> tuple[int, State] | None:
        return None if self.saved is None else (self.saved[0] - self.origin, self.saved[1])

    def save(self, epoch: int, state: Callable[[], State]) -> None:
        self.keeper.save(self.origin + epoch, state)


def stream(*key: object) -> random.Random:
    """Random numbers that depend on a key alone, so that resuming needs no generator's state."""
    return random.Random("/".join(map(str, key)))


def fit(
    objective: Objective,
    data: Dataset,
    recipe: Recipe,
    workers: Workers,
    on_epoch: Callable[[EpochEnd], None],
    collectors: Sequence[Collector] = (),
    checkpoints: Checkpoints | None = None,
) -> None:
    """Train an objective by SGD or Adam, going on from the newest checkpoint.

    Everything random is drawn from (seed, epoch), so a run that was killed and resumed takes the same
    steps, to the last bit, as one that was not (on one machine's CPU, with the same number of threads).

    Args:
        objective: What is minimised; trained in place.
        data: Its training split is passed over once an epoch, in a new order each time. Of an example that cannot be
            read a batch's gradient has nothing: it is the sum over the others, divided by the batch's full size.
        recipe: Lengths, rates and seed.
        workers: The group; each worker takes its share of every batch.
        on_epoch: Called after every epoch, on every worker, before the checkpoint.
        collectors: Called after every step.
        checkpoints: Where the state is kept.

    Raises:
        DivergedError: If the loss of an epoch is not finite.
        DataError: If no image of a worker's part of a batch can be read.
    """
    keeper = checkpoints or Checkpoints()
    views = objective.views if isinstance(objective, ManyViews) else 1
    collectors = [*collectors, *(objective.collectors if isinstance(objective, ManyViews) else ())]
    tensors = list(objective.trainables.values())
    optimiser = _optimiser(objective, recipe)
    take_step = step_of(objective, optimiser)
    num_examples = len(data.train)
    per_epoch = recipe.steps_per_epoch(num_examples)
    span = Span(per_epoch * recipe.schedule_epochs, recipe.cycle_steps(num_examples), per_epoch)

    def state() -> State:
        parts: dict[str, Mapping[str, Tensor]] = {
            "trainable": objective.trainables,
            **{key: _moments(objective, optimiser, key) for key in MOMENTS},
            "buffer": dict(objective.model.named_buffers()),
        }
        for i, collector in enumerate(collectors):
            parts[f"collector{i}"] = collector.state()
        parts["loss"] = {"last": torch.tensor(last_loss, dtype=torch.float64)}
        return {f"{part}/{name}": value.detach() for part, group in parts.items() for name, value in group.items()}

    first, last_loss = 0, float("nan")
    if found := keeper.load():
        first, saved = found
        last_loss = _load(saved, objective, optimiser, collectors, first * per_epoch)
    for epoch in range(first, recipe.epochs):
        began = time.perf_counter()
        key = (recipe.seed, recipe.origin + epoch)
        torch.manual_seed(stream(*key, "model", workers.rank).getrandbits(63))
        order_from = torch.Generator().manual_seed(stream(*key, "order").getrandbits(63))
        seeds = AugmentSeeds(*(stream(*key, "augment", *own).getrandbits(63) for own in ((), (workers.rank,))))
        draw = stream(*key, "draw")
        device = data.train.labels.device
        parts = recipe.batches(num_examples, order_from, device)
        own_parts = [part[workers.share(len(part))].repeat(views) for part in parts]
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        finite_steps = torch.zeros((), dtype=torch.float64, device=device)
        objective.model.train()
        fetched = data.train.batches(own_parts, None if data.augment == "none" else seeds)
        skipped = 0
        for i, (images, labels) in enumerate(fetched):
            step = epoch * per_epoch + i
            lr = recipe.schedule.rate(step, span)
            for group in optimiser.param_groups:
                group["lr"] = lr * group["rate"]
            skipped += (len(own_parts[i]) - len(labels)) // views
            if len(own_parts[i]) and not len(labels):
                raise DataError(data.name, "a batch with no image that can be read", "most images to be readable")
            optimiser.zero_grad(set_to_none=True)
            sums += objective.backward(data.normalise(images), labels, len(parts[i]), draw)
            finite_steps += sums[0].isfinite()
            workers.sum_all([t.grad for t in tensors if t.grad is not None])
            take_step()
            for collector in collectors:
                collector.after_step(step + 1, objective)
        workers.sum(sums)
        skipped = int(workers.sum(torch.tensor(skipped, device=device)))
        if not is_finite(sums):
            workers.least(finite_steps)
            raise DivergedError(epoch + 1.0, last_loss, epoch * per_epoch + int(finite_steps) + 1)
        last_loss, train_error = (sums / (sum(map(len, parts)) - skipped)).tolist()
        on_epoch(EpochEnd(epoch + 1, lr, last_loss, train_error, time.perf_counter() - began, skipped))
        keeper.save(epoch + 1, state)


MOMENTS = ("momentum_buffer", "exp_avg", "exp_avg_sq", "step", "accumulator")


def _optimiser(objective: Objective, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimiser of the trainables; ``rate`` of each of its groups is a factor of the schedule's rate."""
    shared = [tensor for name, tensor in objective.trainables.items() if name not in objective.own_rates]
    groups: list[dict[str, Any]] = [{"params": shared, "rate": 1.0, "weight_decay": objective.decay}]
    for rate in sorted(set(objective.own_rates.values())):
        own = [objective.trainables[name] for name, factor in objective.own_rates.items() if factor == rate]
        groups.append({"params": own, "rate": rate, "weight_decay": 0.0})
    if recipe.optimiser == "adam":
        return torch.optim.Adam(groups, lr=1.0, betas=(recipe.momentum, 0.999), fused=True)
    return torch.optim.SGD(groups, lr=1.0, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)


def _moments(objective: Objective, optimiser: torch.optim.Optimizer, key: str) -> State:
    """What the optimiser keeps of each trainable under a key, so far."""
    kept = {name: optimiser.state[tensor] for name, tensor in objective.trainables.items()}
    return {name: state[key] for name, state in kept.items() if state.get(key) is not None}


@torch.no_grad()
def _load(
    saved: Mapping[str, Tensor],
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    collectors: Sequence[Collector],
    steps_done: int,
) -> float:
    """Go on from a checkpoint; gives the last epoch's loss."""
    parts: dict[str, State] = {}
    for key, value in saved.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = value
    for name, tensor in objective.trainables.items():
        tensor.copy_(parts["trainable"][name])
        for key in MOMENTS:
            if (saved_moment := parts.get(key, {}).get(name)) is not None:
                # The fused step needs it in the tensor's own memory layout.
                own = torch.empty_like(tensor) if saved_moment.shape == tensor.shape else torch.empty_like(saved_moment)
                optimiser.state[tensor][key] = own.to(tensor.device).copy_(saved_moment)
    for name, buffer in objective.model.named_buffers():
        buffer.copy_(parts["buffer"][name])
    for i, collector in enumerate(collectors):
        device = next(iter(objective.trainables.values())).device
        collector.load({k: v.to(device, copy=True) for k, v in parts.get(f"collector{i}", {}).items()}, steps_done)
    return float(parts["loss"]["last"]) if "loss" in parts else float("nan")

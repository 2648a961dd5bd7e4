"""The training loop, and when its state is saved in the middle of an epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from raysurf.data.dataset import Dataset
from raysurf.errors import PreemptedError
from raysurf.training import fast
from raysurf.training.checkpoints import Checkpoints, Place, State
from raysurf.training.epoch import Epoch, Recipe
from raysurf.training.objective import Collector, ManyViews, Objective, step_of
from raysurf.training.schedules import Span
from raysurf.training.workers import Workers, never
from raysurf.weightspace.point import write


class Seen(NamedTuple):
    """What all workers of a group are to do now: leave, and save a state beforehand or anyway."""

    leave: bool
    save: bool


class Lookout:
    """Finds out, for all workers of a group after the same step, whether any of them has been told to leave.

    A lone worker looks after every step. A group, whose look is a message, looks about every ``EVERY_S`` seconds: at
    each look rank 0 says after how many steps the next one is.
    """

    EVERY_S = 1.0

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self._ahead = self._left = 1
        self._looked = time.perf_counter()

    def look(self, is_due: Callable[[], bool] = never) -> Seen:
        """What is to be done after this step, which every worker must ask after each.

        Args:
            is_due: Whether a state should be saved anyway; rank 0 is asked.
        """
        workers = self.workers
        if workers.size == 1:
            leaves = workers.is_told()
            return Seen(leaves, leaves or is_due())
        self._left -= 1
        if self._left:
            return Seen(False, False)
        is_first = workers.rank == 0
        said = [workers.is_told(), is_first and is_due(), is_first * self._next()]
        told_by, due, ahead = workers.sum(torch.tensor(said, dtype=torch.float64, device=workers.device)).tolist()
        self._ahead = self._left = int(ahead)
        self._looked = time.perf_counter()
        return Seen(told_by > 0, told_by > 0 or due > 0)

    def _next(self) -> int:
        """Steps of ``EVERY_S`` seconds, as fast as those since the last look; not many more than those were."""
        if self.workers.device.type == "cuda":
            torch.cuda.synchronize(self.workers.device)
        step_s = (time.perf_counter() - self._looked) / self._ahead
        return max(1, min(10 * self._ahead, int(self.EVERY_S / max(step_s, 1e-9))))


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

    A worker that is told to leave (``Workers.is_told``) saves the state after the step that it is at, and so does all
    of its group. Long epochs are saved in their middle anyway.

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
        PreemptedError: If it leaves; the state is kept.
    """
    keeper, lookout = checkpoints or Checkpoints(), Lookout(workers)
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

    def save_and_leave(place: Place, within: Epoch | None = None) -> None:
        """Save what is to be saved at the end of an epoch or within one, and leave if that is to be."""
        seen = lookout.look(keeper.is_due)
        if within is None:
            keeper.save(place, state, must=seen.save)
        elif seen.save:
            middle = {f"epoch/{name}": value for name, value in within.state().items()}
            keeper.save(place, lambda: state() | middle, must=True)
        if seen.leave:
            # Nobody leaves before rank 0 has saved it.
            workers.barrier()
            raise PreemptedError(str(place.after(recipe.origin)))

    place, last_loss, middle = Place(0), float("nan"), State()
    if kept := keeper.load():
        place, saved = kept
        parts = _parts(saved)
        last_loss = _load(parts, objective, optimiser, collectors, place.epoch * per_epoch + place.step)
        middle = parts.get("epoch", {})
    for number in range(place.epoch, recipe.epochs):
        epoch = Epoch(number, recipe, data, workers, views)
        if number == place.epoch and place.step:
            epoch.load(middle, place.step)
        objective.model.train()
        for images, labels, batch_size in epoch.batches():
            lr = recipe.schedule.rate(number * per_epoch + epoch.steps_done, span)
            for group in optimiser.param_groups:
                group["lr"] = lr * group["rate"]
            optimiser.zero_grad(set_to_none=True)
            epoch.add(objective.backward(data.normalise(images), labels, batch_size, epoch.draw))
            workers.sum_all([t.grad for t in tensors if t.grad is not None])
            take_step()
            for collector in collectors:
                collector.after_step(number * per_epoch + epoch.steps_done, objective)
            save_and_leave(Place(number, epoch.steps_done), epoch)
        last_loss, train_error = epoch.means(last_loss)
        # Each worker has statistics of its own batches, and only rank 0's are saved.
        workers.follow(objective.model.buffers())
        lr = recipe.schedule.rate((number + 1) * per_epoch - 1, span)
        on_epoch(EpochEnd(number + 1, lr, last_loss, train_error, epoch.seconds, epoch.skipped))
        save_and_leave(Place(number + 1))


MOMENTS = ("momentum_buffer", "exp_avg", "exp_avg_sq", "step", "accumulator")


def _optimiser(objective: Objective, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimiser of the trainables; ``rate`` of each of its groups is a factor of the schedule's rate."""
    shared = [tensor for name, tensor in objective.trainables.items() if name not in objective.own_rates]
    groups: list[dict[str, Any]] = [{"params": shared, "rate": 1.0, "weight_decay": objective.decay}]
    for rate in sorted(set(objective.own_rates.values())):
        own = [objective.trainables[name] for name, factor in objective.own_rates.items() if factor == rate]
        groups.append({"params": own, "rate": rate, "weight_decay": 0.0})
    # torch's fused steps know no complex numbers.
    fused = not any(tensor.is_complex() for tensor in objective.trainables.values())
    if recipe.optimiser == "adam":
        return fast.Adam(groups, lr=1.0, betas=(recipe.momentum, 0.999), fused=fused)
    return fast.SGD(groups, lr=1.0, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused)


def _moments(objective: Objective, optimiser: torch.optim.Optimizer, key: str) -> State:
    """What the optimiser keeps of each trainable under a key, so far."""
    kept = {name: optimiser.state[tensor] for name, tensor in objective.trainables.items()}
    return {name: state[key] for name, state in kept.items() if state.get(key) is not None}


def _parts(saved: Mapping[str, Tensor]) -> dict[str, State]:
    """The parts of a checkpoint by name."""
    parts: dict[str, State] = {}
    for key, value in saved.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = value
    return parts


@torch.no_grad()
def _load(
    parts: Mapping[str, State],
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    collectors: Sequence[Collector],
    steps_done: int,
) -> float:
    """Go on from the parts of a checkpoint; gives the last epoch's loss."""
    for name, tensor in objective.trainables.items():
        tensor.copy_(parts["trainable"][name])
        for key in MOMENTS:
            if (saved_moment := parts.get(key, {}).get(name)) is not None:
                # The fused step needs it in the tensor's own memory layout.
                own = torch.empty_like(tensor) if saved_moment.shape == tensor.shape else torch.empty_like(saved_moment)
                optimiser.state[tensor][key] = own.to(tensor.device).copy_(saved_moment)
    for name, buffer in objective.model.named_buffers():
        write(buffer, parts["buffer"][name])
    for i, collector in enumerate(collectors):
        device = next(iter(objective.trainables.values())).device
        collector.load({k: v.to(device, copy=True) for k, v in parts.get(f"collector{i}", {}).items()}, steps_done)
    return float(parts["loss"]["last"]) if "loss" in parts else float("nan")

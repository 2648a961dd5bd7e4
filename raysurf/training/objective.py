"""What a step minimises, and what is collected of the iterates."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.training.evaluation import autocast, logits_of
from raysurf.training.schedules import Cycles
from raysurf.weightspace.average import RunningAverage
from raysurf.weightspace.point import buffers_of


class Objective(Protocol):
    """A loss with the tensors that it trains.

    Attributes:
        model: The network whose forward pass is taken, and whose buffers belong to the training state.
        trainables: Leaf tensors by name; ``backward`` leaves their gradients in ``.grad``.
        decay: L2 coefficient that the optimiser applies to the trainables; 0 if the objective does it itself.
        own_rates: Trainables by name whose learning rate is that many times the schedule's, and which have no decay.
    """

    model: nn.Module
    trainables: Mapping[str, Tensor]
    decay: float
    own_rates: Mapping[str, float]

    def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
        """Leave in ``.grad`` this worker's part of the gradient of the mean over the global batch.

        Args:
            inputs: [b, C, H, W] float32, this worker's part of the batch.
            labels: [b] int64.
            num_examples: Size of the global batch; parts of all workers add up to the gradient.
            draw: Random numbers that are the same on every worker.

        Returns:
            [2] float64, detached: summed nll, wrong answers of this part.
        """
        ...


@runtime_checkable
class OwnStep(Protocol):
    """An objective that takes a part of the optimiser's step itself, so that not all its gradients need be written."""

    def own_step(self, optimiser: torch.optim.Optimizer) -> Callable[[], object]:
        """What is called after each ``backward`` from now on, instead of ``optimiser.step``, with the same effect.

        From now on ``backward`` need not leave all gradients in ``.grad``. What the optimiser keeps of a tensor stays
        in its state.
        """
        ...


@runtime_checkable
class ManyViews(Protocol):
    """An objective that sees every image of a batch several times, each time augmented anew.

    Its ``backward`` is given one view of each image, then the next of each, with as many labels.

    Attributes:
        views: How many times.
        collectors: What must see it after every step, besides those of the job.
    """

    views: int
    collectors: Sequence[Collector]


def step_of(objective: Objective, optimiser: torch.optim.Optimizer) -> Callable[[], object]:
    """What takes a step after ``backward``: the optimiser, unless the objective brings its own."""
    return objective.own_step(optimiser) if isinstance(objective, OwnStep) else optimiser.step


def cross_entropy(model: nn.Module, inputs: Tensor, labels: Tensor, num_examples: int, precision: str) -> Tensor:
    """Add a part's gradient of the mean cross-entropy to the model's parameters, where gradients are wanted.

    Args:
        model: Called on the inputs as it stands.
        inputs: [b, C, H, W] float32.
        labels: [b] int64.
        num_examples: Size of the whole batch that the mean is over.
        precision: fp32 or bf16.

    Returns:
        [2] float64, detached: summed nll, wrong answers of this part.
    """
    with autocast(precision, inputs.device):
        logits = logits_of(model(inputs))
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    nll = F.cross_entropy(logits, labels, reduction="sum")
    if nll.requires_grad:
        (nll / num_examples).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return torch.stack([nll.detach().double(), (logits.argmax(dim=1) != labels).sum().double()])


class CrossEntropy:
    """Mean cross-entropy of one network, with L2 (half ``decay`` times the sum of squares) by the optimiser."""

    own_rates: Mapping[str, float] = {}

    def __init__(self, model: nn.Module, decay: float, precision: str) -> None:
        self.model, self.decay, self.precision = model, decay, precision
        self.trainables: Mapping[str, Tensor] = dict(model.named_parameters())

    def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
        return cross_entropy(self.model, inputs, labels, num_examples, self.precision)


def is_finite(total: Tensor) -> bool:
    """Whether a summed loss is still a number."""
    return all(math.isfinite(value) for value in total.tolist())


class Collector(Protocol):
    """Sees the objective after every step; its state is part of the checkpoint."""

    def after_step(self, steps_done: int, objective: Objective) -> None:
        """Take what it wants of the weights after ``steps_done`` steps."""

    def state(self) -> dict[str, Tensor]:
        """Tensors that ``load`` needs to go on."""
        return {}

    def load(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        """Go on from a state that was taken after ``steps_done`` steps."""
        return


class Timed(Collector):
    """A collector that sets something of the objective by the number of steps done alone, from the start on."""

    def set(self, steps_done: int) -> None:
        """Set it."""
        raise AssertionError(f"{type(self).__name__} sets nothing")

    def after_step(self, steps_done: int, objective: Objective) -> None:
        self.set(steps_done)

    def load(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        self.set(steps_done)


def trainables(objective: Objective) -> Mapping[str, Tensor]:
    """What is trained."""
    return objective.trainables


def floating_buffers(objective: Objective) -> Mapping[str, Tensor]:
    """The network's buffers, counters left out."""
    return {name: value for name, value in buffers_of(objective.model).items() if value.is_floating_point()}


class CycleAverage(Collector):
    """The mean (or further moments) of the weights at the end of each cycle.

    Args:
        cycles: The steps after which weights are taken.
        average: Where the mean grows; it may hold the start weights already.
        on_member: Told the number, from 1, of every member that is taken.
        source: What is averaged.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), algorithm 1.
    """

    def __init__(
        self,
        cycles: Cycles,
        average: RunningAverage,
        on_member: Callable[[int], None] = lambda number: None,
        source: Callable[[Objective], Mapping[str, Tensor]] = trainables,
    ) -> None:
        self.cycles, self.average, self.on_member = cycles, average, on_member
        self._source = source
        self._initial = average.count

    def after_step(self, steps_done: int, objective: Objective) -> None:
        if (members := self.cycles.members(steps_done)) > self.cycles.members(steps_done - 1):
            self.average.add(self._source(objective))
            self.on_member(members)

    def state(self) -> dict[str, Tensor]:
        return self.average.state()

    def load(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        self.average.restore(state, self._initial + self.cycles.members(steps_done))

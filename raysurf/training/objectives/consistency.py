"""Consistency training on labelled and unlabelled examples, as an objective; its teacher and ramp-up as collectors."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.data.dataset import UNLABELLED
from raysurf.stochastic.effective import copy_of
from raysurf.training.evaluation import autocast, logits_of
from raysurf.training.objective import Collector, Objective, Timed


def ramp_up(epoch: int, epochs: int) -> float:
    """exp(-5 (1 - t)^2) with t = epoch / epochs, and 1 from then on.

    Source:
        Laine & Aila 2017 (arXiv:1610.02242), section 3; in the code t changes once an epoch.
    """
    return 1.0 if epoch >= epochs else math.exp(-5.0 * (1.0 - epoch / epochs) ** 2)


class ConsistencyLoss:
    """Cross-entropy of the labelled examples of a batch, and agreement with a teacher on all of them.

    sum_labelled CE / B + w(t) / (B classes) * sum |softmax(f(x')) - softmax(teacher(x''))|^2, over a batch of B, x' and
    x'' being two views of x. The teacher is in training mode too, and no gradient goes through it.

    Args:
        model: Trained in place. With ``pi`` it is its own teacher, and its batch-norm statistics see both views.
        spec: A ``Consistency``: method and weights.
        decay: L2 coefficient, by the optimiser.
        precision: fp32 or bf16.
        steps_per_epoch: Of the ramp-up.
        epochs_before: Epochs that were trained so by the jobs it starts from; ramp-up and teacher go on from there.

    Source:
        See ``Consistency``. Deviation: a mean teacher begins as a copy of the network; in the code it has random
        weights of its own.
    """

    own_rates: Mapping[str, float] = {}
    views = 2

    def __init__(
        self,
        model: nn.Module,
        spec: Any,
        decay: float,
        precision: str,
        steps_per_epoch: int,
        epochs_before: int = 0,
    ) -> None:
        self.model, self.spec, self.decay, self.precision = model, spec, decay, precision
        self.trainables: Mapping[str, Tensor] = dict(model.named_parameters())
        self.weight = 0.0
        self.teacher = model
        self.collectors: Sequence[Collector] = [RampUp(self, steps_per_epoch, epochs_before)]
        if spec.method == "mean_teacher":
            self.teacher = copy_of(model).requires_grad_(False)
            steps_before = epochs_before * steps_per_epoch
            self.collectors = [*self.collectors, TeacherAverage(self.teacher, spec.teacher_decay, steps_before)]

    def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
        """Leave this part's gradient.

        Args:
            inputs: [2 b, C, H, W]: one view of each image, then another of each.
            labels: [2 b], the same ones twice; -1 where there is none.
            num_examples: Size of the global batch, each image counted once.
            draw: Not looked at.

        Returns:
            [2] float64: nll and wrong answers of the labelled examples, times the batch's size over its labelled
            ones, so that sums over an epoch divided by all examples are means over the labelled.
        """
        own_view, teacher_view = self._noisy(inputs).chunk(2)
        labels = labels[: len(own_view)]
        known = labels != UNLABELLED
        self.teacher.train()
        with autocast(self.precision, inputs.device):
            with torch.no_grad():
                target = logits_of(self.teacher(teacher_view))
            logits = logits_of(self.model(own_view))
        logits, target = (values.to(torch.promote_types(values.dtype, torch.float32)) for values in (logits, target))
        nll = F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
        apart = F.mse_loss(logits.softmax(1), target.softmax(1), reduction="sum") / logits.shape[1]
        ((nll + self.weight * apart) / num_examples).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            wrong = ((logits.argmax(dim=1) != labels) & known).sum()
            # A disagreement that is not finite must show in this step's loss.
            sums = torch.stack([nll.detach().double() + 0.0 * apart.detach().double(), wrong.double()])
            scale: float = num_examples / self.spec.labelled_batch
            return sums * scale

    def _noisy(self, inputs: Tensor) -> Tensor:
        return inputs + self.spec.noise * torch.randn_like(inputs) if self.spec.noise else inputs


class RampUp(Timed):
    """Sets the weight of the consistency, which rises from epoch to epoch.

    Args:
        objective: Whose weight is set.
        steps_per_epoch: Steps an epoch.
        epochs_before: Epochs that count as done at the start.
    """

    def __init__(self, objective: ConsistencyLoss, steps_per_epoch: int, epochs_before: int) -> None:
        self.objective, self.steps_per_epoch, self.epochs_before = objective, steps_per_epoch, epochs_before
        self.set(0)

    def set(self, steps_done: int) -> None:
        epoch = self.epochs_before + steps_done // self.steps_per_epoch
        spec = self.objective.spec
        self.objective.weight = spec.weight * ramp_up(epoch, spec.ramp_up_epochs)


class TeacherAverage(Collector):
    """The teacher's weights: theta' = a theta' + (1 - a) theta after every step, a = min(1 - 1 / (step + 1), decay).

    Its buffers are its own, from its own forward passes, and part of the state.

    Args:
        teacher: Changed in place.
        decay: The largest a.
        steps_before: Steps that count as done at the start.

    Source:
        Tarvainen & Valpola 2017 (arXiv:1703.01780), section 2, and its code, whose steps count from 1.
    """

    def __init__(self, teacher: nn.Module, decay: float, steps_before: int = 0) -> None:
        self.teacher, self.decay, self.steps_before = teacher, decay, steps_before

    @torch.no_grad()
    def after_step(self, steps_done: int, objective: Objective) -> None:
        a = min(1.0 - 1.0 / (self.steps_before + steps_done + 1), self.decay)
        for name, value in self.teacher.named_parameters():
            value.lerp_(objective.trainables[name], 1.0 - a)

    def state(self) -> dict[str, Tensor]:
        return {**dict(self.teacher.named_parameters()), **dict(self.teacher.named_buffers())}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        for name, value in self.state().items():
            value.copy_(state[name])

"""What a step of training minimises: each objective turns a batch into gradients of its trainables."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.training.evaluation import autocast
from raysurf.weightspace import curve
from raysurf.weightspace.point import Point, combine, place


class Objective(Protocol):
    """A loss with the tensors that it trains.

    Attributes:
        model: The network whose forward pass is taken, and whose buffers belong to the training state.
        trainables: Leaf tensors by name; ``backward`` leaves their gradients in ``.grad``.
        decay: L2 coefficient that the optimiser applies to the trainables; 0 if the objective does it itself.
    """

    model: nn.Module
    trainables: Mapping[str, Tensor]
    decay: float

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


def _cross_entropy(model: nn.Module, inputs: Tensor, labels: Tensor, num_examples: int, precision: str) -> Tensor:
    with autocast(precision, inputs.device):
        logits = model(inputs)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    nll = F.cross_entropy(logits, labels, reduction="sum")
    (nll / num_examples).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return torch.stack([nll.detach().double(), (logits.argmax(dim=1) != labels).sum().double()])


class CrossEntropy:
    """Mean cross-entropy of one network, with L2 (half ``decay`` times the sum of squares) by the optimiser."""

    def __init__(self, model: nn.Module, decay: float, precision: str) -> None:
        self.model, self.decay, self.precision = model, decay, precision
        self.trainables: Mapping[str, Tensor] = dict(model.named_parameters())

    def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
        return _cross_entropy(self.model, inputs, labels, num_examples, self.precision)


class CurveLoss:
    """The loss at a random point of a curve, whose gradient goes to the free control points.

    l(theta) = E_t [ CE(phi_theta(t)) + decay/2 |phi_theta(t)|^2 ],  t ~ U(0, 1), one t a step;
    d l / d theta_i = c_i(t) d l / d phi(t)

    Args:
        model: Its parameters are overwritten by phi(t) at each step.
        shape: ``polygonal`` or ``bezier``.
        start, end: The fixed ends.
        bends: The free control points; trained in place.
        decay: L2 coefficient on phi(t), not on the control points.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 3.2, equation 2.
    """

    decay = 0.0

    def __init__(
        self,
        model: nn.Module,
        shape: str,
        start: Point,
        end: Point,
        bends: Sequence[Point],
        decay: float,
        precision: str,
    ) -> None:
        self.model, self.shape, self.curve_decay, self.precision = model, shape, decay, precision
        self.control_points = [start, *bends, end]
        self.trainables: Mapping[str, Tensor] = {
            f"bend{i}.{name}": value for i, bend in enumerate(bends, start=1) for name, value in bend.items()
        }

    def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
        c = curve.coefficients(self.shape, len(self.control_points) - 2, draw.random())
        place(self.model, combine(self.control_points, c))
        parameters = dict(self.model.named_parameters())
        for value in parameters.values():
            value.grad = None
        sums = _cross_entropy(self.model, inputs, labels, num_examples, self.precision)
        names = [name for name, value in parameters.items() if value.grad is not None]
        gradients = [g for name in names if (g := parameters[name].grad) is not None]
        if self.curve_decay and gradients:
            share = self.curve_decay * len(labels) / num_examples
            torch._foreach_add_(gradients, [parameters[name].detach() for name in names], alpha=share)
        for i, bend in enumerate(self.control_points[1:-1], start=1):
            for name, gradient in zip(names, gradients, strict=True):
                bend[name].grad = gradient * c[i]
        return sums


def is_finite(total: Tensor) -> bool:
    """Whether a summed loss is still a number."""
    return all(math.isfinite(value) for value in total.tolist())

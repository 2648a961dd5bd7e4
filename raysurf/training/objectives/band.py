"""The nudged elastic band as an objective of the training loop, and the sliding of its points as a collector."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raysurf.training.objective import Collector, Objective, cross_entropy
from raysurf.training.workers import Workers
from raysurf.weightspace import band
from raysurf.weightspace.point import Point, place, require_same, squared_norm


class BandLoss:
    """One batch at every point of a band: each interior point goes down its loss, but not along the band.

    V_i = CE(R_i) + decay/2 |R_i|^2 on the batch, the same one for all points, so that their differences, which decide
    the tangents, are not those of batches (the reference code takes a batch a point).

    Args:
        model: Its parameters are overwritten by each point in turn.
        points: The band, its fixed ends included; the interior ones are trained in place.
        decay: L2 coefficient of every point, but for frozen weights.
        spring: Stiffness; None for ``Redistribution`` after each step.
        precision: fp32 or bf16.
        workers: The group, over which energies are summed.

    Raises:
        PointMismatchError: If the points and the model differ in names or shapes.

    Source:
        Draxler et al. 2018 (arXiv:1803.00885), section 3.1, with the tangents of Henkelman & Jonsson 2000.
    """

    decay = 0.0
    own_rates: Mapping[str, float] = {}

    def __init__(
        self,
        model: nn.Module,
        points: Sequence[Point],
        decay: float,
        spring: float | None,
        precision: str,
        workers: Workers | None = None,
    ) -> None:
        self.model, self.points, self.band_decay, self.spring = model, list(points), decay, spring
        self.precision, self.workers = precision, workers or Workers()
        self._parameters = dict(model.named_parameters())
        for point in self.points:
            require_same(self._parameters, point)
        self.trainables: Mapping[str, Tensor] = {
            f"pivot{i}.{name}": value for i, point in enumerate(self.points[1:-1], 1) for name, value in point.items()
        }

    def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
        share = len(labels) / num_examples
        energies = torch.zeros(len(self.points), dtype=torch.float64, device=inputs.device)
        totals = torch.zeros(2, dtype=torch.float64, device=inputs.device)
        gradients: list[Point] = []
        for i, point in enumerate(self.points):
            interior = 0 < i < len(self.points) - 1
            place(self.model, point)
            for value in self._parameters.values():
                value.grad = None
            with torch.set_grad_enabled(interior):
                sums = cross_entropy(self.model, inputs, labels, num_examples, self.precision)
            energies[i] = sums[0] / num_examples
            if interior:
                totals += sums / (len(self.points) - 2)
                gradients.append(self._gradient(point, share))
        self.workers.sum(energies)
        if self.band_decay:
            trained = [name for name, value in self._parameters.items() if value.requires_grad]
            norms = [squared_norm({name: point[name] for name in trained}) for point in self.points]
            energies += 0.5 * self.band_decay * torch.tensor(norms).to(energies)
        band.nudge(self.points, gradients, energies.tolist(), self.spring, share)
        for point, gradient in zip(self.points[1:-1], gradients, strict=True):
            for name, tensor in point.items():
                tensor.grad = gradient[name]
        return totals

    @torch.no_grad()
    def _gradient(self, point: Point, share: float) -> Point:
        gradients = {}
        for name, value in self._parameters.items():
            # As in an optimiser, what no gradient reaches, such as a frozen weight, does not decay.
            gradients[name] = torch.zeros_like(value) if value.grad is None else value.grad
            if value.grad is not None:
                gradients[name].add_(point[name], alpha=share * self.band_decay)
            value.grad = None
        return gradients


class Redistribution(Collector):
    """After every step the interior points slide along the band to their shares of its length.

    Args:
        targets: A share of the length for every point, ends included, from 0 to 1.
    """

    def __init__(self, targets: Sequence[float]) -> None:
        self.targets = list(targets)

    def after_step(self, steps_done: int, objective: Objective) -> None:
        assert isinstance(objective, BandLoss), "only a band can be redistributed"
        band.redistribute(objective.points, self.targets)

    def state(self) -> dict[str, Tensor]:
        return {"targets": torch.tensor(self.targets, dtype=torch.float64)}

    def load(self, state: Mapping[str, Tensor], steps_done: int) -> None:
        self.targets = state["targets"].tolist()

"""The loss along a curve in weight space, as an objective of the training loop."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from raysurf.training import fast
from raysurf.training.objective import cross_entropy
from raysurf.training.workers import Workers
from raysurf.weightspace import curve
from raysurf.weightspace.point import Point, require_same


class CurveLoss:
    """The loss at a random point of a curve, whose gradient goes to the free control points.

    l(theta) = E_t [ CE(phi_theta(t)) + decay/2 |phi_theta(t)|^2 ],  t ~ U(0, 1);
    d l / d theta_i = c_i(t) d l / d phi(t)

    One t is drawn a step; with S strata the batch is cut into S parts, and part s has its own t from [s/S, (s+1)/S],
    which lessens the gradient's variance. With S workers each has a part, at no cost; any number takes the same steps.

    Beyond an SGD step's memory there are the control points, and a gradient and a momentum for each free one, less
    the gradients that ``own_step`` saves.

    Args:
        model: Its parameters are overwritten by phi(t) at each step.
        shape: ``polygonal`` or ``bezier``.
        control_points: theta_0 .. theta_K, ends included; the free ones are trained in place.
        free: Numbers of those that are trained.
        decay: L2 coefficient on phi(t), not on the control points.
        precision: fp32 or bf16.
        workers: This worker's place in its group, which decides its part of a batch.
        strata: S.

    Raises:
        PointMismatchError: If the control points and the model differ in names or shapes.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 3.2, equation 2. Strata are ours; with one it is the paper's.
    """

    decay = 0.0
    own_rates: Mapping[str, float] = {}

    def __init__(
        self,
        model: nn.Module,
        shape: str,
        control_points: Sequence[Point],
        free: Sequence[int],
        decay: float,
        precision: str,
        workers: Workers | None = None,
        strata: int = 1,
    ) -> None:
        self.model, self.shape, self.control_points, self.free = model, shape, list(control_points), tuple(free)
        self.curve_decay, self.precision, self.strata = decay, precision, strata
        self.workers = workers or Workers()
        self._parameters = dict(model.named_parameters())
        for point in self.control_points:
            require_same(self._parameters, point)
        self._rows = [[point[name] for name in self._parameters] for point in self.control_points]
        self._gradients: dict[tuple[int, int], Tensor] = {}
        self._large: tuple[int, ...] = ()
        self._c: Sequence[float] = ()
        self._on_gpu = next(iter(self._parameters.values())).is_cuda
        self.trainables: Mapping[str, Tensor] = {
            f"point{i}.{name}": value for i in self.free for name, value in self.control_points[i].items()
        }

    def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
        totals = torch.zeros(2, dtype=torch.float64, device=inputs.device)
        # Of few examples there are fewer strata, so that batch norm has two in each.
        strata = min(self.strata, max(1, num_examples // 2))
        ts = [(s + draw.random()) / strata for s in range(strata)]
        # A worker without examples still has gradients (of zero), since all workers sum theirs.
        parts = list(self._parts(ts, len(labels), num_examples)) or [(ts[0], slice(0, 0))]
        for t, part in parts:
            totals += self._at(t, inputs[part], labels[part], num_examples)
        return totals

    def own_step(self, optimiser: torch.optim.Optimizer) -> Callable[[], object]:
        """A step for which the free control points' gradients of large tensors, multiples of one, are never written.

        On a CPU, with one worker and one stratum; ``backward`` then leaves none of them in ``.grad``.
        """
        if self._on_gpu or self.workers.size > 1 or self.strata > 1 or not fast.serves(optimiser):
            self._large = ()
            return optimiser.step
        parameters = list(self._parameters.values())
        self._large = tuple(k for k, value in enumerate(parameters) if value.numel() >= fast.CHUNK)

        def step() -> None:
            for k in self._large:
                gradient, free = parameters[k].grad, [self._rows[i][k] for i in self.free]
                c = [self._c[i] for i in self.free]
                if gradient is not None and not fast.sgd_step(optimiser, free, gradient, c):
                    self._add_gradients(k, gradient, self._c)
            optimiser.step()

        return step

    def _parts(self, ts: Sequence[float], count: int, num_examples: int) -> Iterator[tuple[float, slice]]:
        """This worker's examples of every stratum."""
        offset = self.workers.share(num_examples).start
        for s, t in enumerate(ts):
            part = Workers(s, len(ts)).share(num_examples)
            first, last = max(part.start - offset, 0), min(part.stop - offset, count)
            if first < last:
                yield t, slice(first, last)

    def _at(self, t: float, inputs: Tensor, labels: Tensor, num_examples: int) -> Tensor:
        self._c = c = curve.coefficients(self.shape, len(self.control_points) - 2, t)
        parameters: list[Tensor] = list(self._parameters.values())
        self._place(parameters, c)
        for value in parameters:
            value.grad = None
        sums = cross_entropy(self.model, inputs, labels, num_examples, self.precision)
        self._hand_on(parameters, c, self.curve_decay * len(labels) / num_examples)
        return sums

    # Both loops go tensor by tensor, so that on a CPU what one operation wrote is still in its cache for the next.

    @torch.no_grad()
    def _place(self, parameters: list[Tensor], c: Sequence[float]) -> None:
        """Write phi(t) into the model without a copy of it beside."""
        terms = [(row, weight) for row, weight in zip(self._rows, c, strict=True) if weight != 0.0]
        if self._on_gpu:
            torch._foreach_copy_(parameters, torch._foreach_mul(terms[0][0], terms[0][1]))
            for row, weight in terms[1:]:
                torch._foreach_add_(parameters, row, alpha=weight)
            return
        for k, value in enumerate(parameters):
            torch.mul(terms[0][0][k], terms[0][1], out=value.data)
            for row, weight in terms[1:]:
                value.data.add_(row[k], alpha=weight)

    @torch.no_grad()
    def _hand_on(self, parameters: list[Tensor], c: Sequence[float], decay: float) -> None:
        """Add the gradient at phi(t), times their coefficients, to those of the free control points."""
        reached = [k for k, value in enumerate(parameters) if value.grad is not None]
        gradients = [value.grad for value in parameters if value.grad is not None]
        if self._on_gpu and decay and reached:
            torch._foreach_add_(gradients, [parameters[k] for k in reached], alpha=decay)
        for k, gradient in zip(reached, gradients, strict=True):
            if decay and not self._on_gpu:
                gradient.add_(parameters[k], alpha=decay)
            if k not in self._large:
                self._add_gradients(k, gradient, c)

    @torch.no_grad()
    def _add_gradients(self, k: int, gradient: Tensor, c: Sequence[float]) -> None:
        for i in self.free:
            value = self._rows[i][k]
            if value.grad is not None:
                value.grad.add_(gradient, alpha=c[i])
                continue
            # Its memory is kept from step to step: asking for it anew costs more than writing it.
            if (i, k) not in self._gradients:
                self._gradients[i, k] = torch.empty_like(value)
            value.grad = torch.mul(gradient, c[i], out=self._gradients[i, k])

"""Averages of points, and the Gaussian of SWAG over them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from raysurf.weightspace.point import Point, parts, require_same


class RunningAverage:
    """The mean of the points added so far, kept in fp32 or better.

    w_avg <- w_avg + (w - w_avg) / (n + 1)

    Args:
        average: The mean so far, or None to start empty.
        count: How many points it is the mean of.
        device: Where the mean is kept; None for that of the first point.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), algorithm 1.
    """

    def __init__(self, average: Point | None = None, count: int = 0, device: torch.device | str | None = None) -> None:
        assert (average is None) == (count == 0), "a mean has members"
        self.average, self.count, self.device = average, count, device

    @torch.no_grad()
    def add(self, point: Mapping[str, Tensor]) -> None:
        """Take one more point into the mean.

        Raises:
            PointMismatchError: If its names or shapes are not those of the points before.
        """
        if self.average is None:
            self.average = {
                name: value.detach().to(self.device, torch.promote_types(value.dtype, torch.float32), copy=True)
                for name, value in point.items()
            }
        else:
            require_same(self.average, point)
            mean = list(self.average.values())
            new = [point[name].to(value) for name, value in self.average.items()]
            torch._foreach_lerp_(mean, new, 1.0 / (self.count + 1))
        self.count += 1

    def state(self) -> dict[str, Tensor]:
        """Tensors that ``restore`` needs to go on."""
        return dict(self.average or {})

    def restore(self, state: Mapping[str, Tensor], count: int) -> None:
        """Go on from a state of so many points."""
        self.average = {name: value.to(self.device) for name, value in state.items()} if state else None
        self.count = count


Covariance = Literal["low_rank", "diagonal"]


class Moments(RunningAverage):
    """Mean, variance of every weight, and the last deviations from the mean, as points are added.

    With delta = w - mean before the point is added: mean <- mean + delta / n, M2 <- M2 + delta (w - mean); the variance
    is M2 / n, which is E[w^2] - E[w]^2 without its cancellation. A deviation is w - mean, the mean having w in it.

    Args:
        rank: Deviations that are kept, the newest; 0 for none.
        device: Where all of it is kept; None for that of the points.

    Source:
        Maddox et al. 2019 (arXiv:1902.02476), section 3.1-3.2, algorithm 1; updates of the variance after Welford 1962.
    """

    def __init__(self, rank: int, device: torch.device | str | None = None) -> None:
        super().__init__(device=device)
        self.rank = rank
        self.squares: Point = {}
        self.deviations: deque[Point] = deque(maxlen=rank)

    @torch.no_grad()
    def add(self, point: Mapping[str, Tensor]) -> None:
        """Take one more point into the moments; names and shapes as in the first."""
        before = {} if self.average is None else {name: value.clone() for name, value in self.average.items()}
        super().add(point)
        assert self.average is not None
        new = {name: point[name].to(value) for name, value in self.average.items()}
        if not before:
            self.squares = {name: torch.zeros_like(parts(value)) for name, value in self.average.items()}
        for name, old in before.items():
            self.squares[name].addcmul_(parts(new[name] - old), parts(new[name] - self.average[name]))
        if self.rank:
            self.deviations.append({name: value - self.average[name] for name, value in new.items()})

    @property
    def variance(self) -> Point:
        """The variance of every weight over the points so far (divided by their number), >= 0; shaped as ``parts``."""
        return {name: value.clamp(min=0) / self.count for name, value in self.squares.items()}

    def state(self) -> dict[str, Tensor]:
        """Tensors that ``restore`` needs to go on."""
        groups = {"mean": self.average or {}, "squares": self.squares}
        groups |= {f"deviation{number}": deviation for number, deviation in enumerate(self.deviations)}
        return {f"{part}/{name}": value for part, group in groups.items() for name, value in group.items()}

    def restore(self, state: Mapping[str, Tensor], count: int) -> None:
        """Go on from a state of so many points."""
        groups: dict[str, Point] = {}
        for key, value in state.items():
            part, _, name = key.partition("/")
            groups.setdefault(part, {})[name] = value.to(self.device)
        super().restore(groups.pop("mean", {}), count)
        self.squares = groups.pop("squares", {})
        self.deviations.clear()
        self.deviations.extend(groups[f"deviation{number}"] for number in range(len(groups)))


def sample(
    mean: Mapping[str, Tensor],
    variance: Mapping[str, Tensor],
    deviations: list[Point],
    scale: float,
    generator: torch.Generator,
) -> Point:
    """Draw a point from SWAG's Gaussian.

    w = mean + sqrt(scale) (sqrt(variance) z1 + D z2 / sqrt(K - 1)), with z1, z2 standard normal and D the K deviations
    side by side: its covariance is scale (diag(variance) + D D^T / (K - 1)). The paper's is scale = 1/2; without
    deviations it is the diagonal Gaussian, whose scale there is 1.

    Args:
        mean: The mean point.
        variance: Of every weight, >= 0; shaped as ``parts`` of the mean.
        deviations: The K deviations; an empty list for the diagonal Gaussian, else at least two.
        scale: Factor of the covariance, >= 0.
        generator: On the CPU, so that draws are the same on every device.

    Returns:
        A new point, as ``mean`` in names, shapes, dtype and device.

    Source:
        Maddox et al. 2019, section 3.3, equation 1. Deviation from its code: K is the number of deviations there are,
        not the most that may be kept.
    """
    assert scale >= 0 and len(deviations) != 1, (scale, len(deviations))
    second = torch.randn(len(deviations), generator=generator).tolist()
    drawn: Point = {}
    for name, centre in mean.items():
        real = parts(centre)
        noise = torch.randn(real.shape, generator=generator).to(real) * variance[name].to(real).sqrt()
        for z, deviation in zip(second, deviations, strict=True):
            noise.add_(parts(deviation[name]).to(real), alpha=z / math.sqrt(len(deviations) - 1))
        values = real + math.sqrt(scale) * noise
        drawn[name] = torch.view_as_complex(values) if centre.is_complex() else values
    return drawn

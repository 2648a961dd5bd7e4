"""The plane through three points of weight space: its coordinates, and the points on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raysurf.errors import DegenerateError
from raysurf.weightspace.point import Point, combine, differences_gram, require_same, wide

FLAT = 1e-6


@dataclass(frozen=True)
class Plane:
    """The plane through three points, with right-angled coordinates in weight distance.

    u = (w_1 - w_0) / |w_1 - w_0|;  v is w_2 - w_0 made orthogonal to u, of length one. In (x, y) the three points are
    (0, 0), (length, 0) and (lean, height).

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), appendix A.1; the reference code fixes which bend is the third point.
    """

    points: tuple[Mapping[str, Tensor], Mapping[str, Tensor], Mapping[str, Tensor]]
    length: float
    lean: float
    height: float

    @property
    def corners(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """Coordinates (x, y) of the three points, in weight distance."""
        return (0.0, 0.0), (self.length, 0.0), (self.lean, self.height)

    def affine(self, x: float, y: float) -> tuple[float, float, float]:
        """Coefficients of the three points at (x, y); they sum to one, and are a unit vector at each corner.

        Args:
            x, y: Coordinates in weight distance.
        """
        third = y / self.height
        second = (x - third * self.lean) / self.length
        return 1.0 - second - third, second, third

    def at(self, x: float, y: float) -> Point:
        """The point at (x, y); at a corner it is that point to the last bit.

        Args:
            x, y: Coordinates in weight distance.

        Returns:
            A new point, shaped and typed as the first.
        """
        return combine(self.points, self.affine(x, y))

    @torch.no_grad()
    def locate(self, point: Mapping[str, Tensor]) -> tuple[float, float, float]:
        """Project a point: its coordinates (x, y) and its distance from the plane, all in weight distance.

        Args:
            point: Same names and shapes as the three; sums are in float64.

        Raises:
            PointMismatchError: If names or shapes differ.
        """
        require_same(self.points[0], point)
        x = y = 0.0
        for name, (u, v) in self._axes():
            offset = (wide(point[name]) - wide(self.points[0][name])).to(u.device)
            x, y = x + float((offset * u).sum()), y + float((offset * v).sum())
        rest = 0.0
        for name, (u, v) in self._axes():
            offset = (wide(point[name]) - wide(self.points[0][name])).to(u.device)
            rest += float((offset - x * u - y * v).square().sum())
        return x, y, math.sqrt(rest)

    def locate_mixtures(
        self, points: Sequence[Mapping[str, Tensor]], mixtures: Sequence[Sequence[float]]
    ) -> list[tuple[float, float, float]]:
        """Project many mixtures of a few points, whose weights are read once: the points of a curve, say.

        Args:
            points: Same names and shapes as the three.
            mixtures: A coefficient a point for each mixture, which sum to one.

        Returns:
            For each mixture what ``locate`` gives of it; its distance from the plane to about 1e-8 of its distance from
            the first point.

        Raises:
            PointMismatchError: If names or shapes differ.
        """
        gram = differences_gram([*self.points, *points])
        located = []
        for mixture in mixtures:
            a = torch.tensor([0.0, 0.0, *mixture], dtype=torch.float64)
            first, second = (gram @ a)[:2].tolist()
            x = first / self.length
            y = (second - self.lean * x) / self.height
            located.append((x, y, math.sqrt(max(0.0, float(a @ gram @ a) - x * x - y * y))))
        return located

    def _axes(self) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
        first, second, third = self.points
        for name, origin in first.items():
            u = (wide(second[name]) - wide(origin)) / self.length
            yield name, (u, (wide(third[name]) - wide(origin) - self.lean * u) / self.height)

    def grid(self, columns: int, rows: int, margin: float) -> tuple[list[float], list[float]]:
        """Evenly spaced coordinates that hold the three points, and a margin around them.

        Args:
            columns, rows: How many x and y, each at least 2.
            margin: On every side, as a share of the extent that way.

        Returns:
            The x, and the y, in rising order, in weight distance.

        Source:
            Garipov et al. 2018, the reference code: 21 x 21 with a margin of 0.2.
        """
        xs, ys = zip(*self.corners, strict=True)
        return _spread(xs, columns, margin), _spread(ys, rows, margin)


def _spread(values: Sequence[float], count: int, margin: float) -> list[float]:
    low, high = min(values), max(values)
    edge = margin * (high - low)
    step = (high - low + 2 * edge) / (count - 1)
    return [low - edge + i * step for i in range(count)]


@torch.no_grad()
def plane_through(first: Mapping[str, Tensor], second: Mapping[str, Tensor], third: Mapping[str, Tensor]) -> Plane:
    """The plane through three points.

    Args:
        first: The origin.
        second: The x axis goes from the first to it.
        third: It lies on the side of positive y.

    Raises:
        PointMismatchError: If they differ in names or shapes.
        DegenerateError: If two are equal, or the three lie on one line (height under 1e-6 of their extent).
    """
    require_same(first, second)
    require_same(first, third)
    pairs = [[(wide(p[k]) - wide(first[k])).reshape(-1) for k in first] for p in (second, third)]
    length = math.sqrt(sum(float(d.square().sum()) for d in pairs[0]))
    to_third = math.sqrt(sum(float(d.square().sum()) for d in pairs[1]))
    between = math.sqrt(sum(float((b - a).square().sum()) for a, b in zip(*pairs, strict=True)))
    for distance, which in ((length, "first and second"), (to_third, "first and third"), (between, "second and third")):
        if not distance > 0:
            got = f"{which} weights that are equal" if distance == 0 else "weights that are not finite"
            raise DegenerateError("plane", got, "three different weights")
    lean = sum(float((a * b).sum()) for a, b in zip(*pairs, strict=True)) / length
    along = lean / length
    height = math.sqrt(sum(float((b - along * a).square().sum()) for a, b in zip(*pairs, strict=True)))
    if height < FLAT * max(length, to_third):
        got = f"three weights on one line: the third is {height:.2g} away from it"
        raise DegenerateError("plane", got, "a third that is further off")
    return Plane((first, second, third), length, lean, height)

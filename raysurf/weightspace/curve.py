"""Curves in weight space: polygonal chains and Bezier curves through control points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raysurf.weightspace.point import Point, combine, differences_gram

SHAPES = ("polygonal", "bezier")


def coefficients(shape: str, num_bends: int, t: float) -> tuple[float, ...]:
    """The weight of each control point at position t.

    polygonal: c_i = max(0, 1 - |t K - i|);   bezier: c_i = C(K, i) t^i (1-t)^(K-i);   K = num_bends + 1

    Args:
        shape: ``polygonal`` or ``bezier``.
        num_bends: Free interior control points, >= 0 (0 is the straight line).
        t: Position on the curve, in [0, 1], no unit; a polygonal chain goes straight on beyond its ends.

    Returns:
        num_bends + 2 numbers that sum to one; at t = 0 and t = 1 exactly the unit vector of that end.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 3; the reference code counts the ends among its bends.
    """
    assert shape in SHAPES and num_bends >= 0 and (shape == "polygonal" or 0.0 <= t <= 1.0), (shape, num_bends, t)
    last = num_bends + 1
    if shape == "polygonal":
        first = min(max(math.floor(t * last), 0), last - 1)
        part = t * last - first
        return tuple(1.0 - part if i == first else part if i == first + 1 else 0.0 for i in range(last + 1))
    return tuple(math.comb(last, i) * t**i * (1.0 - t) ** (last - i) for i in range(last + 1))


def evaluate(shape: str, control_points: Sequence[Mapping[str, Tensor]], t: float) -> Point:
    """Evaluate a curve: phi(t) = sum_i c_i(t) theta_i.

    Args:
        shape: ``polygonal`` or ``bezier``.
        control_points: theta_0 .. theta_K, ends included, K >= 1; same names, shapes, dtype.
        t: Position on the curve, in [0, 1], no unit.

    Returns:
        A new point; each tensor is shaped as in ``control_points[0]``.

    Raises:
        PointMismatchError: If two control points differ in names or shapes.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 3.
    """
    return combine(control_points, coefficients(shape, len(control_points) - 2, t))


def arc_lengths(shape: str, control_points: Sequence[Mapping[str, Tensor]], ts: Sequence[float]) -> list[float]:
    """Lengths of the chords between neighbouring positions, summed up from the first.

    |phi(t') - phi(t)|^2 = dc^T G dc,  dc the change of the coefficients, G_ij = <theta_i - theta_0, theta_j - theta_0>

    Args:
        shape: ``polygonal`` or ``bezier``.
        control_points: theta_0 .. theta_K, ends included, K >= 1; same names, shapes.
        ts: Positions in rising order, at least one.

    Returns:
        One number a position, in weight distance, the first 0. The weights are read once, whatever the number of
        positions; sums are in float64.

    Raises:
        PointMismatchError: If two control points differ in names or shapes.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), the reference code's ``dl``.
    """
    gram = differences_gram(control_points)
    rows = [coefficients(shape, len(control_points) - 2, t)[1:] for t in ts]
    lengths = [0.0]
    for before, after in zip(rows, rows[1:], strict=False):
        dc = torch.tensor([b - a for a, b in zip(before, after, strict=True)], dtype=torch.float64)
        lengths.append(lengths[-1] + math.sqrt(max(0.0, float(dc @ gram @ dc))))
    return lengths


def bends_on_line(
    start: Mapping[str, Tensor], end: Mapping[str, Tensor], num_bends: int, via: Mapping[str, Tensor] | None = None
) -> list[Point]:
    """Interior control points spaced evenly on the straight line between two ends.

    Args:
        start, end: Points of the same names and shapes.
        num_bends: How many to place, >= 1.
        via: A point to go through instead: they are spaced evenly on the chain start, via, end; a lone bend is via.

    Returns:
        num_bends new points; without ``via``, a curve through them is the straight segment.

    Raises:
        PointMismatchError: If the points differ in names or shapes.

    Source:
        Garipov et al. 2018, the reference code's ``init_linear``.
    """
    chain = [start, end] if via is None else [start, via, end]
    return [evaluate("polygonal", chain, i / (num_bends + 1)) for i in range(1, num_bends + 1)]

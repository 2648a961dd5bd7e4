"""Curves in weight space: polygonal chains and Bezier curves through control points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from raysurf.weightspace.point import Point, combine

SHAPES = ("polygonal", "bezier")


def coefficients(shape: str, num_bends: int, t: float) -> tuple[float, ...]:
    """The weight of each control point at position t.

    polygonal: c_i = max(0, 1 - |t K - i|);   bezier: c_i = C(K, i) t^i (1-t)^(K-i);   K = num_bends + 1

    Args:
        shape: ``polygonal`` or ``bezier``.
        num_bends: Free interior control points, >= 0 (0 is the straight line).
        t: Position on the curve, in [0, 1], no unit.

    Returns:
        num_bends + 2 numbers that sum to one; at t = 0 and t = 1 exactly the unit vector of that end.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 3; the reference code counts the ends among its bends.
    """
    assert shape in SHAPES and num_bends >= 0 and 0.0 <= t <= 1.0, (shape, num_bends, t)
    last = num_bends + 1
    if shape == "polygonal":
        return tuple(max(0.0, 1.0 - abs(t * last - i)) for i in range(last + 1))
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


def bends_on_line(start: Mapping[str, Tensor], end: Mapping[str, Tensor], num_bends: int) -> list[Point]:
    """Interior control points spaced evenly on the straight line between two ends.

    Args:
        start, end: Points of the same names and shapes.
        num_bends: How many to place, >= 1.

    Returns:
        num_bends new points; a curve through them is the straight segment.

    Raises:
        PointMismatchError: If the ends differ in names or shapes.

    Source:
        Garipov et al. 2018, the reference code's ``init_linear``.
    """
    steps = [i / (num_bends + 1) for i in range(1, num_bends + 1)]
    return [combine([start, end], [1.0 - a, a]) for a in steps]

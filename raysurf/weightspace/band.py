"""Elastic bands: chains of points that settle on a minimum-energy path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raysurf.weightspace.point import Point, combine, distance, wide


def lengths(points: Sequence[Mapping[str, Tensor]]) -> list[float]:
    """Distances of neighbours along a chain, in weight distance: one fewer than points."""
    return [distance(a, b) for a, b in zip(points, points[1:], strict=False)]


def fractions(points: Sequence[Mapping[str, Tensor]]) -> list[float]:
    """Where each point stands along its chain, as a share of the chain's length: from 0 to 1."""
    gaps = lengths(points)
    return [sum(gaps[:i]) / sum(gaps) for i in range(len(points))]


def inner(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """The inner product of two points of the same names and shapes, in float64; of complex ones its real part."""
    return float(sum((wide(a[k]) * wide(b[k])).sum() for k in a))


@torch.no_grad()
def improved_tangent(
    before: Mapping[str, Tensor],
    here: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    energies: tuple[float, float, float],
) -> Point:
    """The direction of a band at one of its interior points.

    tau+ = R_i+1 - R_i, tau- = R_i - R_i-1. Where the energy rises or falls through the point, the side of the higher
    neighbour: tau+ or tau-. At an extremum tau+ dV_max + tau- dV_min if V_i+1 > V_i-1, else tau+ dV_min + tau- dV_max,
    with dV_max, dV_min the larger and smaller of |V_i+1 - V_i| and |V_i-1 - V_i|. Then normalised.

    Args:
        before, here, after: Three neighbours, R_i-1, R_i, R_i+1; same names and shapes.
        energies: Theirs, V_i-1, V_i, V_i+1.

    Returns:
        A new point of length one (zero if all three points are one).

    Source:
        Henkelman & Jonsson 2000, J. Chem. Phys. 113, 9978, equations 8 to 11. Deviation from Draxler et al. 2018's
        code, which swaps the two weights at an extremum and blends normalised differences.
    """
    low, middle, high = energies
    if low < middle < high:
        plus, minus = 1.0, 0.0
    elif low > middle > high:
        plus, minus = 0.0, 1.0
    else:
        most, least = max(abs(high - middle), abs(low - middle)), min(abs(high - middle), abs(low - middle))
        plus, minus = (most, least) if high > low else (least, most)
        if plus == minus == 0.0:
            plus = minus = 1.0
    tangent = combine([after, here, before], [plus, minus - plus, -minus])
    norm = math.sqrt(inner(tangent, tangent))
    return {k: v / norm if norm > 0 else v for k, v in tangent.items()}


@torch.no_grad()
def nudge(
    points: Sequence[Mapping[str, Tensor]],
    gradients: Sequence[Mapping[str, Tensor]],
    energies: Sequence[float],
    spring: float | None = None,
    share: float = 1.0,
) -> None:
    """Turn gradients of the interior points into those of the nudged elastic band, in place.

    g_i <- g_i - (g_i . tau_i) tau_i - k (|R_i+1 - R_i| - |R_i - R_i-1|) tau_i

    Args:
        points: The band, its fixed ends included.
        gradients: Of the energy at the interior points, one fewer at each end; overwritten.
        energies: Of all points.
        spring: Stiffness k, energy over distance squared; None for no springs, with ``redistribute`` after each step.
        share: Share of the springs' force that this worker adds, if gradients are parts of a sum.

    Source:
        Henkelman & Jonsson 2000; Draxler et al. 2018 (arXiv:1803.00885), section 3.1.
    """
    gaps = lengths(points) if spring is not None else []
    for i, gradient in enumerate(gradients, start=1):
        around = (energies[i - 1], energies[i], energies[i + 1])
        tangent = improved_tangent(points[i - 1], points[i], points[i + 1], around)
        along = inner(gradient, tangent)
        if spring is not None:
            along += share * spring * (gaps[i] - gaps[i - 1])
        for name, value in gradient.items():
            value.add_(tangent[name].to(value.dtype), alpha=-along)


@torch.no_grad()
def redistribute(points: Sequence[Mapping[str, Tensor]], targets: Sequence[float]) -> None:
    """Slide the interior points along their chain to given shares of its length, in place; it may cut corners.

    Args:
        points: The band, ends included.
        targets: A share of the length a point, from 0 to 1, in rising order.

    Source:
        Draxler et al. 2018, the reference code's spring constant of infinity.
    """
    gaps = lengths(points)
    total, ends = sum(gaps), [sum(gaps[: i + 1]) for i in range(len(gaps))]
    if total == 0.0:
        return
    moved = []
    for target in targets[1:-1]:
        goal = target * total
        gap = next((i for i, end in enumerate(ends) if goal <= end), len(gaps) - 1)
        part = 1.0 - (ends[gap] - goal) / gaps[gap] if gaps[gap] > 0 else 0.0
        moved.append(combine([points[gap], points[gap + 1]], [1.0 - part, part]))
    for point, new in zip(points[1:-1], moved, strict=True):
        for name, value in point.items():
            value.copy_(new[name])


def worst_gaps(values: Sequence[float], num_between: int, count: int, threshold: float) -> list[tuple[int, int]]:
    """Where a band departs most from the straight lines between its points' values.

    The excess of a value between two points over the line between theirs, divided by the range of all points' values;
    at most one place a gap, the worst.

    Args:
        values: Along the band: each point's, with ``num_between`` in every gap.
        num_between: How many.
        count: At most so many gaps.
        threshold: Least excess that counts.

    Returns:
        (gap, place in it from 1 to num_between), in the order of the gaps.

    Source:
        Draxler et al. 2018 (arXiv:1803.00885), section 3.2; the reference code's ``highest``.
    """
    step = num_between + 1
    pivots = values[::step]
    spread = max(max(pivots) - min(pivots), 1e-12)
    excesses = []
    for gap, (a, b) in enumerate(zip(pivots, pivots[1:], strict=False)):
        over = [(values[gap * step + j] - (a + (b - a) * j / step)) / spread for j in range(1, step)]
        place = max(range(num_between), key=over.__getitem__)
        excesses.append((over[place], gap, place + 1))
    worst = sorted((excess for excess in excesses if excess[0] > threshold), reverse=True)[:count]
    return sorted((gap, place) for _, gap, place in worst)


def insert(points: Sequence[Mapping[str, Tensor]], places: Sequence[tuple[int, int]], num_between: int) -> list[Point]:
    """Add points to a chain, on the straight lines between its points.

    Args:
        points: The chain.
        places: As ``worst_gaps`` gives them.
        num_between: As there.

    Returns:
        A new list; the points that were there are the same objects.
    """
    added = dict(places)
    chain: list[Point] = []
    for gap, point in enumerate(points):
        chain.append(dict(point))
        if gap in added:
            part = added[gap] / (num_between + 1)
            chain.append(combine([point, points[gap + 1]], [1.0 - part, part]))
    return chain

"""Elastic bands: their tangents, their forces, and the minimum-energy path that they settle on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raysurf.weightspace import band
from raysurf.weightspace.curve import bends_on_line
from raysurf.weightspace.point import Point, combine, distance
from tests.support.cases import random_point

MULLER_BROWN = [
    (-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
    (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
    (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
    (15.0, 0.7, 0.6, 0.7, -1.0, 1.0),
]
SADDLE, SADDLE_AT = -40.6648, (-0.8220, 0.6243)
MINIMA = (-0.558224, 1.441726), (0.623499, 0.028038)


def at(x: float, y: float) -> Point:
    """A point of two tensors, as a network's has several."""
    return {"x": torch.tensor([x], dtype=torch.float64), "y": torch.tensor([y], dtype=torch.float64)}


def surface(point: Point) -> tuple[float, float, float]:
    """The energy and its slopes: Muller & Brown 1979, Theor. Chim. Acta 53, 75."""
    value = slope_x = slope_y = 0.0
    for height, a, b, c, x0, y0 in MULLER_BROWN:
        dx, dy = point["x"].item() - x0, point["y"].item() - y0
        term = height * math.exp(a * dx**2 + b * dx * dy + c * dy**2)
        value += term
        slope_x += term * (2 * a * dx + b * dy)
        slope_y += term * (b * dx + 2 * c * dy)
    return value, slope_x, slope_y


def energy(point: Point) -> float:
    return surface(point)[0]


def gradient(point: Point) -> Point:
    return at(*surface(point)[1:])


def dense(chain: Sequence[Point], num_between: int) -> list[float]:
    step = num_between + 1
    parts = [(a, b, j / step) for a, b in zip(chain, chain[1:], strict=False) for j in range(step)]
    return [*(energy(combine([a, b], [1 - s, s])) for a, b, s in parts), energy(chain[-1])]


def settle(chain: list[Point], steps: int, rate: float, spring: float | None) -> None:
    """Gradient descent of the interior points, as the training loop does it."""
    targets = band.fractions(chain)
    for _ in range(steps):
        gradients = [gradient(point) for point in chain[1:-1]]
        band.nudge(chain, gradients, [energy(point) for point in chain], spring)
        for point, downhill in zip(chain[1:-1], gradients, strict=True):
            for name, value in point.items():
                value.sub_(downhill[name], alpha=rate)
        if spring is None:
            band.redistribute(chain, targets)


@pytest.mark.parametrize("spring", [None, 400.0])
def test_band_finds_the_minimum_energy_path(spring: float | None) -> None:
    """On the Muller-Brown surface AutoNEB ends on the known path: its saddle's energy to 1 %, and its place."""
    start, end = at(*MINIMA[0]), at(*MINIMA[1])
    chain = [start, *bends_on_line(start, end, 3), end]
    for cycle in range(7):
        settle(chain, 40, 3e-4 if cycle < 5 else 1e-4, spring)
        if cycle < 6:
            chain = band.insert(chain, band.worst_gaps(dense(chain, 9), 9, 2, 0.01), 9)
    values = dense(chain, 9)
    assert max(values) == pytest.approx(SADDLE, rel=0.01)
    top = values.index(max(values))
    gap, place = divmod(top, 10)
    there = combine(chain[gap : gap + 2], [1 - place / 10, place / 10])
    assert distance(there, at(*SADDLE_AT)) < 0.05
    for i, point in enumerate(chain[1:-1], start=1):
        across = gradient(point)
        before, here, after = chain[i - 1 : i + 2]
        tangent = band.improved_tangent(before, here, after, (energy(before), energy(here), energy(after)))
        along = band.inner(across, tangent)
        assert math.sqrt(max(0.0, band.inner(across, across) - along**2)) < 25


@pytest.mark.parametrize(
    ("energies", "plus", "minus"),
    [
        ((0.0, 1.0, 2.0), 1, 0),
        ((2.0, 1.0, 0.0), 0, 1),
        ((0.0, 3.0, 2.0), 3, 1),
        ((2.0, 3.0, 0.0), 1, 3),
        ((5.0, 1.0, 2.0), 1, 4),
        ((2.0, 1.0, 5.0), 4, 1),
        ((1.0, 1.0, 1.0), 1, 1),
    ],
)
def test_tangent_is_the_published_one(energies: tuple[float, float, float], plus: float, minus: float) -> None:
    """The side of the higher neighbour, and at an extremum the larger weight on the higher neighbour's side."""
    before, here, after = at(0, 0), at(1, 0), at(1, 1)
    got = band.improved_tangent(before, here, after, energies)
    norm = math.hypot(minus, plus)
    assert got["x"].item() == pytest.approx(minus / norm)
    assert got["y"].item() == pytest.approx(plus / norm)


def test_nudge_leaves_nothing_along_the_band() -> None:
    """Without springs a gradient loses its part along the tangent; a spring pulls towards equal gaps."""
    chain = [at(0, 0), at(1, 0), at(3, 0)]
    gradients = [at(2.0, 5.0)]
    band.nudge(chain, gradients, [0.0, 1.0, 2.0])
    assert (gradients[0]["x"].item(), gradients[0]["y"].item()) == (0.0, 5.0)
    gradients = [at(2.0, 5.0)]
    band.nudge(chain, gradients, [0.0, 1.0, 2.0], spring=3.0)
    assert (gradients[0]["x"].item(), gradients[0]["y"].item()) == (-3.0, 5.0)


@given(seed=st.integers(0, 1000), count=st.integers(3, 7))
@settings(deadline=None, max_examples=30)
def test_points_slide_to_their_shares_of_the_length(seed: int, count: int) -> None:
    """On a straight chain, redistributed points stand exactly where they are told, and the ends do not move."""
    random = torch.Generator().manual_seed(seed)
    start, end = random_point(seed), random_point(seed + 1)
    shares = torch.rand(count, generator=random, dtype=torch.float64).sort().values.tolist()
    chain = [start, *(combine([start, end], [1 - s, s]) for s in shares), end]
    targets = [0.0, *torch.rand(count, generator=random, dtype=torch.float64).sort().values.tolist(), 1.0]
    band.redistribute(chain, targets)
    assert band.fractions(chain) == pytest.approx(targets, abs=1e-9)
    assert distance(chain[0], random_point(seed)) == distance(chain[-1], random_point(seed + 1)) == 0


def test_points_are_inserted_where_the_band_is_worst() -> None:
    """The worst place of the worst gaps, no more than asked for, only above the threshold; the new point lies there."""
    values = [0.0, 0.0, 9.0, 0.0, 0.0, 2.0, 3.0, 4.0, 4.0, 4.5, 5.0, 0.0, 0.0]
    assert band.worst_gaps(values, 2, 5, 0.4) == [(0, 2), (3, 1)]
    assert band.worst_gaps(values, 2, 5, 0.5) == band.worst_gaps(values, 2, 1, 0.4) == [(0, 2)]
    assert band.worst_gaps([0.0] * 7, 2, 3, 0.1) == []
    chain = [at(0, 0), at(3, 0), at(6, 0)]
    longer = band.insert(chain, [(1, 2)], 2)
    assert [point["x"].item() for point in longer] == [0, 3, 5, 6]
    assert longer[1]["x"] is chain[1]["x"]

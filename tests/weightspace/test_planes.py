"""Planes and directions: exact coordinates, and rays that are the same everywhere."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raysurf.errors import DegenerateError, PointMismatchError
from raysurf.weightspace import curve
from raysurf.weightspace.curve import arc_lengths, evaluate
from raysurf.weightspace.directions import random_direction
from raysurf.weightspace.plane import plane_through
from raysurf.weightspace.point import combine, distance, squared_norm
from tests.support.cases import random_point


@given(seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_weights_are_at_their_coordinates(seed: int) -> None:
    """At its coordinates each of the three weights comes back to the last bit, and is located there."""
    points = [random_point(seed + i, torch.float32) for i in range(3)]
    plane = plane_through(points[0], points[1], points[2])
    for (x, y), point in zip(plane.corners, points, strict=True):
        for name, value in plane.at(x, y).items():
            assert torch.equal(value, point[name])
        assert plane.locate(point) == pytest.approx((x, y, 0), abs=1e-5)
    assert plane.length == pytest.approx(distance(points[0], points[1]))
    assert math.hypot(plane.lean, plane.height) == pytest.approx(distance(points[0], points[2]))


@given(x=st.floats(-3, 3), y=st.floats(-3, 3), z=st.floats(-3, 3), w=st.floats(-3, 3))
@settings(deadline=None, max_examples=30)
def test_coordinates_are_distances(x: float, y: float, z: float, w: float) -> None:
    """The basis is orthonormal: distances on the plane are those of the coordinates, and it locates its own points."""
    plane = plane_through(*(random_point(i) for i in range(3)))
    assert distance(plane.at(x, y), plane.at(z, w)) == pytest.approx(math.hypot(x - z, y - w), abs=1e-9)
    assert plane.locate(plane.at(x, y)) == pytest.approx((x, y, 0), abs=1e-9)


def test_what_lies_off_the_plane_says_how_far() -> None:
    """A point that is lifted at right angles keeps its coordinates and is its height away."""
    base = {"a": torch.zeros(3, dtype=torch.float64)}
    first, second = ({"a": torch.eye(3, dtype=torch.float64)[i]} for i in range(2))
    plane = plane_through(base, first, second)
    assert plane.locate({"a": torch.tensor([0.2, 0.7, 3.0], dtype=torch.float64)}) == pytest.approx((0.2, 0.7, 3.0))


def test_mixtures_are_located_as_points_are() -> None:
    """Mixtures of points have the coordinates that each of them has by itself, on the plane and off it."""
    plane = plane_through(*(random_point(i) for i in range(3)))
    points = [random_point(i) for i in (0, 5, 6, 1)]
    mixtures = [curve.coefficients("bezier", 2, t) for t in (0.0, 0.3, 0.8, 1.0)]
    for mixture, position in zip(mixtures, plane.locate_mixtures(points, mixtures), strict=True):
        assert position == pytest.approx(plane.locate(combine(points, mixture)), abs=1e-6)


def test_grid_holds_the_weights_and_a_margin() -> None:
    """The grid reaches a share of the extent beyond the three weights on every side."""
    origin = {"a": torch.zeros(2)}
    plane = plane_through(origin, {"a": torch.tensor([2.0, 0.0])}, {"a": torch.tensor([-1.0, 4.0])})
    xs, ys = plane.grid(4, 3, 0.5)
    assert xs == pytest.approx([-2.5, -0.5, 1.5, 3.5])
    assert ys == pytest.approx([-2.0, 2.0, 6.0])


def test_weights_that_span_no_plane_are_refused() -> None:
    """Equal weights, three on a line, NaN, and other shapes are each told."""
    a, b = random_point(0), random_point(1)
    with pytest.raises(DegenerateError, match="first and third weights that are equal"):
        plane_through(a, b, a)
    with pytest.raises(DegenerateError, match="three weights on one line"):
        plane_through(a, b, combine([a, b], [0.3, 0.7]))
    with pytest.raises(DegenerateError, match="not finite"):
        plane_through(a, b, {k: v * float("nan") for k, v in a.items()})
    with pytest.raises(PointMismatchError, match="missing names"):
        plane_through(a, b, {"a": a["a"]})


@pytest.mark.parametrize("shape", ["polygonal", "bezier"])
def test_arc_lengths_are_sums_of_distances(shape: str) -> None:
    """Lengths from inner products equal those of the points themselves."""
    points = [random_point(i) for i in range(4)]
    ts = [0.0, 0.1, 0.45, 0.5, 1.0]
    placed = [evaluate(shape, points, t) for t in ts]
    expected = [0.0]
    for a, b in zip(placed, placed[1:], strict=False):
        expected.append(expected[-1] + distance(a, b))
    assert arc_lengths(shape, points, ts) == pytest.approx(expected, rel=1e-9)


def test_line_goes_on_beyond_its_ends() -> None:
    """A polygonal chain of two points is the whole straight line."""
    a, b = random_point(0), random_point(1)
    for t in (-0.5, 0.25, 1.5):
        assert distance(evaluate("polygonal", [a, b], t), combine([a, b], [1 - t, t])) < 1e-12


@pytest.mark.parametrize("normalise", ["unit", "filter"])
def test_directions_depend_on_seed_and_number_alone(normalise: str) -> None:
    """The same ray comes again; another number or seed gives another, nearly at right angles."""
    like = {"w": torch.randn(64, 3, 3, 3), "b": torch.randn(64)}
    one, again = (random_direction(like, normalise, 5, 2) for _ in range(2))
    assert all(torch.equal(one[k], again[k]) for k in like)
    for seed, number in ((5, 3), (6, 2)):
        other = random_direction(like, normalise, seed, number)
        cosine = sum(float((one[k] * other[k]).sum()) for k in like)
        assert abs(cosine) < 0.2 * math.sqrt(squared_norm(one) * squared_norm(other))


def test_directions_have_their_scale() -> None:
    """Unit rays have length one; filter rays have each filter's norm, and leave biases where they are."""
    like = {"w": torch.randn(8, 3, 3, 3), "b": torch.randn(8), "head": torch.randn(10, 8)}
    assert squared_norm(random_direction(like, "unit", 0, 0)) == pytest.approx(1.0)
    direction = random_direction(like, "filter", 0, 0)
    assert direction["b"].abs().sum() == 0
    for name in ("w", "head"):
        assert torch.allclose(direction[name].flatten(1).norm(dim=1), like[name].flatten(1).norm(dim=1), rtol=1e-5)

"""The algebra of points, curves and averages."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from raysurf.errors import PointMismatchError
from raysurf.weightspace import curve
from raysurf.weightspace.average import RunningAverage
from raysurf.weightspace.point import buffers_of, combine, distance, place, point_of, squared_norm
from tests.support.cases import NETWORKS, random_point

shapes = st.sampled_from(curve.SHAPES)
ts = st.floats(0, 1)


@given(shape=shapes, num_bends=st.integers(0, 6), t=ts)
def test_coefficients_sum_to_one(shape: str, num_bends: int, t: float) -> None:
    """A curve stays in the affine hull of its control points."""
    c = curve.coefficients(shape, num_bends, t)
    assert len(c) == num_bends + 2
    assert math.isclose(sum(c), 1.0, abs_tol=1e-12)
    assert min(c) >= 0


@given(shape=shapes, num_bends=st.integers(0, 4), end=st.sampled_from([0, 1]))
@settings(deadline=None)
def test_curve_passes_through_its_ends(shape: str, num_bends: int, end: int) -> None:
    """At t = 0 and t = 1 a curve is its end, to the last bit."""
    points = [random_point(seed, torch.float32) for seed in range(num_bends + 2)]
    got = curve.evaluate(shape, points, float(end))
    for name, value in points[-1 if end else 0].items():
        assert torch.equal(got[name], value)


@given(shape=shapes, num_bends=st.integers(1, 4), t=ts)
@settings(deadline=None)
def test_bends_on_the_line_give_the_line(shape: str, num_bends: int, t: float) -> None:
    """A curve whose bends lie evenly on the segment is the segment."""
    start, end = random_point(0), random_point(1)
    points = [start, *curve.bends_on_line(start, end, num_bends), end]
    got, straight = curve.evaluate(shape, points, t), combine([start, end], [1 - t, t])
    assert distance(got, straight) < 1e-12


@pytest.mark.parametrize("t", [0.1, 0.5, 0.8])
def test_bezier_equals_de_casteljau(t: float) -> None:
    """The Bernstein form equals repeated linear interpolation."""
    points = [random_point(seed) for seed in range(4)]
    got = curve.evaluate("bezier", points, t)
    while len(points) > 1:
        points = [combine([a, b], [1 - t, t]) for a, b in zip(points, points[1:], strict=False)]
    assert distance(got, points[0]) < 1e-12


@pytest.mark.parametrize("count", [1, 2, 7])
def test_average_is_the_mean(count: int) -> None:
    """The running average equals the mean of its members in float64."""
    average, members = RunningAverage(), [random_point(seed) for seed in range(count)]
    for member in members:
        average.add(member)
    assert average.average is not None
    assert distance(average.average, combine(members, [1 / count] * count)) < 1e-12
    assert average.count == count


def test_average_shares_no_storage() -> None:
    """The average does not change when the weights that it took do."""
    point, average = random_point(0, torch.float32), RunningAverage()
    average.add(point)
    assert average.average is not None
    before = average.average["a"].clone()
    point["a"].add_(1.0)
    assert torch.equal(average.average["a"], before)


@pytest.mark.parametrize("name", NETWORKS)
def test_place_restores_a_network(name: str) -> None:
    """Point and buffers of one network, placed in another, make it the same function."""
    torch.manual_seed(0)
    a, b = NETWORKS[name](), NETWORKS[name]()
    a(torch.randn(8, 1, 8, 8))
    place(b, point_of(a), buffers_of(a))
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(a.eval()(images), b.eval()(images))


def test_tied_parameters_are_one() -> None:
    """A tensor that two layers share is one entry of the point."""
    first = nn.Linear(4, 4)
    second = nn.Linear(4, 4)
    second.weight = first.weight
    net = nn.Sequential(first, second)
    point = point_of(net)
    assert sorted(point) == ["0.bias", "0.weight", "1.bias"]
    place(net, {k: torch.zeros_like(v) for k, v in point.items()})
    assert squared_norm(point_of(net)) == 0
    assert buffers_of(net) == {}


def test_mismatch_is_named() -> None:
    """Points of other names or shapes are refused, with the name."""
    a, b = random_point(0), random_point(1)
    with pytest.raises(PointMismatchError, match=r"missing names \['b'\]"):
        combine([a, {"a": b["a"]}], [0.5, 0.5])
    with pytest.raises(PointMismatchError, match=r"b of shape \(3,\); expected shape \(4,\)"):
        distance(a, {"a": b["a"], "b": b["b"][:3]})
    with pytest.raises(PointMismatchError, match=r"a buffer c \(3,\)"):
        place(nn.Linear(4, 4), point_of(nn.Linear(4, 4)), {"c": b["b"][:3]})
    net = nn.BatchNorm1d(4)
    with pytest.raises(PointMismatchError, match="running_mean of int64; expected floating-point numbers"):
        place(net, point_of(net), {"running_mean": torch.zeros(4, dtype=torch.int64)})

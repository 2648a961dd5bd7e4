"""SWAG's moments and samples against their definitions in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raysurf.weightspace.average import Moments, sample
from raysurf.weightspace.point import Point
from tests.support.cases import random_point


def iterates(count: int, dtype: torch.dtype = torch.float64) -> list[Point]:
    """Points about one far from zero, as iterates of SGD are."""
    centre = random_point(99, dtype)
    return [
        {name: 5 + centre[name] + 0.1 * random_point(seed, dtype)[name] for name in centre} for seed in range(count)
    ]


def flat(point: Point) -> torch.Tensor:
    return torch.cat([point[name].flatten() for name in sorted(point)])


@given(count=st.integers(2, 12), rank=st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_moments_are_those_of_the_points(count: int, rank: int) -> None:
    """Mean and variance of all points, and the newest deviations, each from the mean that its point has just joined."""
    points, moments = iterates(count), Moments(rank)
    for point in points:
        moments.add(point)
    stacked = torch.stack([flat(point) for point in points])
    assert moments.average is not None
    assert torch.allclose(flat(moments.average), stacked.mean(0), rtol=1e-12)
    assert torch.allclose(flat(moments.variance), stacked.var(0, correction=0), rtol=1e-9)
    expected = [stacked[i] - stacked[: i + 1].mean(0) for i in range(count)][max(0, count - rank) :] if rank else []
    assert len(moments.deviations) == len(expected)
    assert all(
        torch.allclose(flat(deviation), own, atol=1e-12)
        for deviation, own in zip(moments.deviations, expected, strict=True)
    )


def test_single_precision_keeps_the_variance() -> None:
    """In fp32 the variance of weights that hardly move is right, where E[w^2] - E[w]^2 would lose it."""
    points = iterates(20, torch.float32)
    small = [{name: 5 + 1e-4 * (value - 5) for name, value in point.items()} for point in points]
    moments = Moments(2)
    for point in small:
        moments.add(point)
    exact = torch.stack([flat(point).double() for point in small]).var(0, correction=0)
    assert torch.allclose(flat(moments.variance).double(), exact, rtol=0.02)


def test_moments_go_on_from_their_state() -> None:
    """Broken off after any point and restored, moments end as unbroken ones, to the last bit."""
    points = iterates(6)
    whole = Moments(3)
    for point in points:
        whole.add(point)
    for cut in range(7):
        first = Moments(3)
        for point in points[:cut]:
            first.add(point)
        second = Moments(3)
        second.restore({name: value.clone() for name, value in first.state().items()}, first.count)
        for point in points[cut:]:
            second.add(point)
        assert second.count == 6
        assert second.state().keys() == whole.state().keys()
        assert all(torch.equal(second.state()[name], value) for name, value in whole.state().items())


@pytest.mark.parametrize(("rank", "scale"), [(4, 0.5), (0, 0.25), (2, 1.0)])
def test_covariance_of_samples_converges(rank: int, scale: float) -> None:
    """Samples have the mean, and scale (diagonal + low rank) as covariance: half of both for SWAG itself."""
    moments = Moments(rank)
    for point in iterates(8):
        moments.add(point)
    assert moments.average is not None
    generator, deviations = torch.Generator().manual_seed(0), list(moments.deviations)
    count = 5_000
    drawn = torch.stack(
        [flat(sample(moments.average, moments.variance, deviations, scale, generator)) for _ in range(count)]
    )
    covariance = torch.diag(flat(moments.variance))
    if rank:
        stacked = torch.stack([flat(deviation) for deviation in deviations])
        covariance = covariance + stacked.T @ stacked / (rank - 1)
    covariance = scale * covariance
    deviation = covariance.diagonal().sqrt()
    # An entry of a sample covariance has a standard error of at most sqrt(2 / n) s_i s_j.
    error = (torch.cov(drawn.T) - covariance).abs() / torch.outer(deviation, deviation)
    assert error.max() < 5 * (2 / count) ** 0.5
    assert ((drawn.mean(0) - flat(moments.average)).abs() / deviation).max() < 5 / count**0.5


def test_samples_depend_on_the_generator_alone() -> None:
    """The same generator gives the same sample; no scale gives the mean."""
    moments = Moments(3)
    for point in iterates(4):
        moments.add(point)
    assert moments.average is not None
    one, two = (
        sample(moments.average, moments.variance, list(moments.deviations), 0.5, torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(flat(one), flat(two))
    none = sample(moments.average, moments.variance, [], 0.0, torch.Generator().manual_seed(3))
    assert torch.equal(flat(none), flat(moments.average))

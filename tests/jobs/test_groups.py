"""The group of a job: what its replicates share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import raysurf as rs
from raysurf.jobs.job import Job
from tests.support.cases import tiny_noise, tiny_sgd


def networks(first: int) -> tuple[rs.SGD, ...]:
    """Three networks, with seeds from ``first`` on."""
    return tuple(tiny_sgd(seed=seed) for seed in range(first, first + 3))


REPLICATES: dict[str, Callable[[int], Job]] = {
    "rays": lambda first: rs.Rays(weights=networks(first), length=1.0, seed=first),
    "plane": lambda first: rs.Plane(
        weights=networks(first),
        draw=(rs.Curve(start=tiny_sgd(seed=first), end=tiny_sgd(seed=first + 1), epochs=2, lr=0.1, seed=first),),
    ),
    "chain": lambda first: rs.Profile(along=rs.Chain(weights=networks(first))),
    "points": lambda first: rs.Rays(
        weights=(rs.PointOf(of=rs.SWA(start=tiny_sgd(seed=first), epochs=2, lr=0.1, seed=first), name="last"),),
        length=1.0,
    ),
}


@pytest.mark.parametrize("kind", REPLICATES)
def test_seeds_in_lists_are_no_part_of_the_group(kind: str) -> None:
    """Jobs of several weights share a group if only seeds differ, and keep ids of their own."""
    first, second = (REPLICATES[kind](seed) for seed in (0, 10))
    assert first.id != second.id
    assert first.group == second.group
    assert first.with_seed(4).group == first.group


def test_other_lists_tell_groups_apart() -> None:
    """How many weights there are, their order, and what else differs in them, are part of the group."""
    three, longer = networks(0), tiny_sgd(epochs=3)
    listed = [three, three[:2], (longer, *three[1:]), (*three[:2], longer)]
    assert len({rs.Rays(weights=weights, length=1.0).group for weights in listed}) == 4


def test_groups_of_jobs_without_lists_of_jobs_stay() -> None:
    """Stores hold these groups, and runs of later versions belong to them."""
    assert tiny_sgd(seed=5).group == "sgd-1aee160fc6cca04f"
    assert tiny_noise(seed=5).group == "variational-66747a04fc861a69"
    line = rs.Line(start=tiny_sgd(seed=2), end=tiny_sgd(seed=3))
    assert rs.Profile(along=line).group == "profile-7f526da1501b7ce4"

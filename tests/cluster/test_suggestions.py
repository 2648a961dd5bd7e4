"""Suggestions with real Optuna, on values in closed form: no job is trained here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import raysurf as rs
from raysurf.cluster.suggestions import Suggestions
from raysurf.sweep.selection import Arm
from tests.cases import tiny_sgd

POINTS = (
    {"cycle_epochs": 2, "schedule": "constant", "schedule.constant.lr": 0.05},
    {"schedule": "cyclic"},
)


def sweep_of(**search: Any) -> rs.Sweep:
    """A conditional space; nothing of it is run."""
    tree = rs.SWA(start=tiny_sgd(seed=0), epochs=2, lr=0.1).with_holes(
        cycle_epochs=rs.Int(1, 2),
        schedule=rs.Choice(
            (
                {"kind": "constant", "lr": rs.Float(0.01, 0.1, log=True)},
                {"kind": "cyclic", "high": 0.2, "low": rs.Float(0.01, 0.05)},
            )
        ),
    )
    tree.pop("lr")
    settings = {"metric": "validation/nll", "trials": 14, "seed": 3, "batch": 2, **search}
    return rs.Sweep(tree, rs.Search(**settings), name="closed")


def bowl(params: Mapping[str, Any]) -> tuple[float, ...]:
    """Best at a constant rate of 0.03."""
    lr = params.get("schedule.constant.lr", 1.0)
    return (abs(math.log(lr / 0.03)) + params["cycle_epochs"],)


def suggested(sweep: rs.Sweep, **settings: Any) -> list[Mapping[str, Any]]:
    """Every assignment of a sweep's one arm, each told its value, in the order in which they were handed out."""
    (arm,) = sweep.arms
    found = Suggestions(sweep, Arm(arm, sweep.trials_in(arm)), **settings)
    while numbers := found.next_batch():
        for number in reversed(numbers):
            found.tell(number, bowl(found.params[number]), False)
    assert found.is_over
    return [found.params[number] for number in sorted(found.params)]


def begins_with(params: Sequence[Mapping[str, Any]], points: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the first assignments hold what the points say."""
    return all(point.items() <= found.items() for found, point in zip(params, points, strict=False))


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsga2"])
def test_points_come_first_and_are_completed(sampler: str) -> None:
    """Points are tried first, partial ones are completed by the sampler, and a seed gives the same trials again."""
    sweep = sweep_of(sampler=sampler, points=POINTS)
    found = suggested(sweep)
    assert begins_with(found, POINTS)
    assert len(found) == 14
    assert 0.01 <= found[1]["schedule.cyclic.low"] <= 0.05
    assert suggested(sweep) == found


def test_points_leave_what_follows() -> None:
    """A whole point takes nothing of the seed's random numbers: random trials after it are those without it."""
    with_point = suggested(sweep_of(sampler="random", points=POINTS[:1]))
    assert with_point[1:] == suggested(sweep_of(sampler="random"))[:13]


def test_known_trials_replace_points() -> None:
    """An unseeded search that is resumed tries what it had begun, points included, and only then the points left."""
    begun = [{"cycle_epochs": 2, "schedule": "constant", "schedule.constant.lr": 0.05}]
    found = suggested(sweep_of(seed=None, points=POINTS), known=begun)
    assert begins_with(found, [*begun, POINTS[1]])
    assert found.count(begun[0]) == 1

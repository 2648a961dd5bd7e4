"""ArmSearcher with real Optuna, on values in closed form: no job is trained here."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.cli.run import plan_lines
from raysurf.cluster.capacity import local_capacity
from raysurf.cluster.launch import plan_sweeps
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd
from tests.support.searches import suggested, sweep_of
from tests.support.sweep_runs import run

POINTS = ({"cycle_epochs": 2, "schedule": "constant", "schedule.constant.lr": 0.05}, {"schedule": "cyclic"})


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
    """A point takes nothing of the seed's random numbers: random trials after it are those without it."""
    with_point = suggested(sweep_of(sampler="random", points=POINTS[:1]))
    assert with_point[1:] == suggested(sweep_of(sampler="random"))[1:]


def test_known_trials_replace_points() -> None:
    """An unseeded search that is resumed tries what it had begun, points included, and only then the points left."""
    begun = {"cycle_epochs": 2, "schedule": "constant", "schedule.constant.lr": 0.05}
    found = suggested(sweep_of(seed=None, points=POINTS), begun={0: begun})
    assert begins_with(found, [begun, POINTS[1]])
    assert found.count(begun) == 1


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsga2", "cmaes"])
def test_known_trials_change_no_suggestion(sampler: str) -> None:
    """A seeded search that knows what it tried, parts of batches included, goes on as if it had not stopped."""
    tree = tiny_sgd().with_holes(lr=rs.Float(0.01, 0.1, log=True), batch_size=rs.Int(2, 64))
    search = rs.Search(metric="validation/nll", sampler=sampler, trials=18, seed=3, batch=4)  # type: ignore[arg-type]
    sweep = sweep_of(sampler=sampler) if sampler != "cmaes" else rs.Sweep(tree, search)
    whole = suggested(sweep, value=rough)
    for known in (9, 12, 13):
        assert suggested(sweep, value=rough, begun=dict(enumerate(whole[:known]))) == whole


def rough(params: Mapping[str, Any]) -> tuple[float, ...]:
    """Some value that depends on everything."""
    return (float(zlib.crc32(repr(sorted(params.items())).encode()) % 1000),)


def test_stepped_values_are_decimals() -> None:
    """A value on steps is the decimal that one writes, by any sampler; holes of one value are constants."""
    constants = {"batch_size": rs.Int(32, 32), "nesterov": rs.Choice((True,)), "lr": rs.Float(0.1, 0.1)}
    tree = tiny_sgd().with_holes(constants, momentum=rs.Float(0.1, 0.9, step=0.1))
    tenths = [n / 10 for n in range(1, 10)]
    for sampler in ("random", "tpe", "gp", "cmaes", "grid"):
        search = rs.Search(metric="validation/nll", sampler=sampler, trials=9, seed=0)  # type: ignore[arg-type]
        found = suggested(rs.Sweep(tree, search), value=lambda params: (params["momentum"],))
        assert sorted(params["momentum"] for params in found) == tenths
        assert all((params["batch_size"], params["nesterov"], params["lr"]) == (32, "true", 0.1) for params in found)


def finite(trials: int, **search: Any) -> rs.Sweep:
    """Ten assignments, some of them behind a condition."""
    schedule = rs.Choice(
        ({"kind": "constant", "lr": rs.Choice((0.1, 0.2))}, {"kind": "cyclic", "high": 0.2, "low": 0.1})
    )
    tree = rs.SWA(start=tiny_sgd(seed=0), epochs=2, lr=0.1).with_holes(
        cycle_epochs=rs.Int(1, 2), schedule=schedule, momentum=rs.Float(0.5, 0.5), nesterov=rs.Choice((True,))
    )
    tree.pop("lr")
    return rs.Sweep(tree, rs.Search(metric="validation/nll", trials=trials, **search), name="finite")


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsga2"])
@pytest.mark.parametrize("seed", [0, None])
def test_nothing_is_asked_twice(sampler: str, seed: int | None) -> None:
    """Every assignment of a finite space comes once, points given twice or in part as well; then there are no more."""
    points = (*POINTS[1:] * 2, {"cycle_epochs": 2}, *({"cycle_epochs": 1, "schedule": "cyclic"},) * 3)
    sweep = finite(50, sampler=sampler, seed=seed, points=points)
    found = suggested(sweep, value=rough)
    assert len(found) == sweep.num_assignments == 6
    assert len({frozenset(params.items()) for params in found}) == 6
    assert all(params["momentum"] == 0.5 and params["nesterov"] == "true" for params in found)
    again = [found[0], found[0], found[1]]
    resumed = suggested(sweep, value=rough, begun=dict(enumerate(again)))
    assert [params for params in resumed if params in again] == found[:2]
    assert len({frozenset(params.items()) for params in resumed}) == 6


def test_space_that_ends_is_told(tmp_path: Path) -> None:
    """README's own search, of 8 trials among 4 numbers: each once, and plan and run say why there are no more."""
    tree = rs.SWA(start=tiny_sgd(epochs=1), epochs=5, lr=0.05).with_holes(cycle_epochs=rs.Int(1, 4))
    sweep = rs.Sweep(tree, rs.Search(metric="validation/nll", trials=8, seed=0), name="cycles")
    ran = run(sweep, tmp_path)
    rows = rs.results.open(str(tmp_path)).params("cycles").to_pylist()
    assert sorted(row["cycle_epochs"] for row in rows) == [1, 2, 3, 4]
    assert ran.finished.failed == 0
    (notice,) = ran.notices
    assert "4 trials of cycles, not 8: its holes have no more assignments" in notice
    plan = plan_sweeps([sweep], Store(str(tmp_path)))
    assert plan.is_done
    (line,) = [each for each in plan_lines(plan, local_capacity(), "x.yaml", "results") if each.startswith("  trials")]
    assert "4 of swa, 4 done, reused (8 were asked for; its holes have no more assignments)" in line

"""ConfigurationSearcher with real Optuna, on values in closed form: no job is trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.cli.run import plan_lines
from raysurf.cluster.capacity import local_capacity
from raysurf.cluster.launch import plan_sweeps
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd
from tests.support.search_contracts import POINTS, ChoosingSamplerContract, SamplerContract, begins_with
from tests.support.searches import bowl, suggested, sweep_of
from tests.support.sweep_runs import run


class TestSamplers(ChoosingSamplerContract):
    @pytest.fixture(params=["tpe", "random", "gp", "nsga2"])
    def sampler(self, request: pytest.FixtureRequest) -> Any:
        return request.param


class TestSamplersOfNumbers(SamplerContract):
    @pytest.fixture(params=["cmaes"])
    def sampler(self, request: pytest.FixtureRequest) -> Any:
        return request.param


def test_a_seed_gives_the_same_trials_with_every_optuna() -> None:
    """TPE's twentieth trials of a seed are those written down here, in whatever version suggests them."""
    rate = "schedule.constant.lr"
    one = suggested(sweep_of(trials=20))[-1]
    assert one == {"cycle_epochs": 1, "schedule": "constant", rate: pytest.approx(0.0645988908431775, rel=1e-6)}
    two = suggested(
        sweep_of(metric=["validation/nll", "validation/error"]), lambda params: (params["cycle_epochs"], *bowl(params))
    )[-1]
    assert two == {"cycle_epochs": 1, "schedule": "constant", rate: pytest.approx(0.01911756187112015, rel=1e-6)}


def test_points_leave_what_follows() -> None:
    """A point takes nothing of the seed's random numbers: random trials after it are those without it."""
    with_point = suggested(sweep_of(sampler="random", points=POINTS[:1]))
    assert with_point[1:] == suggested(sweep_of(sampler="random"))[1:]


def test_known_trials_replace_points() -> None:
    """An unseeded search that is resumed tries what it had begun, points included, and only then the points left."""
    begun = {"cycle_epochs": 2, "schedule": "constant", "schedule.constant.lr": 0.05}
    trials = suggested(sweep_of(seed=None, points=POINTS), begun={0: begun})
    assert begins_with(trials, [begun, POINTS[1]])
    assert trials.count(begun) == 1


def test_stepped_values_are_decimals() -> None:
    """A value on steps is the decimal that one writes, by any sampler; holes of one value are constants."""
    constants = {"batch_size": rs.Int(32, 32), "nesterov": rs.Choice((True,)), "lr": rs.Float(0.1, 0.1)}
    tree = tiny_sgd().with_holes(constants, momentum=rs.Float(0.1, 0.9, step=0.1))
    tenths = [n / 10 for n in range(1, 10)]
    for sampler in ("random", "tpe", "gp", "cmaes", "grid"):
        search = rs.Search(metric="validation/nll", sampler=sampler, trials=9, seed=0)  # type: ignore[arg-type]
        trials = suggested(rs.Sweep(tree, search), value=lambda params: (params["momentum"],))
        assert sorted(params["momentum"] for params in trials) == tenths
        assert all((params["batch_size"], params["nesterov"], params["lr"]) == (32, "true", 0.1) for params in trials)


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
    (line,) = [line for line in plan_lines(plan, local_capacity(), "x.yaml", "results") if line.startswith("  trials")]
    assert "4 of swa, 4 done, reused (8 were asked for; its holes have no more assignments)" in line

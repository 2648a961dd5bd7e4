"""Early stopping: each rule against its definition, and from stored epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers.async_hyperband import _Bracket

import raysurf as rs
from raysurf.cluster import events
from raysurf.cluster.stopping import EarlyStopping, stored_values
from raysurf.cluster.trial_table import TrialTable
from raysurf.errors import SpecError
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from raysurf.sweep.stopping import Hyperband, MedianRule, SuccessiveHalving
from tests.support.cases import tiny_sgd
from tests.support.search_contracts import StoppingContract
from tests.support.stored_rows import table_rows
from tests.support.sweep_runs import trials as trials_of


@given(st.lists(st.lists(st.floats(-10, 10), min_size=9, max_size=9), min_size=1, max_size=8))
def test_successive_halving_is_rays(trials: list[list[float]]) -> None:
    """What goes on and what ends is as Ray Tune's scheduler decides, for trials one after another."""
    rays, ours = _Bracket(1, 10, 3, 0), SuccessiveHalving(1, 3, 10)
    for number, values in enumerate(trials):
        for epoch, value in enumerate(values, 1):
            expected = rays.on_result(type("Trial", (), {"trial_id": str(number)})(), epoch, value) == "STOP"
            assert ours.stops(number, epoch, value) == expected
            if expected:
                break


def ends(rule: Any, trials: Sequence[Sequence[float]]) -> list[int | None]:
    """The epoch at which each trial is stopped, epochs in turn as if they ran beside one another."""
    stopped: dict[int, int] = {}
    for epoch in range(1, len(trials[0]) + 1):
        for number, values in enumerate(trials):
            if number not in stopped and rule.stops(number, epoch, values[epoch - 1]):
                stopped[number] = epoch
    return [stopped.get(number) for number in range(len(trials))]


class TestRules(StoppingContract):
    @pytest.fixture(params=["asha", "hyperband", "median"])
    def stopping(self, request: pytest.FixtureRequest) -> rs.Stopping:
        return rs.Stopping(kind=request.param, grace_epochs=2)


def test_median_rule() -> None:
    """A trial ends when its best is below the median of the others' running means, once there are enough others."""
    trials = [[3.0] * 4, [2.0] * 4, [2.0] * 4, [1.0] * 4, [0.0, 0.0, 9.0, 0.0]]
    assert ends(MedianRule(1, 3, 9), trials) == [None, None, None, 1, 1]
    assert ends(MedianRule(3, 3, 9), trials) == [None, None, None, 3, None]
    assert ends(MedianRule(1, 5, 9), trials) == [None] * 5
    assert ends(MedianRule(4, 1, 4), [[2.0] * 4, [1.0] * 4]) == [None, None]


def test_hyperband_takes_brackets_in_turn() -> None:
    """Trial n is in bracket n mod 3, and none is stopped before its bracket's first rung."""
    rule = Hyperband(1, 3, 3, 27)
    assert [list(bracket.rungs) for bracket in rule.brackets] == [[1, 3, 9], [3, 9], [9]]
    trials = [[float(-number)] * 27 for number in range(6)]
    assert ends(rule, trials) == [None, None, None, 1, 3, 9]


@pytest.mark.parametrize("kind", ["asha", "hyperband", "median"])
def test_bad_trials_end_early_and_stay_so(kind: str, tmp_path: Path) -> None:
    """Hopeless rates end before their last epoch; what is stored of them counts when a sweep goes on."""
    rates = (0.1, 0.2, 1e-6, 2e-6, 3e-6, 4e-6)
    own = {"median": {"min_trials": 1}, "hyperband": {"reduction": 2, "brackets": 2}, "asha": {"reduction": 2}}[kind]
    stopping = rs.Stopping(kind=kind, grace_epochs=2, **own)  # type: ignore[arg-type]
    tree = tiny_sgd(epochs=5).with_holes(lr=rs.Choice(rates))

    def run(trials: int) -> Any:
        search = rs.Search(metric="validation/nll", sampler="grid", trials=trials, stopping=stopping)
        rs.run(rs.Sweep(tree, search, name="early"), str(tmp_path), executor="inline")
        return trials_of(tmp_path)

    before = run(3)
    rows = run(6)
    assert rows[:3] == before
    assert rows[0]["state"] == "done"
    assert rows[3]["state"] == rows[4]["state"] == "stopped"
    runs = rs.results.open(str(tmp_path)).table("runs").to_pylist()
    epochs = {row["run_ids"][0]: row["state"] for row in rows}
    assert all((run["epochs"] < 5) == (epochs[run["run_id"]] == "stopped") for run in runs)


def test_stored_epochs_are_as_they_were_told(tmp_path: Path) -> None:
    """Figures are read from the rows, accuracy from the error; of average and iterate the one that was told last."""
    store = Store(str(tmp_path))
    rows = [
        {"run_id": "r", "epoch": 1, "weights": "iterate", "lr": 0.1, "epoch_s": 1.0, "validation_error": 0.5},
        {"run_id": "r", "epoch": 2, "weights": "iterate", "lr": 0.1, "epoch_s": 1.0},
        {"run_id": "r", "epoch": 3, "weights": "iterate", "lr": 0.1, "epoch_s": 1.0, "validation_error": 0.4},
        {"run_id": "r", "epoch": 3, "weights": "average", "lr": 0.1, "epoch_s": 1.0, "validation_error": 0.25},
    ]
    write_rows(store, "epochs", "r", rows)
    assert list(stored_values(store, "r", "validation/accuracy")) == [(1, 0.5), (3, 0.75)]
    assert list(stored_values(store, "r", "validation/nll")) == []
    tree = tiny_sgd(epochs=3).with_holes(lr=rs.Float(0.1, 0.2))
    stopping = rs.Stopping(kind="median", min_trials=1)
    search = rs.Search(metric="validation/accuracy", trials=2, stopping=stopping)
    table = TrialTable(store, rs.Sweep(tree, search, name="early"))
    assert not EarlyStopping(search, 3, table).stops(1, 1, 0.4)
    table.write(0, None, {"lr": 0.1}, "running")
    table.rows[0]["run_ids"] = ["r"]
    early_stopping = EarlyStopping(search, 3, table)
    assert early_stopping.stops(1, 1, 0.4)
    assert not early_stopping.stops(1, 1, math.nan)


def test_settings_of_another_rule_are_refused() -> None:
    """A setting that the rule does not have is a fault, and so is a metric that epochs do not have."""
    with pytest.raises(ValueError, match="brackets with asha"):
        rs.Stopping(brackets=2)
    search = rs.Search(metric="validation/ece", trials=2, stopping=rs.Stopping())
    with pytest.raises(SpecError, match="measured every epoch"):
        rs.Sweep(tiny_sgd().with_holes(lr=rs.Float(0.1, 0.2)), search)


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_a_broken_sweep_ends_as_an_undisturbed_one(kind: str, tmp_path: Path) -> None:
    """Broken off in a trial and after each, a search tries the same trials and stops them at the same epochs."""
    own = {"median": {"min_trials": 1}, "asha": {"reduction": 2}}[kind]
    stopping = rs.Stopping(kind=kind, **own)  # type: ignore[arg-type]
    job = tiny_sgd(data=rs.DataSpec(name="digits", share=0.1), epochs=5, batch_size=16)
    tree = job.with_holes(lr=rs.Float(1e-4, 0.5, log=True))
    search = rs.Search(metric="validation/nll", trials=6, seed=0, stopping=stopping, batch=4)
    sweep = rs.Sweep(tree, search, name="early")

    def run(root: Path, break_at: type[events.Event] | None) -> bool:  # type: ignore[valid-type]
        def listen(event: events.Event) -> None:
            is_break = break_at is not None and isinstance(event, break_at) and not getattr(event, "reused", False)
            if is_break and getattr(event, "epoch", 3) == 3:
                raise KeyboardInterrupt

        try:
            rs.run(sweep, str(root), executor="inline", listener=listen)
        except KeyboardInterrupt:
            return True
        return False

    def ended(root: Path) -> list[Any]:
        runs = {row["run_id"]: (row["status"], row["epochs"]) for row in table_rows(root, "runs")}
        return [(row["params"], row["state"], row["value"], runs[row["run_ids"][0]]) for row in trials_of(root)]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole, None)
    assert run(broken, events.RunProgressed)
    assert sum(run(broken, events.RunEnded) for _ in range(12)) == 6
    assert {row[1] for row in ended(whole)} == {"done", "stopped"}
    assert ended(broken) == ended(whole)

"""What the report says of a search: best so far, importance, parallel coordinates, the Pareto front."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import raysurf as rs
from raysurf.cluster.launch import PlanRecord
from raysurf.report.gallery import Gallery
from raysurf.report.pictures.axes import is_log
from raysurf.report.sections.search import (
    ABSENT,
    drawn,
    history,
    history_figure,
    importance,
    importances,
    parallel_coordinates,
    scales,
)
from raysurf.report.sections.tables import best_trials
from raysurf.report.sweep_rows import SweepRows, Trial, sweep_rows
from raysurf.results.comparison.runs import compared_runs
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd
from tests.support.measured_rows import Row


def trial(number: int, params: Row, *values: float | None, state: str = "done") -> Trial:
    return Trial(number, "a", params, (), values, None, state, "", 1.0, {})


def sweep(
    *trials: Trial, metrics: tuple[str, ...] = ("validation/nll",), modes: tuple[str, ...] = ("min",)
) -> SweepRows:
    return SweepRows("s", metrics, modes, trials, {})


def test_best_so_far() -> None:
    """It is the best of what came before, in either direction; a trial without a value changes nothing."""
    trials = [trial(number, {}, value) for number, value in enumerate((None, 3.0, 5.0, None, 1.0, 2.0))]
    np.testing.assert_array_equal(history(sweep(*trials), 0)[1], [np.nan, 3, 3, 3, 1, 1])
    np.testing.assert_array_equal(history(sweep(*trials, modes=("max",)), 0)[1], [np.nan, 3, 5, 5, 5, 5])


def test_history_has_a_panel_a_metric() -> None:
    """Its line is the best so far, and every trial has a mark, a cross where it has no value."""
    searched = sweep(trial(0, {}, 2.0, 0.5), trial(1, {}, None, None, state="failed"), trial(2, {}, 1.0, 0.75))
    searched = SweepRows("s", ("a", "b"), ("min", "max"), searched.trials, {})
    first, second = history_figure(searched).axes
    np.testing.assert_array_equal(first.lines[0].get_ydata(), [2, 2, 1])
    np.testing.assert_array_equal(second.lines[0].get_ydata(), [0.5, 0.5, 0.75])
    assert Counter(line.get_marker() for line in first.lines[1:]) == {"o": 2, "x": 1}


def test_importance_finds_what_decides() -> None:
    """Of three values one of which decides the metric, that one has nearly all of the importance."""
    draw = random.Random(0)
    trials = []
    for number in range(40):
        params: Row = {"lr": 10 ** draw.uniform(-4, 0), "noise": draw.random(), "kind": draw.choice("ab")}
        trials.append(trial(number, params, (math.log10(params["lr"]) + 2) ** 2))
    shares, number, left_out = importances(sweep(*trials))
    assert (number, left_out) == (40, [])
    assert next(iter(shares)) == "lr" and shares["lr"] > 0.8
    assert sum(shares.values()) == pytest.approx(1.0)
    assert importances(sweep(*trials))[0] == shares


def test_importance_leaves_out_what_only_some_have() -> None:
    """Values that depend on a choice, or never change, are named as left out; of too few trials nothing is said."""
    draw, trials = random.Random(0), []
    for number in range(20):
        params = {"a": draw.random(), "b": draw.random(), "fixed": 1.0} | ({"c": 1.0} if number % 2 else {})
        trials.append(trial(number, params, params["a"]))
    shares, _, left_out = importances(sweep(*trials))
    assert set(shares) == {"a", "b"} and left_out == ["fixed", "c"]
    assert "fixed, c" in importance(sweep(*trials), Gallery())
    assert importance(sweep(*trials[:5]), Gallery()) == ""


def test_parallel_axes() -> None:
    """Numbers run from the least to the largest, by ratio where they are far apart; choices have places."""
    values = [(1e-3, "a", 1), (1e-2, "b", 2), (1e-1, None, 3)]
    trials = [
        trial(i, {"lr": lr, **({"kind": kind} if kind else {}), "n": n}, float(i))
        for i, (lr, kind, n) in enumerate(values)
    ]
    searched = sweep(*trials)
    assert [trial.number for trial in drawn(searched)] == [2, 1, 0]
    lr, kind, count, figure = scales(searched, drawn(searched))
    np.testing.assert_allclose(lr.at, [1, 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(kind.at, [ABSENT, 0.75, 0.25])
    assert count.ticks == {0.0: "1", 0.5: "2", 1.0: "3"}
    np.testing.assert_allclose(figure.at, [1, 0.5, 0])


def test_parallel_coordinates_of_values_that_do_not_differ() -> None:
    """An axis of one value has it in its middle; with nothing searched there is no picture."""
    trials = [trial(i, {"a": 2.0}, 1.0) for i in range(3)]
    assert (scales(sweep(*trials), drawn(sweep(*trials)))[0].at == 0.5).all()
    assert parallel_coordinates(sweep(*trials), Gallery()).count('class="trial"') == 3
    assert parallel_coordinates(sweep(*(trial(i, {}, 1.0) for i in range(3))), Gallery()) == ""


def test_parallel_axes_are_as_they_were_searched() -> None:
    """A value whose logarithm was searched has a logarithmic axis; one that no trial has has no ticks, and is drawn."""
    trials = [trial(number, {"lr": lr, "k": None}, lr) for number, lr in enumerate((0.01, 0.1, 0.02, 0.04))]
    searched = replace(sweep(*trials), log=frozenset({"lr"}))
    lr, k, _ = scales(searched, drawn(searched))
    np.testing.assert_allclose(sorted(lr.at), [0, math.log10(2), math.log10(4), 1])
    assert k.ticks == {}
    assert set(k.at) == {ABSENT}
    assert parallel_coordinates(searched, Gallery()).count("<svg") == 1


def test_the_plan_tells_which_logarithms_are_searched(tmp_path: Path) -> None:
    """What a run of the command keeps of its plan is what the report reads."""
    tree = tiny_sgd(epochs=1).with_holes(lr=rs.Float(0.01, 0.1, log=True), momentum=rs.Float(0.0, 0.9))
    searched = rs.Sweep(tree, rs.Search(metric="validation/nll", trials=1, seed=0), name="s")
    rs.run(searched, str(tmp_path), executor="inline", listener=PlanRecord(Store(str(tmp_path))))
    assert sweep_rows(rs.results.open(str(tmp_path)), "s").log == {"lr"}


def test_baselines_that_another_sweep_ran_are_there(tmp_path: Path) -> None:
    """A baseline that is an input of an earlier sweep is in the report and the comparison of this one."""
    base = tiny_sgd(epochs=1)
    earlier = rs.Sweep(rs.Predict(weights=base), name="earlier")
    later = rs.Sweep(tiny_sgd(epochs=1, seed=3), baselines=(base,), name="later")
    for planned in (earlier, later):
        rs.run(planned, str(tmp_path), executor="inline", listener=PlanRecord(Store(str(tmp_path))))
    tables = rs.results.open(str(tmp_path))
    assert sweep_rows(tables, "earlier").baselines() == []
    assert sweep_rows(tables, "later").baselines() == [base.id]
    assert {run.arm for run in compared_runs(tables, ["sgd"], ["later"])} == {"sgd"}
    assert len(compared_runs(tables, ["sgd"], ["later"])) == 2


def test_best_trials_are_in_the_order_of_the_metric() -> None:
    """The largest come first where the largest is sought; trials without a value are left out."""
    searched = sweep(trial(0, {"a": 1}, 0.5), trial(1, {"a": 2}, 0.9), trial(2, {"a": 3}, None), modes=("max",))
    text = best_trials(searched)
    assert text.index("a = 2") < text.index("a = 1") and "a = 3" not in text
    assert "best 2 of 2 finished trials" in text


def test_front_of_several_metrics() -> None:
    """Of several metrics the trials are shown that no other beats in all."""
    trials = [trial(0, {"a": 1}, 1.0, 3.0), trial(1, {"a": 2}, 2.0, 2.0), trial(2, {"a": 3}, 3.0, 2.5)]
    text = best_trials(sweep(*trials, metrics=("x", "y"), modes=("min", "min")))
    assert "a = 1" in text and "a = 2" in text and "a = 3" not in text
    assert "The Pareto front: 2 of the finished trials" in text


def test_log_axes() -> None:
    """Values that are spread by ratio get a logarithmic axis, evenly spread ones do not, however near zero one is."""
    assert is_log(np.geomspace(1e-4, 1e-1, 50))
    assert not is_log(np.linspace(1e-3, 0.95, 50))
    assert not is_log(np.array([-1.0, 1e-3, 1.0]))
    assert not is_log(np.array([np.nan]))


def test_log_axes_have_plain_numbers() -> None:
    """Numbers of a logarithmic axis are text that needs no formulae, at round places within the axis."""
    trials = [trial(i, {}, value) for i, value in enumerate([0.1, 0.12, 0.15, 0.2, 7.0])]
    figure = history_figure(sweep(*trials))
    figure.draw_without_rendering()
    (panel,) = figure.axes
    low, high = panel.get_ylim()
    shown = [tick.label1.get_text() for tick in panel.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert panel.get_yscale() == "log" and shown == ["0.1", "0.2", "0.5", "1", "2", "5"]

"""Calibration in a report: whose predictions a line is of, and what the dots are told apart by."""

from __future__ import annotations

from pathlib import Path

from raysurf.report.sections.calibration import calibration_figure, predictors
from raysurf.report.sweep_rows import sweep_rows
from raysurf.store.tables import write_rows
from tests.support.measured_rows import Row, run, run_id, store, trial
from tests.support.noisy_rows import prediction


def test_inputs_of_one_trial_say_whose_they_are(tmp_path: Path) -> None:
    """A curve that one trial alone measures is that trial's; a network that all of them go on from is nobody's."""
    base, runs, trials = run_id("sgd"), [run(run_id("sgd"), sweep="s", role="input")], []
    for number in range(2):
        curve, profile = run_id("curve", number), run_id("profile", number)
        runs.append(run(curve, sweep="s", role="input", inputs=[base], group=f"c{number}"))
        runs.append(run(profile, sweep="s", trial=number, inputs=[curve], group=f"p{number}"))
        row: Row = trial("s", [profile]) | {"trial": number, "state": "done", "value": float(number)}
        trials.append(row | {"metric": "train/max_loss", "mode": "min"})
    results = store(tmp_path, runs, trials=trials)
    for name in (base, run_id("curve", 0), run_id("curve", 1)):
        write_rows(results.store, "predictions", name, [prediction(name, "deterministic", 1, 0.5, 0.25)])
    shown = predictors(results, sweep_rows(results, "s"))
    assert sorted(predictor.label for predictor in shown) == ["curve of trial 0", "curve of trial 1", "sgd"]


def test_dots_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    """Where all answers are of one scheme the colours are the weights', and every dot lies within the panel."""
    name = run_id("swa")
    results = store(tmp_path, [run(name, sweep="s")], trials=[trial("s", [name]) | {"state": "done"}])
    rows = [prediction(name, "deterministic", 1, 0.5, 0.25, ece=0.02) | {"weights": "average"}]
    rows.append(prediction(name, "deterministic", 1, 0.5, 0.5, ece=0.04) | {"weights": "last"})
    write_rows(results.store, "predictions", name, rows)
    figure = calibration_figure(predictors(results, sweep_rows(results, "s")))
    (panel,) = figure.axes
    assert [line.get_label() for line in panel.lines] == ["average", "last"]
    assert panel.get_ylim()[0] == 0.0 and panel.get_ylim()[1] > 0.042

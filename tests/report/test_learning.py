"""Learning curves of a report: which runs they are of, means over seeds, what is named, and what is thinned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raysurf.report.gallery import Gallery
from raysurf.report.sections.learning import NAMED, RATE, drawn, learning, learning_curves, learning_figure, thinned
from raysurf.report.sweep_rows import sweep_rows
from raysurf.results.api import Results
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.measured_rows import Row, run, run_id, store, trial

SGD: Row = {"kind": "sgd", "epochs": 4}


def epochs(name: str, errors: list[float | None], weights: str = "iterate", split: str = "validation") -> list[Row]:
    """Rows of ``epochs``, the first of epoch 1; the loss is twice the error, the rate 0.1 over the epoch."""
    return [
        {"run_id": name, "epoch": number, "weights": weights, "lr": 0.1 / number, "epoch_s": 1.0, "scheme": None}
        | {f"{split}_error": error, f"{split}_loss": None if error is None else 2 * error}
        for number, error in enumerate(errors, start=1)
    ]


def searched(root: Path, rows: list[list[Row]], runs: list[Row] | None = None) -> Results:
    """A search of as many trials as there are lists of rows, the first the best."""
    names = [epochs[0]["run_id"] for epochs in rows]
    trials = []
    for number, name in enumerate(names):
        row = trial("s", [name]) | {"trial": number, "state": "done", "value": float(number)}
        trials.append(row | {"metric": "validation/nll", "mode": "min"})
    results = store(root, [run(name, SGD, sweep="s") for name in names] + (runs or []), trials=trials)
    for epochs in rows:
        write_rows(Store(str(root)), "epochs", epochs[0]["run_id"], epochs)
    return results


def test_seeds_are_averaged(tmp_path: Path) -> None:
    """A curve is the mean over seeds at the epochs that all of them have, with the least and the most of them."""
    one, other = run_id("sgd", 1), run_id("sgd", 2)
    row = trial("s", [one, other]) | {"state": "running", "value": None}
    results = store(tmp_path, [run(one, SGD, sweep="s"), run(other, SGD, sweep="s", seed=1)], trials=[row])
    write_rows(results.store, "epochs", one, epochs(one, [0.5, 0.25, 0.125]))
    write_rows(results.store, "epochs", other, epochs(other, [0.75, 0.5]))
    (curve,) = learning_curves(results, sweep_rows(results, "s"))
    assert (curve.trial, curve.weights, curve.num_seeds) == (0, "iterate", 2)
    np.testing.assert_array_equal(curve.epochs, [1, 2])
    np.testing.assert_array_equal(curve.means["validation_error"], [0.625, 0.375])
    np.testing.assert_array_equal(curve.least["validation_loss"], [1.0, 0.5])
    np.testing.assert_array_equal(curve.most["validation_loss"], [1.5, 1.0])
    assert "Lines are means over seeds" in learning(results, sweep_rows(results, "s"), Gallery())


def test_iterates_and_averages(tmp_path: Path) -> None:
    """Averages are lines of their own, in another style and the trial's colour; both have one learning rate."""
    name = run_id("swa")
    rows = epochs(name, [0.5, 0.25, 0.25]) + epochs(name, [0.25, None, 0.125], "average")
    results = searched(tmp_path, [rows])
    drawing = drawn(sweep_rows(results, "s"), learning_curves(results, sweep_rows(results, "s")))
    assert drawing is not None
    assert drawing.styles == {"iterate": "-", "average": "--"}
    error, loss, rate, _ = learning_figure(drawing).axes
    by_style = {line.get_linestyle(): line for line in error.lines if line.get_gid()}
    np.testing.assert_array_equal(by_style["-"].get_ydata(), [0.5, 0.25, 0.25])
    np.testing.assert_array_equal(by_style["--"].get_xdata(), [1, 3])
    assert len({line.get_color() for line in by_style.values()}) == 1
    assert [len(line.get_xdata()) for line in rate.lines] == [3]
    assert loss.get_ylabel() == "validation loss with L2 (nats/sample)"


def test_best_trials_are_named(tmp_path: Path) -> None:
    """The best are in colour under the names that other sections give them; all others are one grey line."""
    results = searched(tmp_path, [epochs(run_id("sgd", i), [0.5, 0.25]) for i in range(NAMED + 3)])
    sweep = sweep_rows(results, "s")
    drawing = drawn(sweep, learning_curves(results, sweep))
    assert drawing is not None
    assert [name for _, name in drawing.named.values()] == [f"trial {i}" for i in range(NAMED)]
    error, *_ = learning_figure(drawing).axes
    assert sum(line.get_gid() is None for line in error.lines) == 1
    x, _ = drawing.in_grey("validation_error")
    assert np.isnan(x).sum() == len(drawing.others) == 3
    text = learning(results, sweep, Gallery())
    assert text.count('data-trial="0"') == 3 and f'data-trial="{NAMED}"' not in text


def test_test_metrics_where_there_is_no_validation(tmp_path: Path) -> None:
    """Without validation the curves are of test, and the axes say so."""
    results = searched(tmp_path, [epochs(run_id("sgd"), [0.5, 0.25], split="test")])
    drawing = drawn(sweep_rows(results, "s"), learning_curves(results, sweep_rows(results, "s")))
    assert drawing is not None and drawing.columns == ("test_error", "test_loss", RATE)


def test_run_that_trains_nothing_stands_for_what_it_measures(tmp_path: Path) -> None:
    """A profile's curve is that of the one run that it is of; of a plane of several networks there is none."""
    curve, other = run_id("curve"), run_id("sgd", 1)
    runs = [run(curve, sweep="s", role="input"), run(other, SGD, sweep="s", role="input")]
    for number, (kind, inputs) in enumerate({"profile": [curve], "plane": [curve, other]}.items()):
        runs.append(run(run_id(kind), sweep="s", trial=number, inputs=inputs))
    trials = [trial("s", [run_id(kind)]) | {"trial": i} for i, kind in enumerate(("profile", "plane"))]
    results = store(tmp_path, runs, trials=trials)
    for name in (curve, other):
        write_rows(results.store, "epochs", name, epochs(name, [0.5, 0.25]))
    assert [curve.trial for curve in learning_curves(results, sweep_rows(results, "s"))] == [0]


@pytest.mark.parametrize("rows", [[], [0.5], [None, None]])
def test_nothing_to_draw(tmp_path: Path, rows: list[float | None]) -> None:
    """Without two epochs that have metrics there is no section."""
    results = store(tmp_path, [run(run_id("sgd"), SGD, sweep="s")], trials=[trial("s", [run_id("sgd")])])
    if rows:
        write_rows(results.store, "epochs", run_id("sgd"), epochs(run_id("sgd"), rows))
    assert learning(results, sweep_rows(results, "s"), Gallery()) == ""


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    """A run that diverged is drawn as far as it went."""
    rows = epochs(run_id("sgd"), [0.5, 0.25, float("nan"), float("inf")])
    results = searched(tmp_path, [rows])
    (curve,) = learning_curves(results, sweep_rows(results, "s"))
    np.testing.assert_array_equal(thinned(curve.means["validation_error"], 100), [0, 1])
    assert "Learning curves" in learning(results, sweep_rows(results, "s"), Gallery())


def test_thinning_keeps_peaks_and_ends() -> None:
    """Of many values the largest, the least and both ends are among those that are kept; of few all are."""
    values = np.sin(np.arange(1000) / 7.0)
    values[[123, 456]] = 5.0, -5.0
    values[789] = np.nan
    kept = thinned(values, 60)
    assert len(kept) <= 62 and {0, 123, 456, 999} <= set(kept) and 789 not in kept
    assert (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(thinned(values[:50], 60), np.arange(50))


def test_plotly_has_the_same_values(tmp_path: Path) -> None:
    """The interactive form has a panel a column over one axis of epochs, and a trial stands once in its legend."""
    results = searched(tmp_path, [epochs(run_id("sgd", i), [0.5, 0.25]) for i in range(2)])
    gallery = Gallery(is_interactive=True)
    assert 'class="plotly"' in learning(results, sweep_rows(results, "s"), gallery)
    (figure,) = gallery.drawn
    lines = [line for line in figure["data"] if line["name"] == "trial 0"]
    assert [line["y"] for line in lines] == [[0.5, 0.25], [1.0, 0.5], [0.1, 0.05]]
    assert [line["yaxis"] for line in lines] == ["y1", "y2", "y3"]
    assert [line["showlegend"] for line in lines] == [True, False, False]
    assert figure["layout"]["yaxis3"]["title"]["text"] == "learning rate"

"""Pictures along lines: traces from rows in any order, profiles, and minimum-energy paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from raysurf.report.pictures.axes import GREY
from raysurf.report.pictures.lines import path_figure, pivots_of, profile_figure, read_trace
from raysurf.report.runs import MeasuredRun
from tests.support.measured_rows import OTHER, SGD, SWA, Row, along, picture, points

PATH = MeasuredRun("path-1", metrics={"num_pivots": 5})


def band() -> list[Row]:
    """A band of 5 pivots, with 2 points in between, that is highest off its pivots."""
    return points(
        "path-1", "path", along(13, 20.0), lambda place: 0.1 + float(np.exp(-((place["t"] - 7 / 12) ** 2) / 0.01))
    )


def drawn_path(*runs: MeasuredRun, **columns: Any) -> Figure:
    straight = points("profile-1", "line", along(11, 9.0), lambda place: 3.0)
    return path_figure(picture(band() + straight, *(runs or (PATH,)), **columns))


def test_points_are_in_order_and_failures_are_gaps() -> None:
    """Rows in any order give arrays by t, of the asked run alone, NaN where there is no value."""
    rows = points("a", "curve", along(5, 8.0), lambda place: None if place["t"] == 0.5 else place["t"])
    trace = read_trace([*reversed(rows), *points("b", "curve", along(3, 1.0), lambda place: 9.0)], "a", "curve")
    np.testing.assert_array_equal(trace.t, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(trace.values["loss"], [0, 0.25, np.nan, 0.75, 1])
    np.testing.assert_allclose(trace.arc, [0, 2, 4, 6, 8])
    np.testing.assert_allclose(trace.values["error"][-1], 0.05 + 0.12 * np.tanh(1))
    np.testing.assert_array_equal(np.isnan(trace.values["error"]), [False, False, True, False, False])


def test_distance_on_a_line_with_margins_is_signed() -> None:
    """The first weights stand at 0 and the second at the line's length, wherever distances were counted from."""
    places = along(29, 40.0, margin=0.2)
    folded = [place | {"distance": abs(place["t"]) * 40.0} for place in places]
    for rows in (places, folded):
        trace = read_trace(points("a", "line", rows, lambda place: place["t"] + 1), "a", "line")
        np.testing.assert_allclose(trace.arc, 40 * trace.t, atol=1e-9)
        np.testing.assert_allclose(trace.ends("arc", "loss"), [[0, 40], [1, 2]], atol=1e-9)


def test_ends_that_are_not_reached_are_not_marked() -> None:
    """A curve that is measured up to its middle has no second end."""
    rows = points("a", "curve", along(5, 8.0)[:3], lambda place: 1.0)
    assert read_trace(rows, "a", "curve").ends("t", "loss")[0].tolist() == [0.0]


def test_any_number_of_runs_and_either_axis() -> None:
    """Every run has a line of its own look; distances put each at its own length, and both weights are named."""
    lengths = [float(10 + i) for i in range(9)]
    spec = {"along": {"kind": "curve", "start": SWA, "end": SGD}}
    runs = [MeasuredRun(f"profile-{i}", spec=spec) for i in range(9)]
    rows = [
        row
        for run, length in zip(runs, lengths, strict=True)
        for row in points(run.run_id, "curve", along(5, length), lambda place: 1.0)
    ]
    figure = profile_figure(picture(rows, *runs, axis="arc"))
    for panel in figure.axes:
        lines = [line for line in panel.lines if str(line.get_label()).startswith("profile")]
        assert [line.get_xdata()[-1] for line in lines] == lengths
        assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9
        assert [text.get_text() for text in panel.texts if text.get_text()] == ["swa seed 0", "sgd seed 0"]
    assert len(figure.legends[0].get_texts()) == 9
    other = MeasuredRun("profile-9", spec={"along": {"kind": "line", "start": SWA, "end": OTHER}})
    figure = profile_figure(picture(rows, *runs, other))
    assert not any(text.get_text() for text in figure.axes[0].texts)


def test_failed_points_are_gaps_that_are_counted() -> None:
    """A line is broken where a point failed, and its name says how many did; a value between two gaps is a dot."""
    failed = (0.25, 0.75)
    rows = points("a", "line", along(5, 1.0), lambda place: None if place["t"] in failed else 1.0 + place["t"])
    figure = profile_figure(picture(rows, "a", labels=["line"]))
    panel = figure.axes[0]
    assert np.isnan(panel.lines[0].get_ydata()).tolist() == [False, True, False, True, False]
    assert np.asarray(panel.lines[1].get_xydata()).tolist() == [[0.0, 1.0], [0.5, 1.5], [1.0, 2.0]]
    assert figure.legends[0].get_texts()[0].get_text() == "line (2 of 5 points failed)"
    assert [panel.get_ylabel() for panel in figure.axes] == [
        "digits train loss with L2 (nats/sample)",
        "digits test error (fraction)",
    ]


def test_a_run_without_any_value_does_not_stop_the_others() -> None:
    """All points failed, or none was measured yet: the picture is drawn without it."""
    values: dict[str, Callable[[Row], float | None]] = {"a": lambda place: 1.0, "b": lambda place: None}
    rows = [row for name, value in values.items() for row in points(name, "curve", along(5, 1.0), value)]
    figure = profile_figure(picture(rows, "a", "b", "c"))
    assert [text.get_text() for text in figure.axes[0].texts] == ["worst 1"]


@pytest.mark.parametrize(("axis", "at"), [("t", [0.25, 0.5, 0.75]), ("arc", [5.0, 10.0, 15.0])])
def test_pivots_are_marked(axis: str, at: list[float]) -> None:
    """The free pivots stand on the band in both panels, on either x-axis."""
    figure = drawn_path(axis=axis)
    for panel in figure.axes:
        (pivots,) = (line for line in panel.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata()))
        np.testing.assert_allclose(pivots.get_xdata(), at)
    assert "pivots" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_without_their_number_no_pivot_is_marked() -> None:
    """A band that still runs has no metrics yet, and a band of two ends has no free pivot."""
    figure = drawn_path(MeasuredRun("path-1"))
    assert "pivots" not in [text.get_text() for text in figure.legends[0].get_texts()]
    trace = read_trace(band(), "path-1", "a")
    assert pivots_of(trace, 0, "t", "loss").shape == pivots_of(trace, 2, "t", "loss").shape == (0, 2)


def test_the_saddle_is_the_highest_train_loss() -> None:
    """It is marked in both panels, at the same place, with its value."""
    figure = drawn_path()
    said = [text.get_text() for panel in figure.axes for text in panel.texts]
    assert said == ["saddle 1.1", f"at the saddle {0.05 + 0.12 * np.tanh(1.1):.3g}"]
    for panel in figure.axes:
        (saddle,) = (line for line in panel.lines if line.get_marker() == "v")
        np.testing.assert_allclose(saddle.get_xdata(), [7 / 12])


def test_the_straight_line_is_dashed() -> None:
    """It has a colour of its own, and no pivots."""
    figure = drawn_path(PATH, MeasuredRun("profile-1"))
    for panel in figure.axes:
        (line,) = (line for line in panel.lines if line.get_linestyle() == "--")
        assert (line.get_color(), line.get_label()) == (GREY, "profile-1")

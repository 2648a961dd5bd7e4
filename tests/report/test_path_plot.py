"""Minimum-energy paths: pivots, saddle, and the straight line."""

from __future__ import annotations

import numpy as np
import pytest

from raysurf.report.pictures.lines import path_figure, pivots_of
from raysurf.report.pictures.trace import GREY, Trace, read_trace
from tests.support.measured_rows import along, points


def band() -> Trace:
    """A band of 5 pivots, with 2 points in between, that is highest off its pivots."""
    rows = points("path", "path", along(13, 20.0), lambda place: 0.1 + np.exp(-((place["t"] - 7 / 12) ** 2) / 0.01))
    return read_trace(rows, "path", "minimum-energy path")


def straight() -> Trace:
    return read_trace(points("line", "line", along(11, 9.0), lambda place: 3.0), "line", "straight line")


@pytest.mark.parametrize(("axis", "at"), [("t", [0.25, 0.5, 0.75]), ("arc", [5.0, 10.0, 15.0])])
def test_pivots_are_marked(axis: str, at: list[float]) -> None:
    """The free pivots stand on the band in both panels, on either x-axis."""
    figure = path_figure([band()], [5], [], title="t", data="digits", axis=axis)
    for panel in figure.axes:
        (pivots,) = (line for line in panel.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata()))
        np.testing.assert_allclose(pivots.get_xdata(), at)
    assert "pivots" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_without_their_number_no_pivot_is_marked() -> None:
    """A band that still runs has no figures yet, and a band of two ends has no free pivot."""
    figure = path_figure([band()], [None], [], title="t", data="digits")
    assert "pivots" not in [text.get_text() for text in figure.legends[0].get_texts()]
    assert pivots_of(band(), None, "t", "loss").shape == pivots_of(band(), 2, "t", "loss").shape == (0, 2)


def test_the_saddle_is_the_highest_train_loss() -> None:
    """It is marked in both panels, at the same place, with its figure."""
    figure = path_figure([band()], [5], [], title="t", data="digits")
    said = [text.get_text() for panel in figure.axes for text in panel.texts]
    assert said == ["saddle 1.1", f"at the saddle {0.05 + 0.12 * np.tanh(1.1):.3g}"]
    for panel in figure.axes:
        (saddle,) = (line for line in panel.lines if line.get_marker() == "v")
        np.testing.assert_allclose(saddle.get_xdata(), [7 / 12])


def test_the_straight_line_is_dashed() -> None:
    """It has a colour of its own, and no pivots."""
    figure = path_figure([band()], [5], [straight()], title="t", data="digits")
    for panel in figure.axes:
        (line,) = (line for line in panel.lines if line.get_linestyle() == "--")
        assert line.get_color() == GREY
        assert line.get_label() == "straight line"

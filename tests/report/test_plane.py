"""Planes: their colour scale, what is drawn on them, and what is left blank."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from raysurf.report.pictures.axes import BLUE, VERMILION
from raysurf.report.pictures.plane import BOUNDS, LINE_WIDTH, LOG_ALPHAS, plane_figure
from raysurf.report.pictures.plane_panel import NUM_CLASSES, measured_alone, read_plane, scale_of
from tests.support.measured_rows import Row, grid, line, picture, points, run_id, weights

RUN, OTHER = run_id("plane"), run_id("plane", 1)
X = [float(x) for x in range(-2, 9)]
Y = [float(y) for y in range(-2, 6)]


def bowl(place: Row) -> float:
    return 0.01 + 0.2 * float((place["x"] - 3) ** 2 + place["y"] ** 2)


def rows(places: list[Row] | None = None, run: str = RUN) -> list[Row]:
    """A bowl, seen from where it was measured, with points from all sides."""
    return points(run, "plane", grid(X, Y) if places is None else places, bowl)[::-1]


def drawn(places: list[Row], *runs: str, landmarks: Sequence[Row] = (), **columns: Any) -> Figure:
    """Planes that are called plane 0, plane 1 and so on."""
    runs = runs or (RUN,)
    labels = [f"plane {number}" for number in range(len(runs))]
    return plane_figure(picture(places, *runs, labels=labels, landmarks=landmarks, **columns))


def panels(figure: Figure, count: int) -> list[Axes]:
    """The panels, train loss first, without the colour bars."""
    return list(figure.axes[: 2 * count])


def names(panel: Axes) -> list[Annotation]:
    """The names of weights, without their leaders and the contours' labels."""
    return [text for text in panel.texts if isinstance(text, Annotation) and text.get_text()]


def test_levels_are_the_papers() -> None:
    """Values up to the bound are in N classes by the formula, and those above it in one more of another colour."""
    scale = scale_of(np.array([[0.1, 2.0], [7.0, np.nan]]), bound=5.0, log_alpha=-5.0)
    k = np.arange(1, NUM_CLASSES + 1)
    expected = 0.1 + np.exp(-5 + k * (np.log(4.9) + 5) / NUM_CLASSES)
    np.testing.assert_allclose(scale.levels[1:], expected, rtol=1e-9)
    assert scale.levels[0] == 0.1
    assert scale.is_open
    assert len({tuple(colour) for colour in scale.cmap(scale.norm(np.array([0.1, *(expected - 1e-6), 7.0])))}) == 8


def test_levels_are_written_apart() -> None:
    """On a nearly flat plane no two levels are written alike; elsewhere three digits do."""
    flat = scale_of(np.array([0.01260, 0.01265]), bound=5.0, log_alpha=-5.0)
    assert len(set(flat.texts.values())) == NUM_CLASSES + 1
    steep = scale_of(np.array([0.1, 3.0]), bound=5.0, log_alpha=-5.0)
    assert all(len(text.strip("0.").replace(".", "")) <= 3 for text in steep.texts.values())


def test_colour_bars_begin_at_the_least_value() -> None:
    """The error of a network that makes none is 0 at the lower end of the bar, not a hair below it; and it is drawn."""
    lowest = min(row["error"] for row in rows())
    figure = drawn([row | {"error": row["error"] - lowest} for row in rows()])
    loss, error = ([text.get_text() for text in bar.get_yticklabels()] for bar in figure.axes[2:])
    assert (loss[0], error[0]) == ("0.01", "0")
    scale = scale_of(np.array([0.0, 0.1, 0.3]), BOUNDS["error"], LOG_ALPHAS["error"])
    assert scale.norm(np.array([0.0, 0.3])).tolist() == [0, NUM_CLASSES - 1]
    assert scale.edges[0] < 0.0 < scale.levels[1] and scale.texts[0.0] == "0"


def test_error_levels_are_those_of_percent() -> None:
    """The reference's levels for errors in percent, over 100."""
    percent = np.array([5.0, 60.0])
    ours = scale_of(percent / 100, 0.4, LOG_ALPHAS["error"]).levels
    np.testing.assert_allclose(100 * ours, scale_of(percent, 40.0, -1.0).levels, rtol=1e-9)


@pytest.mark.parametrize("values", [[3.0, 3.0], [np.nan], [0.02, 0.02001, 0.02004], [90.0, 91.0, 99.0]])
def test_odd_values_have_a_scale(values: list[float]) -> None:
    """Constant, absent, nearly flat and very high planes have ascending levels that tell their values apart."""
    scale = scale_of(np.array(values), bound=5.0, log_alpha=-5.0)
    assert np.all(np.diff(scale.levels) > 0)
    assert len(set(scale.norm(np.array(values)).tolist())) == len(set(values))


def test_grid_is_put_together_from_points() -> None:
    """Each value stands at its place, whatever the order of rows and the last digits of coordinates."""
    places = [place | {"x": place["x"] * (1 + 1e-12 * i)} for i, place in enumerate(grid(X, Y))]
    plane = read_plane(rows(places), [], RUN, "a")
    np.testing.assert_allclose(plane.x, X, atol=1e-9)
    np.testing.assert_allclose(plane.y, Y, atol=1e-9)
    np.testing.assert_allclose(plane.values["loss"], [[bowl({"x": x, "y": y}) for x in X] for y in Y])


def test_planes_of_a_row_share_their_colours() -> None:
    """Side by side, the same value has the same colour, and each quantity has one colour bar."""
    places = [place for place in grid(X, Y) if place["x"] > 4]
    figure = drawn(rows() + rows(places, OTHER), RUN, OTHER)
    for row in (0, 2):
        left, right = (panel.collections[0] for panel in panels(figure, 2)[row : row + 2])
        assert isinstance(left, ContourSet) and isinstance(right, ContourSet)
        np.testing.assert_array_equal(left.levels, right.levels)
    bars = figure.axes[4:]
    assert [bar.get_ylabel() for bar in bars] == [
        "digits train loss with L2 (nats/sample)",
        "digits test error (fraction)",
    ]
    assert panels(figure, 2)[0].get_title() == "plane 0"
    assert len({panel.get_box_aspect() for panel in panels(figure, 2)}) == 1
    assert panels(drawn(rows()), 1)[0].get_box_aspect() == pytest.approx(0.7)


def test_holes_are_blank_and_lonely_points_are_dots() -> None:
    """A plane that was cut off is drawn as far as it goes; a point without neighbours is a dot in its colour."""
    places = [*grid(X, Y)[: 3 * len(X)], {"x": 8.0, "y": 5.0}]
    figure = drawn(rows(places))
    panel = panels(figure, 1)[0]
    filled = panel.collections[0]
    covered = [path.contains_point((4.0, 0.0 - 0.5)) for path in filled.get_paths()]
    beyond = [path.contains_point((4.0, 2.0)) for path in filled.get_paths()]
    assert any(covered)
    assert not any(beyond)
    (dots,) = (c for c in panel.collections if np.array_equal(np.asarray(c.get_offsets()), [[8.0, 5.0]]))
    assert np.asarray(dots.get_array()).tolist() == [bowl({"x": 8.0, "y": 5.0})]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["no values"]


@pytest.mark.parametrize("count", [0, 1, 3, len(X)])
def test_a_plane_that_has_just_begun_is_drawn(count: int) -> None:
    """Too few points for any area are dots."""
    figure = drawn(rows(grid(X, Y)[:count]))
    assert len(np.asarray(panels(figure, 1)[0].collections[0].get_offsets())) == count


def test_measured_alone_by_hand() -> None:
    """Three corners of a cell make an area, two do not."""
    nan = np.nan
    values = np.array([[1, 1, nan, 1], [1, nan, nan, 1], [nan, nan, nan, nan], [nan, nan, nan, 1]])
    assert np.argwhere(measured_alone(values)).tolist() == [[0, 3], [1, 3], [3, 3]]


def test_weights_curves_and_paths_are_drawn_and_named() -> None:
    """Weights are circles, hollow off the plane; curves are solid and paths dashed, and the legend names them."""
    marks = [weights(RUN, 0, "sgd seed 0", 0, 0), weights(RUN, 1, "swa seed 0", 6, 0, off_plane=5.0)]
    marks += line(RUN, 2, "bezier curve", "curve", [(0, 0), (3, 4), (6, 0)])
    marks += line(RUN, 3, "band", "path", [(0, 0), (3, 2), (6, 0)])
    figure = drawn(rows(), landmarks=marks[::-1])
    for panel in panels(figure, 1):
        assert {text.get_text() for text in names(panel)} == {"sgd seed 0", "swa seed 0"}
        circles = {
            tuple(mark.get_xydata()[0]): mark.get_markerfacecolor()
            for mark in panel.lines
            if mark.get_markeredgecolor() == "black"
        }
        assert circles == {(0.0, 0.0): "black", (6.0, 0.0): "white"}
        lines = {mark.get_linestyle(): mark for mark in panel.lines if mark.get_linewidth() == LINE_WIDTH}
        assert np.asarray(lines["-"].get_xydata()).tolist() == [[0, 0], [3, 4], [6, 0]]
        assert np.asarray(lines["--"].get_xydata()).tolist() == [[0, 0], [3, 2], [6, 0]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["bezier curve", "band"]


def test_curves_have_the_colours_they_are_given() -> None:
    """Two curves of one name on two planes have a colour and a line of the legend each, that says of which plane."""
    marks = line(RUN, 2, "curve", "curve", [(0, 0), (6, 0)], source="curve-1")
    marks += line(OTHER, 2, "curve", "curve", [(0, 0), (6, 0)], source="curve-2")
    colours = {"curve-1": BLUE, "curve-2": VERMILION}
    figure = drawn(rows() + rows(run=OTHER), RUN, OTHER, landmarks=marks, colours=colours)
    for panel, colour in zip(panels(figure, 2), (BLUE, VERMILION, BLUE, VERMILION), strict=True):
        assert [mark.get_color() for mark in panel.lines] == ["white", colour]
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["curve, plane 0", "curve, plane 1"]
    assert [mark.get_color() for mark in legend.get_lines()] == [BLUE, VERMILION]


def test_names_neither_overlap_nor_leave_the_panel(tmp_path: Path) -> None:
    """Weights that lie close to one another, to a curve and to the border are all named legibly."""
    places = [(0, 0), (0.5, 0.2), (0.2, 0.6), (8, 5), (7.8, 4.7), (-2, -2), (3, 1.9)]
    marks = [weights(RUN, i, f"some weights {i}", x, y) for i, (x, y) in enumerate(places)]
    marks += line(RUN, 9, "curve", "curve", [(0, 0), (3, 2), (8, 5)])
    figure = drawn(rows(), landmarks=marks)
    figure.savefig(tmp_path / "a.png", dpi=figure.dpi)
    for panel in panels(figure, 1):
        texts = [text for text in panel.texts if text.get_text()]
        assert len(names(panel)) == len(places)
        boxes = [text.get_window_extent() for text in texts]
        assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
        outer = panel.get_window_extent()
        for text in names(panel):
            box = text.get_window_extent()
            assert outer.x0 <= box.x0 and box.x1 <= outer.x1 and outer.y0 <= box.y0 and box.y1 <= outer.y1


def test_low_is_light_by_default() -> None:
    """The default colours are viridis from its light end, which is low loss, to its dark one."""
    scale = scale_of(np.array([0.0, 9.0]), 5.0, -5.0)
    lightness = [sum(to_rgba(colour)[:3]) for colour in scale.colours]
    assert lightness == sorted(lightness, reverse=True)

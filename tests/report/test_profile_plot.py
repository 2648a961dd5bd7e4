"""The picture of a profile, from rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from raysurf.report.pictures.lines import draw_profile, profile_figure
from raysurf.report.pictures.trace import BLUE, VERMILION, read_trace
from tests.support.measured_rows import along, points


def rows() -> pa.Table:
    """A line with a barrier and a curve without, on two splits, in no order."""
    found = []
    for run_id, height in (("line", 1.0), ("curve", 0.1)):
        for i in (3, 0, 4, 1, 2):
            for split in ("test", "train"):
                value = height * (1 - abs(i / 2 - 1)) + 0.05
                found.append({"run_id": run_id, "t": i / 4, "split": split, "loss": value, "error": value / 3})
    return pa.Table.from_pylist(found)


def share(path: Path, colour: str) -> float:
    """The share of pixels that have this colour."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")) / 255
    return float((np.abs(pixels - np.array(to_rgb(colour))).max(axis=2) < 0.02).mean())


@pytest.mark.parametrize("line", ["line", None])
def test_both_runs_are_drawn(line: str | None, tmp_path: Path) -> None:
    """The curve is there in blue, and the line in vermilion if and only if it was measured."""
    path = tmp_path / "deep" / "a.png"
    draw_profile(rows(), curve="curve", line=line, labels=("c", "l"), path=str(path), title="t", data="digits")
    assert share(path, BLUE) > 0.001
    assert (share(path, VERMILION) > 0.001) == (line is not None)


def test_svg_says_what_it_shows(tmp_path: Path) -> None:
    """Axes name the data set and their units, and the worst points their values."""
    path = tmp_path / "a.svg"
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw_profile(rows(), curve="curve", line="line", labels=("c", "l"), path=str(path), title="t", data="digits")
    text = path.read_text()
    for said in ("digits train loss with L2 (nats/sample)", "digits test error (fraction)", "worst 1.05", "worst 0.15"):
        assert said in text


def test_any_number_of_runs_and_either_axis() -> None:
    """Every run has a line of its own look; distances put each at its own length, and both weights are named."""
    lengths = [float(10 + i) for i in range(9)]
    traces = [
        read_trace(points(str(i), "curve", along(5, length), lambda place: 1.0), str(i), f"curve {i}")
        for i, length in enumerate(lengths)
    ]
    figure = profile_figure(traces, title="t", data="digits", axis="arc", ends=("swa seed 0", "sgd seed 0"))
    for panel in figure.axes:
        lines = [line for line in panel.lines if str(line.get_label()).startswith("curve")]
        assert [line.get_xdata()[-1] for line in lines] == lengths
        assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9
        assert [text.get_text() for text in panel.texts if text.get_text()] == ["swa seed 0", "sgd seed 0"]
    assert len(figure.legends[0].get_texts()) == 9


def test_failed_points_are_gaps_that_are_counted() -> None:
    """A line is broken where a point failed, and its name says how many did; a figure between two gaps is a dot."""
    failed = (0.25, 0.75)
    rows = points("a", "line", along(5, 1.0), lambda place: None if place["t"] in failed else 1.0 + place["t"])
    figure = profile_figure([read_trace(rows, "a", "line")], title="t", data="digits")
    panel = figure.axes[0]
    assert np.isnan(panel.lines[0].get_ydata()).tolist() == [False, True, False, True, False]
    assert np.asarray(panel.lines[1].get_xydata()).tolist() == [[0.0, 1.0], [0.5, 1.5], [1.0, 2.0]]
    assert figure.legends[0].get_texts()[0].get_text() == "line (2 of 5 points failed)"


def test_a_run_without_any_figure_does_not_stop_the_others() -> None:
    """All points failed, or none was measured yet: the picture is drawn without it."""
    good = points("a", "curve", along(5, 1.0), lambda place: 1.0)
    bad = points("b", "curve", along(5, 1.0), lambda place: None)
    traces = [read_trace([*good, *bad], run_id, run_id) for run_id in ("a", "b", "c")]
    figure = profile_figure(traces, title="t", data="digits")
    assert [text.get_text() for text in figure.axes[0].texts] == ["worst 1"]

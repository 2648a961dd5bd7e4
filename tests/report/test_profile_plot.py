"""The picture of a profile, from rows alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from raysurf.report.profile_plot import BLUE, VERMILION, draw_profile


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

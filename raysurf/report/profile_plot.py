"""The picture of a profile: loss and error along a curve, against the straight line between its ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#666666"


def draw_profile(
    surface: pa.Table, *, curve: str, line: str | None, labels: tuple[str, str], path: str, title: str, data: str
) -> None:
    """Draw train loss and test error against t, from rows of ``surface`` alone.

    Args:
        surface: Rows of the table.
        curve: Run whose points are drawn solid.
        line: Run whose points are drawn dashed, if it was measured.
        labels: What the two are called.
        path: Where the picture goes; .png or .svg.
        title: Above the picture.
        data: Name of the data set, for the axes.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), figure 2; colours of Okabe & Ito 2008.
    """
    rows = surface.to_pylist()
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    runs = [(curve, labels[0], BLUE, "-"), *([(line, labels[1], VERMILION, "--")] if line else [])]
    for panel, split, name, text in (
        (panels[0], "train", "loss", f"{data} train loss with L2 (nats/sample)"),
        (panels[1], "test", "error", f"{data} test error (fraction)"),
    ):
        for run_id, label, colour, style in runs:
            points = sorted((row["t"], row[name]) for row in rows if row["run_id"] == run_id and row["split"] == split)
            t, values = np.array(points).T
            panel.plot(t, values, style, color=colour, label=label, linewidth=2)
            _mark_worst(panel, t, values, colour, above=run_id == line or line is None)
            panel.plot(t[[0, -1]], values[[0, -1]], "o", color=GREY, markersize=6, zorder=5)
        panel.set_xlabel("t (position between the two networks)")
        panel.set_ylabel(text)
        panel.set_xlim(-0.03, 1.03)
        panel.margins(y=0.2)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=12)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _mark_worst(panel: Axes, t: np.ndarray, values: np.ndarray, colour: str, above: bool) -> None:
    worst = int(np.argmax(values))
    panel.plot(t[worst], values[worst], "v" if above else "^", color=colour, markersize=7)
    panel.annotate(
        f"worst {values[worst]:.3g}",
        (t[worst], values[worst]),
        textcoords="offset points",
        xytext=(0, 8 if above else -9),
        ha="left" if t[worst] < 0.1 else "right" if t[worst] > 0.9 else "center",
        va="bottom" if above else "top",
        color=colour,
        fontsize=9,
    )

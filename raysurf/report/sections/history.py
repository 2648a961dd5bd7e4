"""The searched figure of every trial in the order of the search, and the best so far."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raysurf.report.gallery import TRIAL, Gallery, plain_text, plotly_text
from raysurf.report.log_scale import is_log, plotly_axis, set_log
from raysurf.report.sweep_rows import SweepRows
from raysurf.report.trace import Array
from raysurf.report.two_panels import BLUE, VERMILION

LEAST = 2
SAYS = "A dot a trial, in the order of the search; the line is the best so far, crosses are trials without a figure."


def search_history(sweep: SweepRows, gallery: Gallery) -> str:
    """The picture; none if fewer than ``LEAST`` trials have a figure."""
    if not sweep.metrics or sum(trial.values[0] is not None for trial in sweep.trials) < LEAST:
        return ""
    title = f"Search history of {sweep.name}"
    if gallery.is_interactive:
        return gallery.plotly(*_plotly(sweep), title, SAYS)
    tips = {trial.number: trial.tip for trial in sweep.trials}
    with plain_text():
        figure = history_figure(sweep)
    return gallery.picture(figure, title, SAYS, tips=tips)


def history_figure(sweep: SweepRows) -> Figure:
    """A panel a metric.

    Args:
        sweep: One that searches.
    """
    figure = Figure(figsize=(9.0, 3.2 * len(sweep.metrics)), layout="constrained")
    FigureCanvasAgg(figure)
    for i, panel in enumerate(figure.subplots(len(sweep.metrics), 1, squeeze=False)[:, 0]):
        _panel(panel, sweep, i)
    panel.set_xlabel("trial")
    return figure


def best_so_far(values: Array, mode: str) -> Array:
    """The best of each value and those before it; NaN until there is one."""
    found: Array = (np.fmax if mode == "max" else np.fmin).accumulate(values)
    return found


def values_of(sweep: SweepRows, metric: int) -> Array:
    """A searched figure of all trials; NaN where there is none."""
    return np.array([np.nan if t.values[metric] is None else t.values[metric] for t in sweep.trials], dtype=float)


def _panel(panel: Axes, sweep: SweepRows, i: int) -> None:
    at = np.array([trial.number for trial in sweep.trials], dtype=float)
    values = values_of(sweep, i)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_ylabel(f"{sweep.metrics[i]} ({'higher' if sweep.modes[i] == 'max' else 'lower'} is better)")
    if is_log(values):
        set_log(panel, values)
    panel.step(at, best_so_far(values, sweep.modes[i]), where="post", color=VERMILION, linewidth=1.8, zorder=2)
    for trial, x, value in zip(sweep.trials, at, values, strict=True):
        if np.isfinite(value):
            panel.plot([x], [value], "o", color=BLUE, markersize=5, alpha=0.85, zorder=3, gid=f"{TRIAL}{trial.number}")
        else:
            across = panel.get_xaxis_transform()
            panel.plot([x], [0.02], "x", color="#666666", markersize=5, transform=across, gid=f"{TRIAL}{trial.number}")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _plotly(sweep: SweepRows) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    values = values_of(sweep, 0)
    at = [trial.number for trial in sweep.trials]
    best = best_so_far(values, sweep.modes[0])
    tips = [plotly_text(trial.tip) for trial in sweep.trials]
    dots: dict[str, Any] = {"type": "scatter", "mode": "markers", "x": at, "y": _known(values), "text": tips}
    dots |= {"name": "trials", "marker": {"color": BLUE, "size": 8}}
    dots["hovertemplate"] = "%{y:.5g}<br>%{text}<extra></extra>"
    line: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": at, "y": _known(best), "name": "best so far"}
    line["line"] = {"shape": "hv", "color": VERMILION}
    axis = plotly_axis(sweep.metrics[0], values, is_log(values))
    return [dots, line], {"xaxis": {"title": {"text": "trial"}}, "yaxis": axis, "hovermode": "closest"}


def _known(values: Array) -> list[float | None]:
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]

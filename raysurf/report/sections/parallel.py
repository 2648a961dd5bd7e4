"""Parallel coordinates: a line a trial through its searched values, coloured by the figure that is searched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from raysurf.report.gallery import TRIAL, Gallery, plain_text, plotly_text
from raysurf.report.log_scale import is_log
from raysurf.report.sweep_rows import SweepRows, Trial, short
from raysurf.report.trace import Array

LEAST = 3
MOST_AXES = 12
MOST_TICKS = 8
LONGEST = 18
# Where a line stands on an axis whose value its trial does not have.
ABSENT = -0.12
SAYS = (
    "A line a finished trial; the better it is, the more its line stands out from the page, the best on top. A line "
    "at the foot of an axis is a trial that does not have that value."
)


@dataclass(frozen=True)
class Scale:
    """One axis.

    Args:
        name: What stands above it.
        ticks: Text by position, from 0 to 1.
        at: The position of every trial, shape (n,); ``ABSENT`` where it has no value.
    """

    name: str
    ticks: dict[float, str]
    at: Array


def parallel_coordinates(sweep: SweepRows, gallery: Gallery) -> str:
    """The picture; none if fewer than ``LEAST`` trials have a figure, or nothing was searched."""
    trials = drawn(sweep)
    if len(trials) < LEAST or not sweep.params:
        return ""
    title = f"Parallel coordinates of {sweep.name}"
    axes = scales(sweep, trials)
    left_out = len(sweep.params) - MOST_AXES
    says = SAYS + (f" {left_out} further values are not shown." if left_out > 0 else "")
    if gallery.is_interactive:
        return gallery.plotly(*_plotly(trials, axes), title, says)
    with plain_text():
        figure = parallel_figure(trials, axes)
    return gallery.picture(figure, title, says, tips={trial.number: trial.tip for trial in trials})


def drawn(sweep: SweepRows) -> list[Trial]:
    """Finished trials with a figure, the worst first, so that the best are drawn over them."""
    return [trial for trial in reversed(sweep.ranked) if sweep.metrics and trial.values[0] is not None]


def scales(sweep: SweepRows, trials: Sequence[Trial]) -> list[Scale]:
    """The axes: searched values, those that differ before those that do not, and last the figure."""
    found = [
        _scale(name, [trial.params.get(name) for trial in trials], name in sweep.log)
        for name in sweep.params[:MOST_AXES]
    ]
    return [*found, _scale(sweep.metrics[0], [trial.values[0] for trial in trials])]


def parallel_figure(trials: Sequence[Trial], axes: Sequence[Scale]) -> Figure:
    """Draw the lines.

    Args:
        trials: In the order in which they are drawn.
        axes: At least two.
    """
    figure = Figure(figsize=(max(9.0, 1.35 * len(axes)), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    panel: Axes = figure.subplots()
    panel.set_xlim(-0.35, len(axes) - 0.55)
    panel.set_ylim(ABSENT - 0.06 if any((axis.at == ABSENT).any() for axis in axes) else -0.04, 1.05)
    panel.axis("off")
    x = np.arange(len(axes))
    lines = np.stack([axis.at for axis in axes], axis=1)
    for trial, line, colour in zip(trials, lines, _colours(len(trials)), strict=True):
        panel.plot(x, line, color=colour, linewidth=1.3, alpha=0.8, gid=f"{TRIAL}{trial.number}")
    for place, axis in enumerate(axes):
        panel.plot([place, place], [0, 1], color="black", linewidth=1, zorder=4)
        up = place % 2 and len(axes) > 5
        name = axis.name if len(axis.name) <= LONGEST + 6 else f"…{axis.name[-LONGEST - 5 :]}"
        panel.annotate(name, (place, 1.0), (0, 20 if up else 8), textcoords="offset points", ha="center", fontsize=9)
        for at, text in axis.ticks.items():
            panel.plot([place - 0.03, place], [at, at], color="black", linewidth=1, zorder=4)
            style: dict[str, Any] = {"fontsize": 8, "va": "center", "ha": "right", "zorder": 5}
            box = {"facecolor": "white", "alpha": 0.75, "pad": 0.8, "linewidth": 0}
            panel.text(place - 0.05, at, text, bbox=box, **style)
        if (axis.at == ABSENT).any():
            panel.text(place, ABSENT - 0.05, "not set", ha="center", va="top", fontsize=8, color="#666666")
    return figure


def _scale(name: str, values: Sequence[Any], log: bool = False) -> Scale:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return _numeric(name, values, [float(value) for value in known], log)
    texts = sorted({short(value) for value in known})
    place = {text: (i + 0.5) / len(texts) for i, text in enumerate(texts)}
    at = [ABSENT if value is None else place[short(value)] for value in values]
    # If no trial has a value, there is nothing to step over.
    step = max(1, -(-len(texts) // MOST_TICKS))
    shown = {place[text]: _cut(text) for text in texts[::step]}
    return Scale(name, shown, np.array(at, dtype=float))


def _numeric(name: str, values: Sequence[Any], known: list[float], log: bool) -> Scale:
    low, high = min(known), max(known)
    log = low > 0 and (log or is_log(np.array(known)))

    def place(value: float) -> float:
        if low == high:
            return 0.5
        if log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    wanted = np.geomspace(low, high, 5) if log else np.linspace(low, high, 5)
    if all(value.is_integer() for value in known) and high - low < MOST_TICKS:
        wanted = np.arange(low, high + 1)
    ticks = {place(float(value)): f"{value:.3g}" for value in wanted}
    at = [ABSENT if value is None else place(float(value)) for value in values]
    return Scale(name, ticks, np.array(at, dtype=float))


def _colours(number: int) -> list[str]:
    """From pale to dark."""
    return [to_hex(colour) for colour in colormaps["viridis_r"](np.linspace(0.0, 1.0, number))]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _plotly(trials: Sequence[Trial], axes: Sequence[Scale]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    lines = np.round(np.stack([axis.at for axis in axes], axis=1), 4).tolist()
    x = list(range(len(axes)))
    data: list[dict[str, Any]] = []
    for trial, line, colour in zip(trials, lines, _colours(len(trials)), strict=True):
        tip = plotly_text(trial.tip)
        style = {"color": colour, "width": 1.5}
        data.append({"type": "scatter", "mode": "lines+markers", "x": x, "y": line, "text": tip, "line": style})
        data[-1] |= {"hovertemplate": "%{text}<extra></extra>", "marker": {"size": 4}}
    notes = [
        {"x": place, "y": at, "text": plotly_text(text), "xanchor": "right", "showarrow": False, "font": {"size": 10}}
        | {"bgcolor": "rgba(255, 255, 255, 0.75)", "borderpad": 1}
        for place, axis in enumerate(axes)
        for at, text in axis.ticks.items()
    ]
    names = {"tickvals": x, "ticktext": [plotly_text(axis.name) for axis in axes], "side": "top", "zeroline": False}
    names["automargin"] = True
    return data, {
        "showlegend": False,
        "annotations": notes,
        "xaxis": names,
        "yaxis": {"visible": False},
        "hovermode": "closest",
    }

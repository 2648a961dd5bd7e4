"""Figures, axes, colours and numbers that pictures share, for both drawers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

Array = np.ndarray[Any, np.dtype[np.float64]]
LineStyle = str | tuple[int, tuple[int, ...]]
# Traces and layout of a figure that plotly draws.
Plotted = tuple[list[dict[str, Any]], dict[str, Any]]

BLUE, VERMILION, GREY, PALE = "#0072B2", "#D55E00", "#666666", "#999999"
# Okabe & Ito 2008.
OKABE_ITO = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# The gid of what is drawn of trial 3 is ``trial-3``.
TRIAL = "trial-"
# What is shown of measured points, and on which split.
QUANTITIES = {"loss": "train", "error": "test"}
QUANTITY_TEXTS = {"loss": "train loss with L2 (nats/sample)", "error": "test error (fraction)"}

LOG_FROM = 30.0
# Half of evenly spread values are in the lower half of their range; of ones spread by ratio far more are.
CROWDED = 0.25
# A wider axis has its numbers at powers of ten alone.
MOST_DECADES = 3.0


@contextmanager
def plain_text() -> Iterator[None]:
    """While it lasts figures take text as it is: no formulae in it, no warnings of letters that a font lacks."""
    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def new_figure(width: float, height: float, title: str = "", layout: Any = "constrained") -> Figure:
    """An empty figure, in inches, that no window and no global state of matplotlib's knows."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=12)
    return figure


def tidy(*panels: Axes) -> None:
    """A faint grid, and axes at the left and below alone."""
    for panel in panels:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)


def two_panels(title: str, data: str, x_text: str) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel a quantity, whose axes say data set, quantity and unit."""
    figure = new_figure(9.0, 4.0, title)
    panels = dict(zip(QUANTITY_TEXTS, figure.subplots(1, 2), strict=True))
    for quantity, panel in panels.items():
        panel.set(xlabel=x_text, ylabel=f"{data} {QUANTITY_TEXTS[quantity]}".strip())
        panel.margins(x=0.03, y=0.15)
        tidy(panel)
    return figure, panels


def legend_below(figure: Figure, panel: Axes) -> None:
    """What the lines are, under the panels, once each; the figure grows by what that takes."""
    handles, names = panel.get_legend_handles_labels()
    longest = max((len(name) for name in names), default=0)
    columns = max(1, min(len(names), 4, 120 // (longest + 8)))
    figure.set_size_inches(9.0, 3.75 + 0.24 * -(-len(names) // columns))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)


def is_wide(values: Array, ratio: float) -> bool:
    """Whether values are positive, and the largest is more than so many times the least."""
    known = values[np.isfinite(values)]
    return bool(len(known) and known.min() > 0 and known.max() > ratio * known.min())


def is_log(values: Array) -> bool:
    """Whether values are wide and crowded at the low end, so that a log axis shows them best."""
    known = values[np.isfinite(values)]
    return is_wide(known, LOG_FROM) and bool(np.median(known) - known.min() < CROWDED * np.ptp(known))


def round_ticks(values: Array) -> list[float]:
    """Numbers of a logarithmic axis of these values, the positive among them: 1, 2 and 5 times powers of ten.

    A wide axis has powers of ten alone. One power more on either side is there when a reader moves the axis.
    """
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = float(np.log10(positive.min())), float(np.log10(positive.max()))
    digits = (1.0,) if high - low > MOST_DECADES else (1.0, 2.0, 5.0)
    return [digit * 10.0**power for power in range(int(np.floor(low)) - 1, int(np.ceil(high)) + 1) for digit in digits]


def plain_numbers(axis: Axis, ticks: Sequence[float] | None = None) -> None:
    """Numbers of a logarithmic axis without formulae, at these places if given."""
    if ticks is not None:
        axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def set_log(panel: Axes, values: Array, name: str = "y") -> None:
    """Make the x- or y-axis of a panel logarithmic, with round numbers for these values, some of them positive."""
    panel.set(**{f"{name}scale": "log"})
    plain_numbers(panel.xaxis if name == "x" else panel.yaxis, round_ticks(values))


def told_apart(values: Sequence[float], least: int = 3, most: int = 8) -> list[str]:
    """Values with the fewest significant digits, within bounds, that tell different ones apart."""
    for digits in range(least, most + 1):
        written = [f"{value:.{digits}g}" for value in values]
        if len(set(written)) == len(set(values)):
            break
    return written


def plotly_axis(text: str, values: Array | None = None) -> dict[str, Any]:
    """An axis of plotly; a logarithmic one, which there is for values that are given, has the same numbers."""
    axis: dict[str, Any] = {"title": {"text": text}}
    if values is None:
        return axis
    ticks = round_ticks(values)
    return axis | {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def plotly_line(x: Array, y: Array, label: str, style: Mapping[str, Any]) -> dict[str, Any]:
    """A line of plotly with its points."""
    named = {"type": "scatter", "mode": "lines+markers", "name": plotly_text(label), "marker": {"size": 5}}
    return named | {"x": numbers(x), "y": numbers(y), "line": dict(style)}


def plotly_text(text: str) -> str:
    """Text that plotly, which reads a few tags in what it shows, shows as it is; lines stay lines."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")


def numbers(values: Array) -> list[float | None]:
    """Values of six digits, None where there is none, as JSON takes them."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]

"""Axes of values that are far apart: whether they are logarithmic, and their numbers, as plain text."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from raysurf.report.pictures.trace import Array

LOG_FROM = 30.0
# Half of evenly spread values are in the lower half of their range; of ones spread by ratio far more are.
CROWDED = 0.25
# A wider axis has its numbers at powers of ten alone.
MOST_DECADES = 3.0


def is_log(values: Array) -> bool:
    """Whether values are positive, far apart and crowded at the low end, so that a log axis shows them best."""
    known = values[np.isfinite(values)]
    if not len(known) or known.min() <= 0 or known.max() <= LOG_FROM * known.min():
        return False
    return bool(np.median(known) - known.min() < CROWDED * np.ptp(known))


def round_ticks(values: Array) -> list[float]:
    """Round numbers for a logarithmic axis of these values: 1, 2 and 5 times powers of ten, or these alone.

    Args:
        values: Some of them positive; the others have no place on such an axis.
    """
    low, high = _bounds(values)
    digits = (1.0,) if high - low > MOST_DECADES else (1.0, 2.0, 5.0)
    # One power more on either side is there when a reader moves the axis.
    return [digit * 10.0**power for power in range(int(np.floor(low)) - 1, int(np.ceil(high)) + 1) for digit in digits]


def set_log(panel: Axes, values: Array) -> None:
    """Make the y-axis of a panel logarithmic; its numbers need no formulae, which reports do without.

    Args:
        panel: Where these values are drawn.
        values: Some of them positive.
    """
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(FixedLocator(round_ticks(values)))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def plotly_axis(text: str, values: Array, log: bool) -> dict[str, Any]:
    """An axis of plotly; a logarithmic one has the same numbers.

    Args:
        text: What it says.
        values: What is drawn along it.
        log: Whether it is logarithmic.
    """
    axis: dict[str, Any] = {"title": {"text": text}}
    if not log:
        return axis
    ticks = round_ticks(values)
    return axis | {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _bounds(values: Array) -> tuple[float, float]:
    """Logarithms of the least and the largest."""
    positive = values[np.isfinite(values) & (values > 0)]
    return float(np.log10(positive.min())), float(np.log10(positive.max()))

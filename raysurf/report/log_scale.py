"""Axes of values that are far apart: whether they are logarithmic, and their numbers, as plain text."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from raysurf.report.trace import Array

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


def set_log(panel: Axes, values: Array) -> None:
    """Make the y-axis of a panel logarithmic; its numbers need no formulae, which reports do without.

    Args:
        panel: Where these values are drawn.
        values: Some of them positive.
    """
    positive = values[np.isfinite(values) & (values > 0)]
    is_wide = np.log10(positive.max() / positive.min()) > MOST_DECADES
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(10, (1.0,) if is_wide else (1.0, 2.0, 5.0)))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

"""The log-like colour scale of planes: classes that are narrow near the lowest value and wide far above it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap

from raysurf.report.digits import told_apart

Array = np.ndarray[Any, np.dtype[np.float64]]
NUM_CLASSES = 7
LOWEST_SPREAD = 50.0


@dataclass(frozen=True)
class Scale:
    """Classes of values and their colours.

    Args:
        levels: Bounds of the classes, ascending, shape (NUM_CLASSES + 1,); the first is the least value.
        is_open: Whether there are values above the last level, drawn in a colour of their own.
        colours: One a class, and one more for what lies above if there is such.
    """

    levels: Array
    is_open: bool
    colours: Array

    @property
    def cmap(self) -> Colormap:
        """The classes' colours."""
        return ListedColormap(self.colours[:NUM_CLASSES]).with_extremes(over=self.colours[-1])

    @property
    def texts(self) -> dict[float, str]:
        """How each level is written: with as many digits, three at least, as tell them apart."""
        levels = self.levels.tolist()
        return dict(zip(levels, told_apart(levels), strict=True))

    @property
    def edges(self) -> Array:
        """The levels with the outer ones a hair further out, so that the values on them are inside."""
        hair = 1e-6 * (self.levels[-1] - self.levels[0])
        found: Array = np.concatenate([[self.levels[0] - hair], self.levels[1:-1], [self.levels[-1] + hair]])
        return found

    @property
    def norm(self) -> BoundaryNorm:
        """From a value to its class."""
        return BoundaryNorm(self.edges, NUM_CLASSES)


def scale_of(values: Array, bound: float, log_alpha: float, style: str = "viridis_r") -> Scale:
    """The scale that all planes of a row share.

    level_k = zmin + exp(a + k (log(zmax - zmin) - a) / N), with level_0 = zmin: the colour is linear in
    log(z - zmin).

    Args:
        values: All values of the planes, in any shape; NaN where there is none.
        bound: zmax is the largest value, or this if it is less; larger ones are one open class. If nearly everything
            lies above it, zmax is the values' median instead.
        log_alpha: a, the log of the resolution at the lowest value. Flatter planes take a smaller one, so that they
            are not all of one class.
        style: Name of a matplotlib colour map.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), figures 1 and 4, and the reference code's plane_plot.py; there
        the colour map is ``jet_r`` and errors are percent.
    """
    known = values[np.isfinite(values)]
    lowest, highest = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    top = min(highest, bound)
    if len(known) and bound < lowest + 0.1 * (float(np.median(known)) - lowest):
        top = float(np.median(known))
    span = max(top - lowest, 1e-6 * max(1.0, abs(lowest)))
    a = min(log_alpha, np.log(span) - np.log(LOWEST_SPREAD))
    levels = lowest + np.exp(a + np.arange(NUM_CLASSES + 1) * (np.log(span) - a) / NUM_CLASSES)
    levels[0], levels[-1] = lowest, lowest + span
    is_open = highest > levels[-1] + 1e-6 * span
    colours = matplotlib.colormaps[style](np.linspace(0.02, 1.0, NUM_CLASSES + is_open))
    return Scale(levels, is_open, colours)

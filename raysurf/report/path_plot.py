"""The picture of minimum-energy paths: the band, its pivots, its saddle, and the straight line between its ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib.figure import Figure

from raysurf.report.label_placement import Label, place_labels
from raysurf.report.profile_plot import MAX_ANNOTATED, TEXT_BOX
from raysurf.report.trace import Array, Trace
from raysurf.report.two_panels import AXIS_TEXTS, colours_and_styles, draw_trace, legend_below, two_panels


def path_figure(
    paths: Sequence[Trace],
    num_pivots: Sequence[int | None],
    lines: Sequence[Trace],
    *,
    title: str,
    data: str,
    axis: str = "t",
    colours: Mapping[str, str] = MappingProxyType({}),
) -> Figure:
    """Draw train loss and test error along paths; the saddle is the point of the highest train loss on each.

    Args:
        paths: The bands, densely measured.
        num_pivots: Pivots of each, ends included; None where that is not known.
        lines: Straight lines between the ends, dashed.
        title: Above the picture.
        data: Name of the data set, for the axes.
        axis: ``t`` (pivots are evenly spaced) or ``arc``.
        colours: Those of paths, by run.

    Source:
        Draxler et al. 2018 (arXiv:1803.00885), figure 3.
    """
    figure, panels = two_panels(title, data, AXIS_TEXTS[axis])
    drawn = list(colours_and_styles([*paths, *lines], colours))
    notes: dict[str, tuple[list[Label], list[Array]]] = {}
    for quantity, panel in panels.items():
        labels, obstacles = notes.setdefault(quantity, ([], []))
        for i, (trace, colour, style) in enumerate(drawn):
            obstacles.append(draw_trace(panel, trace, axis, quantity, colour, style))
            if i >= len(paths):
                continue
            pivots = pivots_of(trace, num_pivots[i], axis, quantity)
            panel.plot(*pivots.T, "o", color=colour, markersize=5, markerfacecolor="white", zorder=4)
            obstacles += [np.tile(pivot, (4, 1)) for pivot in pivots]
            saddle = saddle_of(trace)
            if saddle is not None and not np.isnan(trace.values(quantity)[saddle]):
                x, value = trace.at(axis)[saddle], trace.values(quantity)[saddle]
                panel.plot(x, value, "v", color=colour, markersize=8, zorder=6)
                said = "saddle" if quantity == "loss" else "at the saddle"
                if len(paths) <= MAX_ANNOTATED:
                    labels.append(Label(f"{said} {value:.3g}", x, value, colour))
    if any(num_pivots):
        panels["loss"].plot([], [], "o", color="black", markersize=5, markerfacecolor="white", label="pivots")
    legend_below(figure, panels["loss"])
    for quantity, panel in panels.items():
        place_labels(panel, *notes[quantity], fontsize=9, bbox=TEXT_BOX)
    return figure


def saddle_of(trace: Trace) -> int | None:
    """Number of the point of the highest train loss; None if none has a loss."""
    return None if np.isnan(trace.loss).all() else int(np.nanargmax(trace.loss))


def pivots_of(trace: Trace, num_pivots: int | None, axis: str, quantity: str) -> Array:
    """Where the free pivots stand, shape (n, 2): the points at t = k / (num_pivots - 1) without the ends."""
    wanted = np.arange(1, (num_pivots or 2) - 1) / max((num_pivots or 2) - 1, 1)
    at = [i for i, t in enumerate(trace.t) if len(wanted) and np.abs(wanted - t).min() < 1e-6]
    return np.stack([trace.at(axis)[at], trace.values(quantity)[at]], axis=1)

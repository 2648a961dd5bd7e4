"""Pictures of profiles and minimum-energy paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from raysurf.report.picture import write
from raysurf.report.pictures.trace import (
    AXIS_TEXTS,
    GREY,
    Array,
    Trace,
    colours_and_styles,
    draw_trace,
    legend_below,
    read_trace,
    two_panels,
)
from raysurf.report.placement import Label, place_labels

MAX_ANNOTATED = 4
TEXT_BOX = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}


def profile_figure(
    traces: Sequence[Trace],
    *,
    title: str,
    data: str,
    axis: str = "t",
    ends: tuple[str, str] | None = None,
    colours: Mapping[str, str] = MappingProxyType({}),
) -> Figure:
    """Draw train loss and test error along any number of lines; the worst point of each is marked if they are few.

    Args:
        traces: What was measured.
        title: Above the picture.
        data: Name of the data set, for the axes.
        axis: ``t``, or ``arc`` for the arc length from the first weights.
        ends: What the weights at t = 0 and t = 1 are called, if they are the same for all.
        colours: Those of curves and paths, by run.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), figure 2; with ``arc`` along the line between two weights,
        Izmailov et al. 2018 (arXiv:1803.05407), figure 5; colours of Okabe & Ito 2008.
    """
    figure, panels = two_panels(title, data, AXIS_TEXTS[axis])
    drawn = list(colours_and_styles(traces, colours))
    notes: dict[str, tuple[list[Label], list[Array]]] = {}
    for quantity, panel in panels.items():
        lines = [draw_trace(panel, trace, axis, quantity, colour, style) for trace, colour, style in drawn]
        labels = []
        for (_, colour, _), line in zip(drawn, lines, strict=True):
            if np.isnan(line[:, 1]).all():
                continue
            worst = int(np.nanargmax(line[:, 1]))
            x, value = line[worst]
            panel.plot(x, value, "v", color=colour, markersize=7)
            if len(drawn) <= MAX_ANNOTATED:
                labels.append(Label(f"worst {value:.3g}", x, value, colour))
        if ends is not None:
            labels += _end_labels(traces, axis, quantity, ends)
        notes[quantity] = labels, lines
    legend_below(figure, panels["loss"])
    for quantity, panel in panels.items():
        place_labels(panel, *notes[quantity], fontsize=9, bbox=TEXT_BOX)
    return figure


def draw_profile(
    surface: pa.Table, *, curve: str, line: str | None, labels: tuple[str, str], path: str, title: str, data: str
) -> None:
    """Draw and write a curve against the straight line between its ends, from rows of ``surface`` alone.

    Args:
        surface: Rows of the table.
        curve: Run whose points are drawn solid.
        line: Run whose points are drawn dashed, if it was measured.
        labels: What the two are called.
        path: Where the picture goes; .png, .svg, .pdf or .html.
        title: Above the picture.
        data: Name of the data set, for the axes.
    """
    rows = surface.to_pylist()
    runs = [(curve, labels[0]), *([(line, labels[1])] if line else [])]
    traces = [read_trace(rows, run_id, label) for run_id, label in runs]
    write(profile_figure(traces, title=title, data=data), path, title)


def _end_labels(traces: Sequence[Trace], axis: str, quantity: str, ends: tuple[str, str]) -> list[Label]:
    """The names of the two weights, once a panel, at the first trace where they were measured."""
    for trace in traces:
        x, values = trace.ends(axis, quantity)
        if len(x) == 2 and not np.isnan(values).any():
            return [Label(name, x[i], values[i], GREY) for i, name in enumerate(ends)]
    return []


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

"""The picture of profiles: loss and error along curves, lines, chains and paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from raysurf.report.label_placement import Label, place_labels
from raysurf.report.picture import write
from raysurf.report.trace import Array, Trace, read_trace
from raysurf.report.two_panels import (
    AXIS_TEXTS,
    GREY,
    colours_and_styles,
    draw_trace,
    legend_below,
    two_panels,
)

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

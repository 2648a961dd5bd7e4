"""Two panels side by side, train loss and test error, with the lines that pictures along a line share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from raysurf.report.trace import Array, Trace

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#666666"
OKABE_ITO = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LineStyle = str | tuple[int, tuple[int, ...]]
SOLID: tuple[LineStyle, ...] = ("-", "-.", ":")
DASHED: tuple[LineStyle, ...] = ("--", (0, (5, 1, 1, 1)), (0, (3, 3)))
QUANTITY_TEXTS = {"loss": "train loss with L2 (nats/sample)", "error": "test error (fraction)"}
AXIS_TEXTS = {
    "t": "t (position between the two networks)",
    "arc": "arc length from the first network",
}


def two_panels(title: str, data: str, x_text: str) -> tuple[Figure, dict[str, Axes]]:
    """A figure of two panels, by quantity; their axes say data set, quantity and unit."""
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = dict(zip(QUANTITY_TEXTS, figure.subplots(1, 2), strict=True))
    for quantity, panel in panels.items():
        panel.set_xlabel(x_text)
        panel.set_ylabel(f"{data} {QUANTITY_TEXTS[quantity]}".strip())
        panel.margins(x=0.03, y=0.15)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=12)
    return figure, panels


def colours_and_styles(
    traces: Sequence[Trace], colours: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[Trace, str, LineStyle]]:
    """A colour and a line style a trace: straight lines are dashed, and a colour comes again only in another style.

    The first straight line beside curves is grey, so that it has no curve's colour.

    Args:
        traces: The lines.
        colours: Those of curves and paths, by run; other lines have those that are left.
    """
    taken = {colours[trace.curve] for trace in traces if trace.curve in colours}
    left = cycle([colour for colour in OKABE_ITO if colour not in taken] or OKABE_ITO)
    lines_only = all(trace.geometry == "line" for trace in traces)
    greys, drawn = iter([GREY]), Counter[tuple[str, bool]]()
    for trace in traces:
        is_dashed = trace.geometry == "line" and not lines_only
        colour = colours.get(trace.curve) or (next(greys, None) if is_dashed else None) or next(left)
        styles = DASHED if is_dashed else SOLID
        yield trace, colour, styles[drawn[colour, is_dashed] % len(styles)]
        drawn[colour, is_dashed] += 1


def draw_trace(panel: Axes, trace: Trace, axis: str, quantity: str, colour: str, style: LineStyle) -> Array:
    """One line with its ends as circles; it is broken where figures are missing, and its label says how many.

    Returns:
        The line as drawn, shape (n, 2).
    """
    x, values = trace.at(axis), trace.values(quantity)
    missing = f" ({trace.num_missing} of {len(trace.t)} points failed)" if trace.num_missing else ""
    alone = _alone(values)
    panel.plot(x, values, linestyle=style, color=colour, linewidth=2, label=trace.label + missing)
    panel.plot(x[alone], values[alone], "o", color=colour, markersize=3)
    panel.plot(*trace.ends(axis, quantity), "o", color=GREY, markersize=6, zorder=5)
    return np.stack([x, values], axis=1)


def legend_below(figure: Figure, panel: Axes) -> None:
    """What the lines are, under the panels, once each; the figure grows by what that takes."""
    handles, names = panel.get_legend_handles_labels()
    longest = max((len(name) for name in names), default=0)
    columns = max(1, min(len(names), 4, 120 // (longest + 8)))
    figure.set_size_inches(9.0, 3.75 + 0.24 * -(-len(names) // columns))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)


def _alone(values: Array) -> Array:
    """Where a figure stands between two missing ones, so that no line shows it."""
    known = np.concatenate([[False], ~np.isnan(values), [False]])
    found: Array = known[1:-1] & ~known[:-2] & ~known[2:]
    return found

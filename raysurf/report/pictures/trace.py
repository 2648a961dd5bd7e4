"""Lines of measured points, and panels of loss above error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Array = np.ndarray[Any, np.dtype[np.float64]]
QUANTITIES = {"loss": "train", "error": "test"}


@dataclass(frozen=True)
class Trace:
    """Figures along one line, in the order of t.

    Args:
        label: What it is called.
        geometry: curve, line, chain or path.
        t: Positions, shape (n,); 0 and 1 are the ends.
        arc: Arc length from the first weights (t = 0), in weight distance, below 0 before them, shape (n,).
        loss: Train loss with L2, in nats a sample, shape (n,); NaN where there is none.
        error: Test error, a fraction, shape (n,); NaN where there is none.
        curve: The run of the curve or path, whose colour it has; empty for other lines.
    """

    label: str
    geometry: str
    t: Array
    arc: Array
    loss: Array
    error: Array
    curve: str = ""

    @property
    def num_missing(self) -> int:
        """Points that have no figure in one panel or the other."""
        return int(np.sum(np.isnan(self.loss) | np.isnan(self.error)))

    def at(self, axis: str) -> Array:
        """Where the points stand on an x-axis of ``t`` or ``arc``."""
        return self.t if axis == "t" else self.arc

    def values(self, quantity: str) -> Array:
        """``loss`` or ``error``."""
        return self.loss if quantity == "loss" else self.error

    def ends(self, axis: str, quantity: str) -> tuple[Array, Array]:
        """Where the line, as it is drawn, passes t = 0 and t = 1, as far as it reaches them."""
        if not len(self.t):
            return self.t, self.t
        reached = [t for t in (0.0, 1.0) if self.t[0] - 1e-9 <= t <= self.t[-1] + 1e-9]
        return np.interp(reached, self.t, self.at(axis)), np.interp(reached, self.t, self.values(quantity))


def read_trace(rows: Iterable[Mapping[str, Any]], run_id: str, label: str, curve: str = "") -> Trace:
    """The points of one run.

    Args:
        rows: Of ``surface``, of any runs, in any order.
        run_id: The run.
        label: What it is called.
        curve: The run of the curve or path, if it is one.
    """
    points: dict[float, dict[str, float]] = {}
    geometry = ""
    for row in rows:
        if row["run_id"] == run_id and row["t"] is not None:
            geometry = row.get("geometry") or geometry
            point = points.setdefault(float(row["t"]), {"distance": row.get("distance", row["t"])})
            for quantity, split in QUANTITIES.items():
                if row["split"] == split and row[quantity] is not None:
                    point[quantity] = row[quantity]
    t = np.array(sorted(points))
    columns = {
        name: np.array([points[at].get(name, np.nan) for at in sorted(points)], dtype=float)
        for name in ("distance", *QUANTITIES)
    }
    return Trace(
        label, geometry, t, _signed(t, columns["distance"], geometry), columns["loss"], columns["error"], curve
    )


def _signed(t: Array, travelled: Array, geometry: str) -> Array:
    """Arc length from the weights at t = 0. A line's speed is the same, whichever point is the first."""
    if len(t) < 2:
        return travelled
    if geometry == "line":
        return t * float(np.median(np.abs(np.diff(travelled)) / np.diff(t)))
    return travelled - float(np.interp(0.0, t, travelled))


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

"""Pictures along lines through weight space: profiles, and minimum-energy paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raysurf.report.labels import curve_of, ends_of
from raysurf.report.pictures.axes import (
    GREY,
    OKABE_ITO,
    QUANTITIES,
    QUANTITY_TEXTS,
    Array,
    LineStyle,
    Plotted,
    legend_below,
    plain_text,
    plotly_axis,
    plotly_line,
    two_panels,
)
from raysurf.report.pictures.kind import Picture, PictureKind, Rows, points_of
from raysurf.report.placement import Label, place_labels
from raysurf.report.runs import MeasuredRun, Wanted, measured_runs
from raysurf.results.reader import Reader

AXIS_TEXTS = {"t": "t (position between the two networks)", "arc": "arc length from the first network"}
SOLID: tuple[LineStyle, ...] = ("-", "-.", ":")
DASHED: tuple[LineStyle, ...] = ("--", (0, (5, 1, 1, 1)), (0, (3, 3)))
DASHES = dict(zip((*SOLID, *DASHED), ("solid", "dashdot", "dot", "dash", "longdashdot", "longdash"), strict=True))
MAX_ANNOTATED = 4
TEXT_BOX = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}


@dataclass(frozen=True)
class Trace:
    """Loss and error along one line, in the order of t.

    Args:
        geometry: curve, line, chain or path.
        t: Positions, shape (n,); 0 and 1 are the ends.
        arc: Arc length from the first weights (t = 0), in weight distance, below 0 before them, shape (n,).
        values: Train loss with L2, nats a sample, and test error, a fraction, of shape (n,); NaN where there is none.
        curve: The run of the curve or path, whose colour it has; empty for other lines.
    """

    label: str
    geometry: str
    t: Array
    arc: Array
    values: Mapping[str, Array]
    curve: str = ""

    def at(self, axis: str) -> Array:
        """Where the points stand on an x-axis of ``t`` or ``arc``."""
        return self.t if axis == "t" else self.arc

    def ends(self, axis: str, quantity: str) -> tuple[Array, Array]:
        """Where the line, as it is drawn, passes t = 0 and t = 1, as far as it reaches them."""
        if not len(self.t):
            return self.t, self.t
        reached = [t for t in (0.0, 1.0) if self.t[0] - 1e-9 <= t <= self.t[-1] + 1e-9]
        return np.interp(reached, self.t, self.at(axis)), np.interp(reached, self.t, self.values[quantity])


Drawn = tuple[Trace, str, LineStyle]
# Marks points of the lines in a panel of a quantity; gives labels, and what these may not cover.
Mark = Callable[[Axes, str, Sequence[Drawn]], tuple[list[Label], list[Array]]]


def read_trace(rows: Rows, run_id: str, label: str, curve: str = "") -> Trace:
    """The points of one run, from rows of ``surface`` of any runs, in any order."""
    points = [point for point in points_of(rows, run_id) if point["t"] is not None]
    points.sort(key=lambda point: float(point["t"]))
    geometry = points[0]["geometry"] if points else ""
    t, travelled, *values = (
        np.array([point[name] for point in points], dtype=float) for name in ("t", "distance", *QUANTITIES)
    )
    arc = _signed(t, travelled, geometry)
    return Trace(label, geometry, t, arc, dict(zip(QUANTITIES, values, strict=True)), curve)


def _signed(t: Array, travelled: Array, geometry: str) -> Array:
    """Arc length from the weights at t = 0. A line's speed is the same, whichever point is the first."""
    if len(t) < 2:
        return travelled
    if geometry == "line":
        return t * float(np.median(np.abs(np.diff(travelled)) / np.diff(t)))
    return travelled - float(np.interp(0.0, t, travelled))


def _traces(picture: Picture, runs: Sequence[MeasuredRun]) -> list[Trace]:
    return [read_trace(picture.rows, run.run_id, picture.labels[run.run_id], curve_of(run)) for run in runs]


def colours_and_styles(traces: Sequence[Trace], colours: Mapping[str, str]) -> Iterator[Drawn]:
    """A colour and a line style a trace: straight lines are dashed, and a colour comes again only in another style.

    ``colours`` are those of curves and paths, by run; other lines have those that are left. The first straight line
    beside curves is grey, so that it has no curve's colour.
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


def _figure(picture: Picture, traces: Sequence[Trace], mark: Mark) -> Figure:
    """Both quantities along the lines, what ``mark`` adds to each panel, and labels where nothing is drawn."""
    figure, panels = two_panels(picture.title, picture.data, AXIS_TEXTS[picture.axis])
    drawn = list(colours_and_styles(traces, picture.colours))
    notes = {}
    for quantity, panel in panels.items():
        lines = [_draw(panel, trace, picture.axis, quantity, colour, style) for trace, colour, style in drawn]
        labels, marks = mark(panel, quantity, drawn)
        notes[panel] = labels, [*lines, *marks]
    legend_below(figure, panels["loss"])
    for panel, (labels, covered) in notes.items():
        place_labels(panel, labels, covered, fontsize=9, bbox=TEXT_BOX)
    return figure


def _draw(panel: Axes, trace: Trace, axis: str, quantity: str, colour: str, style: LineStyle) -> Array:
    """One line with its ends as circles, broken where values are missing; returns it as drawn, shape (n, 2)."""
    x, values = trace.at(axis), trace.values[quantity]
    num_missing = int(np.isnan(list(trace.values.values())).any(axis=0).sum())
    missing = f" ({num_missing} of {len(trace.t)} points failed)" if num_missing else ""
    panel.plot(x, values, linestyle=style, color=colour, linewidth=2, label=trace.label + missing)
    # A value between two missing ones, which no line shows.
    known = np.concatenate([[False], ~np.isnan(values), [False]])
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    panel.plot(x[alone], values[alone], "o", color=colour, markersize=3)
    panel.plot(*trace.ends(axis, quantity), "o", color=GREY, markersize=6, zorder=5)
    return np.stack([x, values], axis=1)


@plain_text()
def profile_figure(picture: Picture) -> Figure:
    """Draw train loss and test error along any number of lines; the worst point of each is marked if they are few.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), figure 2; with ``arc`` along the line between two weights,
        Izmailov et al. 2018 (arXiv:1803.05407), figure 5; colours of Okabe & Ito 2008.
    """
    ends = {ends_of(run) for run in picture.runs}
    names = ends.pop() if len(ends) == 1 else None

    def mark(panel: Axes, quantity: str, drawn: Sequence[Drawn]) -> tuple[list[Label], list[Array]]:
        labels = []
        for trace, colour, _ in drawn:
            values = trace.values[quantity]
            if not np.isnan(values).all():
                worst = np.nanargmax(values)
                x, value = trace.at(picture.axis)[worst], values[worst]
                panel.plot(x, value, "v", color=colour, markersize=7)
                if len(drawn) <= MAX_ANNOTATED:
                    labels.append(Label(f"worst {value:.3g}", x, value, colour))
        # The names of the two weights, once a panel, at the first line where they were measured.
        measured = (trace.ends(picture.axis, quantity) for trace, *_ in drawn)
        at = next((end for end in measured if len(end[0]) == 2 and not np.isnan(end[1]).any()), None)
        if names is not None and at is not None:
            labels += [Label(name, x, value, GREY) for name, x, value in zip(names, *at, strict=True)]
        return labels, []

    return _figure(picture, _traces(picture, picture.runs), mark)


def _plotly(picture: Picture) -> Iterator[Plotted]:
    """Loss and error along lines, a figure a quantity."""
    drawn = list(colours_and_styles(_traces(picture, picture.runs), picture.colours))
    for quantity, text in QUANTITY_TEXTS.items():
        data = []
        for trace, colour, style in drawn:
            line = {"color": colour, "dash": DASHES[style]}
            data.append(plotly_line(trace.at(picture.axis), trace.values[quantity], trace.label, line))
        yield data, {"xaxis": plotly_axis(AXIS_TEXTS[picture.axis]), "yaxis": plotly_axis(text), "hovermode": "closest"}


@plain_text()
def path_figure(picture: Picture) -> Figure:
    """Draw train loss and test error along paths; the saddle is the point of the highest train loss on each.

    Straight lines between the ends are dashed.

    Source:
        Draxler et al. 2018 (arXiv:1803.00885), figure 3.
    """
    runs = [run for run in picture.runs if run.kind == "path"]
    num_pivots = [int(run.metrics.get("num_pivots", 0)) for run in runs]

    def mark(panel: Axes, quantity: str, drawn: Sequence[Drawn]) -> tuple[list[Label], list[Array]]:
        labels: list[Label] = []
        obstacles: list[Array] = []
        for (trace, colour, _), num in zip(drawn, num_pivots, strict=False):
            pivots = pivots_of(trace, num, picture.axis, quantity)
            panel.plot(*pivots.T, "o", color=colour, markersize=5, markerfacecolor="white", zorder=4)
            obstacles += [np.tile(pivot, (4, 1)) for pivot in pivots]
            loss = trace.values["loss"]
            saddle = None if np.isnan(loss).all() else int(np.nanargmax(loss))
            if saddle is not None and not np.isnan(trace.values[quantity][saddle]):
                x, value = trace.at(picture.axis)[saddle], trace.values[quantity][saddle]
                panel.plot(x, value, "v", color=colour, markersize=8, zorder=6)
                if len(runs) <= MAX_ANNOTATED:
                    said = "saddle" if quantity == "loss" else "at the saddle"
                    labels.append(Label(f"{said} {value:.3g}", x, value, colour))
        if quantity == "loss" and any(num_pivots):
            panel.plot([], [], "o", color="black", markersize=5, markerfacecolor="white", label="pivots")
        return labels, obstacles

    others = [run for run in picture.runs if run.kind != "path"]
    return _figure(picture, _traces(picture, [*runs, *others]), mark)


def pivots_of(trace: Trace, num_pivots: int, axis: str, quantity: str) -> Array:
    """Positions of a path's free pivots, shape (n, 2): the points at t = k / (num_pivots - 1) without the ends.

    ``num_pivots`` counts the ends; 0 is unknown.
    """
    wanted = np.arange(1, num_pivots - 1) / max(num_pivots - 1, 1)
    at = [i for i, t in enumerate(trace.t) if len(wanted) and np.abs(wanted - t).min() < 1e-6]
    return np.stack([trace.at(axis)[at], trace.values[quantity][at]], axis=1)


def _straight_lines(results: Reader, paths: Sequence[MeasuredRun]) -> list[MeasuredRun]:
    """Measured straight lines between the ends of paths, one a pair of ends."""
    ends = {run.inputs[:2] for run in paths if len(run.inputs) >= 2}
    lines: dict[tuple[str, ...], MeasuredRun] = {}
    for run in measured_runs(results, PROFILE.wanted):
        along = run.spec.get("along")
        is_line = isinstance(along, dict) and along.get("kind") == "line"
        if run.kind == PROFILE.wanted.job and is_line and run.inputs[:2] in ends:
            lines.setdefault(run.inputs[:2], run)
    return list(lines.values())


PROFILE = PictureKind(
    title="Profiles",
    says="Train loss with L2 (left) and test error (right) along curves, lines, chains or paths between weights.",
    wanted=Wanted(job="profile"),
    figure=profile_figure,
    plotly=_plotly,
    plotly_says="Train loss with L2 and test error along curves, lines, chains or paths between weights.",
)
PATH = PictureKind(
    title="Minimum-energy paths",
    says="Train loss with L2 (left) and test error (right) along minimum-energy paths; circles are pivots, the "
    "triangle is the saddle of the loss with L2, dashed is the straight line between the ends.",
    wanted=Wanted(job="path"),
    figure=path_figure,
    beside=_straight_lines,
)

"""Learning curves: error, loss and learning rate against epochs, the best trials in colour, the others in grey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from raysurf.report.gallery import TRIAL, Gallery, plain_text, plotly_text
from raysurf.report.pictures.axes import is_log, plotly_axis, set_log
from raysurf.report.pictures.trace import GREY, OKABE_ITO, Array
from raysurf.report.sections.learning_rows import RATE, LearningCurve, LearningCurves, learning_curves, thinned
from raysurf.report.sections.surfaces import numbers
from raysurf.report.sweep_rows import SweepRows
from raysurf.results.reader import Reader

Plotted = tuple[list[dict[str, Any]], dict[str, Any]]
NAMED = 5
# Other trials than the named ones that are drawn at most, and points of all of them together.
OTHERS, OTHERS_POINTS = 300, 4000
POINTS = 160
LONGEST = 44
LOG_FROM = 5.0
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
WORDS = {"-": "Solid", "--": "dashed", ":": "dotted", "-.": "dash and dot"}
PALE = "#999999"


@dataclass(frozen=True)
class Drawing:
    """What is drawn how.

    Args:
        found: The curves.
        named: Colour and name of the trials in colour, by number.
        styles: Line style by weights.
        others: Curves of the other trials that are drawn.
        left_out: Trials that are not drawn.
    """

    found: LearningCurves
    named: dict[int, tuple[str, str]]
    styles: dict[str, str]
    others: tuple[LearningCurve, ...]
    left_out: int

    def in_colour(self) -> Iterator[tuple[LearningCurve, str, str, str]]:
        """The named trials' curves, each with colour, line style and name."""
        for number, (colour, name) in self.named.items():
            for curve in self.found.curves:
                if curve.trial == number:
                    yield curve, colour, self.styles[curve.weights], name

    def in_grey(self, column: str) -> tuple[Array, Array]:
        """The others as one line, which is broken where one curve ends: epochs and figures."""
        most = max(8, OTHERS_POINTS // max(1, len(self.others)))
        parts = [(curve, thinned(curve.means[column], most)) for curve in self.others]
        broken = [(curve.epochs[at], curve.means[column][at]) for curve, at in parts if len(at) > 1]
        gap = np.array([np.nan])
        x, y = ([each for part in broken for each in (part[i], gap)] for i in (0, 1))
        return (np.concatenate(x), np.concatenate(y)) if broken else (gap, gap)

    def of_rate(self) -> Iterator[tuple[LearningCurve, str, str, str]]:
        """The first curve of each named trial: all weights of a run have its learning rate."""
        told = set()
        for each in self.in_colour():
            if each[0].trial not in told:
                told.add(each[0].trial)
                yield each

    def shown(self, column: str) -> Array:
        """Every figure that is drawn of a column."""
        curves = self.of_rate() if column == RATE else self.in_colour()
        named = [curve.means[column] for curve, *_ in curves]
        return np.concatenate([*named, *([] if column == RATE else [self.in_grey(column)[1]])])

    def is_log(self, column: str) -> bool:
        """Whether a logarithmic axis shows a column best."""
        values = self.shown(column)
        known = values[np.isfinite(values)]
        return is_log(values) or bool(column != RATE and known.min() > 0 and known.max() > LOG_FROM * known.min())


def learning(results: Reader, sweep: SweepRows, gallery: Gallery) -> str:
    """The pictures; none if no trial has two epochs with figures."""
    drawing = drawn(sweep, learning_curves(results, sweep))
    if drawing is None:
        return ""
    title = f"Learning curves of {sweep.name}"
    says = _says(sweep, drawing, gallery.is_interactive)
    if gallery.is_interactive:
        return gallery.plotly(*_plotly(drawing), title, says)
    tips = {trial.number: trial.tip for trial in sweep.trials}
    with plain_text():
        figure = learning_figure(drawing)
    return gallery.picture(figure, title, says, tips=tips)


def drawn(sweep: SweepRows, found: LearningCurves) -> Drawing | None:
    """What is drawn of a sweep; None if no trial has two epochs with figures."""
    kept = [curve for curve in found.curves if any(np.isfinite(curve.means[name]).sum() > 1 for name in found.columns)]
    if not kept:
        return None
    there = {curve.trial for curve in kept}
    ranked = [trial for trial in sweep.ranked if trial.number in there]
    order = [*ranked, *(trial for trial in sweep.trials if trial.number in there and trial not in ranked)]
    best = order[:NAMED]
    arms = Counter(trial.arm for trial in best)
    named = {}
    for trial, colour in zip(best, OKABE_ITO, strict=False):
        is_told_apart = not sweep.metrics and arms[trial.arm] == 1
        named[trial.number] = (colour, _cut(trial.arm) if is_told_apart else f"trial {trial.number}")
    others = {trial.number for trial in order[NAMED : NAMED + OTHERS]}
    weights = list(dict.fromkeys(curve.weights for curve in kept))
    styles = {name: list(DASHES)[place % len(DASHES)] for place, name in enumerate(weights)}
    grey = tuple(curve for curve in kept if curve.trial in others)
    return Drawing(
        LearningCurves(found.error, found.loss, tuple(kept)), named, styles, grey, len(order) - len(others) - len(best)
    )


def learning_figure(drawing: Drawing) -> Figure:
    """Error and loss side by side, and under them the rate and what the lines are."""
    columns = drawing.found.columns
    figure = Figure(figsize=(9.0, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
    places = [grid[0, 0], grid[0, 1]] if len(columns) == 2 else [grid[0, :]]
    first: Axes | None = None
    for column, place in zip((*columns, RATE), (*places, grid[1, 0]), strict=True):
        panel = figure.add_subplot(place, sharex=first)
        first = first or panel
        _panel(panel, drawing, column)
    panel.set_xlabel("epochs of the run")
    _legend(figure.add_subplot(grid[1, 1]), drawing)
    return figure


def _panel(panel: Axes, drawing: Drawing, column: str) -> None:
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_ylabel(_text(column))
    panel.margins(x=0.02)
    if drawing.is_log(column):
        set_log(panel, drawing.shown(column))
    if column != RATE:
        panel.plot(*drawing.in_grey(column), color=PALE, linewidth=0.6, alpha=0.7, zorder=1)
    # The best are drawn last, over the others.
    for curve, colour, style, _ in reversed(list(drawing.of_rate() if column == RATE else drawing.in_colour())):
        at = thinned(curve.means[column], POINTS)
        x, gid = curve.epochs[at], f"{TRIAL}{curve.trial}"
        if curve.num_seeds > 1 and column != RATE:
            low, high = curve.least[column][at], curve.most[column][at]
            panel.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0, zorder=2)
        alone = "." if len(at) == 1 else ""
        panel.plot(x, curve.means[column][at], linestyle=style, marker=alone, color=colour, linewidth=1.7, gid=gid)
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if column == RATE and panel.get_yscale() == "linear":
        panel.set_ylim(0, 1.08 * max(1e-12, np.nanmax(drawing.shown(column))))


def _legend(panel: Axes, drawing: Drawing) -> None:
    """What colours and line styles mean, where a fourth panel would stand."""
    panel.axis("off")
    listed = [Line2D([], [], color=colour, linewidth=2, label=name) for colour, name in drawing.named.values()]
    if drawing.others:
        listed.append(Line2D([], [], color=PALE, linewidth=1, label="other trials"))
    if len(drawing.styles) > 1:
        listed += [Line2D([], [], color=GREY, linestyle=style, label=name) for name, style in drawing.styles.items()]
    longest = max(len(str(line.get_label())) for line in listed)
    panel.legend(handles=listed, loc="center left", frameon=False, fontsize=9, ncols=2 if longest < 18 else 1)


def _plotly(drawing: Drawing) -> Plotted:
    """The panels one above another; a trial that is switched off in the legend goes from all of them."""
    columns = (*drawing.found.columns, RATE)
    shares = [1.0 if column == RATE else 1.5 for column in columns]
    ends = 1.0 - np.cumsum([0.0, *shares]) / sum(shares)
    x = {"title": {"text": "epochs of the run"}, "anchor": f"y{len(columns)}"}
    layout: dict[str, Any] = {"xaxis": x, "hovermode": "closest", "height": 280 * len(columns)}
    layout["legend"] = {"orientation": "h", "y": -0.12}
    data: list[dict[str, Any]] = []
    for number, column in enumerate(columns):
        axis = plotly_axis(_text(column).replace(" (", "<br>("), drawing.shown(column), drawing.is_log(column))
        low, high = float(ends[number + 1]), float(ends[number])
        layout["yaxis" if number == 0 else f"yaxis{number + 1}"] = axis | {"domain": [low + 0.03, high]}
        for line in _lines(drawing, column):
            named = {each["legendgroup"] for each in data}
            data.append(line | {"yaxis": f"y{number + 1}", "showlegend": line["legendgroup"] not in named})
    return data, layout


def _lines(drawing: Drawing, column: str) -> Iterator[dict[str, Any]]:
    """The lines of one panel of plotly's."""
    common: dict[str, Any] = {"type": "scatter", "xaxis": "x"}
    if column != RATE and drawing.others:
        x, y = drawing.in_grey(column)
        grey: dict[str, Any] = {
            "x": numbers(x),
            "y": numbers(y),
            "name": "other trials",
            "legendgroup": "",
            "mode": "lines",
        }
        yield common | grey | {"line": {"color": PALE, "width": 0.7}, "hoverinfo": "skip"}
    several = len(drawing.styles) > 1
    for curve, colour, style, name in drawing.of_rate() if column == RATE else drawing.in_colour():
        at = thinned(curve.means[column], POINTS)
        called = plotly_text(name)
        line: dict[str, Any] = {"name": called, "legendgroup": called, "mode": "lines" if len(at) > 1 else "markers"}
        line |= {"x": numbers(curve.epochs[at]), "y": numbers(curve.means[column][at])}
        line |= {"line": {"color": colour, "dash": DASHES[style], "width": 2}, "marker": {"color": colour}}
        tip = plotly_text(f"{name}, {curve.weights}" if several else name)
        yield common | line | {"text": tip, "hovertemplate": "%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>"}


def _says(sweep: SweepRows, drawing: Drawing, is_interactive: bool) -> str:
    several = len(sweep.trials) > len(drawing.named)
    what = "The best trials" if sweep.metrics and several else "The first trials" if several else "Trials"
    says = f"{what} in colour{', the others in grey' if drawing.others else ''}, epoch by epoch."
    if any(curve.num_seeds > 1 for curve in drawing.found.curves):
        says += f" Lines are means over seeds{'' if is_interactive else ', bands reach from the least to the most'}."
    if len(drawing.styles) > 1:
        says += f" {', '.join(f'{WORDS[style]}: {name}' for name, style in drawing.styles.items())}."
    if "average" in drawing.styles:
        says += " Averaged weights are measured where an epoch ends a cycle."
    if drawing.left_out:
        says += f" {drawing.left_out} further trials are not drawn."
    return f"{says} The learning rate is that of an epoch's last step."


def _text(column: str) -> str:
    if column == RATE:
        return "learning rate"
    split, _, name = column.partition("_")
    return {
        "error": f"{split} error (fraction)",
        "loss": f"{split} loss with L2 (nats/sample)",
        "nll": f"{split} NLL (nats/sample)",
    }[name]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

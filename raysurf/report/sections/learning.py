"""Learning curves: error, loss and learning rate against epochs, the best trials in colour, the others in grey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from raysurf.report.gallery import Gallery
from raysurf.report.pictures.axes import (
    GREY,
    OKABE_ITO,
    PALE,
    TRIAL,
    Array,
    Plotted,
    is_log,
    is_wide,
    new_figure,
    numbers,
    plain_text,
    plotly_axis,
    plotly_text,
    set_log,
    tidy,
)
from raysurf.report.sweep_rows import SweepRows, cut
from raysurf.results.reader import Reader
from raysurf.results.sql import quoted

# The first that any run has is drawn.
ERRORS = ("validation_error", "test_error", "train_error")
LOSSES = tuple(f"{split}_{name}" for split in ("validation", "test", "train") for name in ("loss", "nll"))
RATE = "lr"
NAMED = 5
# Other trials than the named ones that are drawn at most, and points of all of them together.
OTHERS, OTHERS_POINTS = 300, 4000
POINTS = 160
LONGEST = 44
LOG_FROM = 5.0
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
WORDS = {"-": "Solid", "--": "dashed", ":": "dotted", "-.": "dash and dot"}


@dataclass(frozen=True)
class LearningCurve:
    """Metrics of one trial's weights, epoch by epoch, over its seeds.

    Args:
        weights: Such as iterate or average; a prediction scheme other than the deterministic one is named beside it.
        epochs: Epochs finished, of all of the runs, ascending, shape (n,).
        means, least, most: By column, over the runs, shape (n,); NaN where a run was not measured.
    """

    trial: int
    weights: str
    num_seeds: int
    epochs: Array
    means: Mapping[str, Array]
    least: Mapping[str, Array]
    most: Mapping[str, Array]


def learning_curves(results: Reader, sweep: SweepRows) -> list[LearningCurve]:
    """Learning curves of a sweep's trials, finished or not, from rows of ``epochs``, iterates before averages.

    A run that trains nothing, such as a profile, stands for the one run that it measures.

    Raises:
        StoreError: If rows cannot be read.
    """
    trained = set(results.sql("select distinct run_id from epochs")["run_id"].to_pylist())
    pairs = [(trial.number, run_id) for trial in sweep.trials for run_id in _trained(sweep, trial.run_ids, trained)]
    if not pairs:
        return []
    listed = ", ".join(f"({number}, {quoted(run_id)})" for number, run_id in dict.fromkeys(pairs))
    of = {"mean": "avg", "least": "min", "most": "max"}
    columns = ", ".join(
        f"case when count_if(isfinite({column})) = count(*) then {function}({column}) end as {column}_{name}"
        for column in (*ERRORS, *LOSSES, RATE)
        for name, function in of.items()
    )
    # At the epochs that all seeds have.
    rows = results.sql(f"""
        select trial, which, epoch, any_value(seeds) as seeds, {columns} from (
            select *, count(distinct run_id) over (partition by trial, which) as seeds from (
                select *, weights || case when coalesce(scheme, 'deterministic') = 'deterministic' then ''
                    else ', ' || scheme end as which
                from epochs join (values {listed}) as pairs(trial, run_id) using (run_id)))
        group by trial, which, epoch having count(*) = any_value(seeds)
        order by trial, not starts_with(which, 'iterate'), which, epoch""")
    arrays = {name: rows[name].to_numpy().astype(float) for name in rows.column_names if name != "which"}
    keys = list(zip(rows["trial"].to_pylist(), rows["which"].to_pylist(), strict=True))
    curves = []
    for (trial, which), places in groupby(range(len(keys)), key=keys.__getitem__):
        at = list(places)
        spread = ({column: arrays[f"{column}_{name}"][at] for column in (*ERRORS, *LOSSES, RATE)} for name in of)
        curves.append(LearningCurve(trial, which, int(arrays["seeds"][at[0]]), arrays["epoch"][at], *spread))
    return curves


def _trained(sweep: SweepRows, run_ids: Sequence[str], trained: set[str]) -> Iterator[str]:
    for run_id in run_ids:
        inputs = sweep.runs[run_id]["inputs"] if run_id in sweep.runs else ()
        measured = [run_id] if run_id in trained else [needed for needed in inputs if needed in trained]
        if len(measured) == 1:
            yield measured[0]


def thinned(values: Array, most: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Places of the values to draw, ascending: of ever so many neighbours the least and the most, no peak being lost.

    Values that are not finite are left out; of the others at most so many are kept, and both ends.
    """
    known = np.flatnonzero(np.isfinite(values))
    if len(known) <= most:
        return known
    parts = np.array_split(known, most // 2)
    ends = [part[pick(values[part])] for part in parts for pick in (np.argmin, np.argmax)]
    return np.unique([known[0], *ends, known[-1]])


@dataclass(frozen=True)
class Drawing:
    """What is drawn how.

    Args:
        columns: The error, the loss, as far as there are, and the learning rate.
        named: Colour and name of the trials in colour, by number.
        styles: Line style by weights.
        others: Curves of the other trials that are drawn.
        left_out: Number of trials that are not drawn.
    """

    columns: tuple[str, ...]
    curves: Sequence[LearningCurve]
    named: dict[int, tuple[str, str]]
    styles: dict[str, str]
    others: tuple[LearningCurve, ...]
    left_out: int

    def in_colour(self, column: str) -> Iterator[tuple[LearningCurve, str, str, str]]:
        """The named trials' curves, each with colour, line style and name; all weights of a run have its one rate."""
        for number, (colour, name) in self.named.items():
            mine = [curve for curve in self.curves if curve.trial == number]
            for curve in mine[:1] if column == RATE else mine:
                yield curve, colour, self.styles[curve.weights], name

    def in_grey(self, column: str) -> tuple[Array, Array]:
        """The others as one line, which is broken where one curve ends: epochs and values."""
        most = max(8, OTHERS_POINTS // max(1, len(self.others)))
        parts = [(curve, thinned(curve.means[column], most)) for curve in self.others]
        broken = [(curve.epochs[at], curve.means[column][at]) for curve, at in parts if len(at) > 1]
        gap = np.array([np.nan])
        x, y = ([values for part in broken for values in (part[i], gap)] for i in (0, 1))
        return (np.concatenate(x), np.concatenate(y)) if broken else (gap, gap)

    def shown(self, column: str) -> Array:
        """Every value that is drawn of a column."""
        named = [curve.means[column] for curve, *_ in self.in_colour(column)]
        return np.concatenate([*named, *([] if column == RATE else [self.in_grey(column)[1]])])

    def is_log(self, column: str) -> bool:
        """Whether a logarithmic axis shows a column best."""
        values = self.shown(column)
        return is_log(values) or (column != RATE and is_wide(values, LOG_FROM))


def learning(results: Reader, sweep: SweepRows, gallery: Gallery) -> Markup:
    """The pictures; none if no trial has two epochs with values."""
    drawing = drawn(sweep, learning_curves(results, sweep))
    if drawing is None:
        return Markup()
    figure, plotly = partial(learning_figure, drawing), partial(_plotly, drawing)
    says = _says(sweep, drawing, gallery.is_interactive)
    return gallery.picture(f"Learning curves of {sweep.name}", says, figure, plotly, tips=sweep.tips)


def drawn(sweep: SweepRows, curves: Sequence[LearningCurve]) -> Drawing | None:
    """What is drawn of a sweep; None if no trial has two epochs with values."""

    def known(curve: LearningCurve, name: str) -> int:
        return int(np.isfinite(curve.means[name]).sum())

    measured = [[name for name in names if any(known(curve, name) for curve in curves)] for names in (ERRORS, LOSSES)]
    columns = [names[0] for names in measured if names]
    kept = [curve for curve in curves if any(known(curve, name) > 1 for name in columns)]
    if not kept:
        return None
    there = {curve.trial for curve in kept}
    ranked = [trial for trial in sweep.ranked if trial.number in there]
    order = [*ranked, *(trial for trial in sweep.trials if trial.number in there and trial not in ranked)]
    best = order[:NAMED]
    configurations = Counter(trial.arm for trial in best)
    named = {}
    for trial, colour in zip(best, OKABE_ITO, strict=False):
        is_told_apart = not sweep.metrics and configurations[trial.arm] == 1
        named[trial.number] = (colour, cut(trial.arm, LONGEST) if is_told_apart else f"trial {trial.number}")
    others = {trial.number for trial in order[NAMED : NAMED + OTHERS]}
    weights = list(dict.fromkeys(curve.weights for curve in kept))
    styles = {name: list(DASHES)[place % len(DASHES)] for place, name in enumerate(weights)}
    grey = tuple(curve for curve in kept if curve.trial in others)
    return Drawing((*columns, RATE), kept, named, styles, grey, len(order) - len(others) - len(best))


@plain_text()
def learning_figure(drawing: Drawing) -> Figure:
    """Error and loss side by side, and under them the learning rate and a legend."""
    figure = new_figure(9.0, 5.6)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
    places = [grid[0, 0], grid[0, 1]] if len(drawing.columns) == 3 else [grid[0, :]]
    first: Axes | None = None
    for column, place in zip(drawing.columns, (*places, grid[1, 0]), strict=True):
        panel = figure.add_subplot(place, sharex=first)
        first = first or panel
        _panel(panel, drawing, column)
    panel.set_xlabel("epochs of the run")
    legend = figure.add_subplot(grid[1, 1])
    legend.axis("off")
    lines = [Line2D([], [], color=colour, linewidth=2, label=name) for colour, name in drawing.named.values()]
    if drawing.others:
        lines.append(Line2D([], [], color=PALE, linewidth=1, label="other trials"))
    if len(drawing.styles) > 1:
        lines += [Line2D([], [], color=GREY, linestyle=style, label=name) for name, style in drawing.styles.items()]
    longest = max(len(str(line.get_label())) for line in lines)
    legend.legend(handles=lines, loc="center left", frameon=False, fontsize=9, ncols=2 if longest < 18 else 1)
    return figure


def _panel(panel: Axes, drawing: Drawing, column: str) -> None:
    tidy(panel)
    panel.set_ylabel(_text(column))
    panel.margins(x=0.02)
    if drawing.is_log(column):
        set_log(panel, drawing.shown(column))
    if column != RATE:
        panel.plot(*drawing.in_grey(column), color=PALE, linewidth=0.6, alpha=0.7, zorder=1)
    # The best are drawn last, over the others.
    for curve, colour, style, _ in reversed(list(drawing.in_colour(column))):
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


def _plotly(drawing: Drawing) -> list[Plotted]:
    """The panels one above another; a trial that is switched off in the legend goes from all of them."""
    columns = drawing.columns
    shares = [1.0 if column == RATE else 1.5 for column in columns]
    ends = 1.0 - np.cumsum([0.0, *shares]) / sum(shares)
    layout: dict[str, Any] = {"hovermode": "closest", "height": 280 * len(columns)}
    layout["xaxis"] = plotly_axis("epochs of the run") | {"anchor": f"y{len(columns)}"}
    layout["legend"] = {"orientation": "h", "y": -0.12}
    data: list[dict[str, Any]] = []
    for number, column in enumerate(columns):
        text = _text(column).replace(" (", "<br>(")
        axis = plotly_axis(text, drawing.shown(column) if drawing.is_log(column) else None)
        domain = [float(ends[number + 1]) + 0.03, float(ends[number])]
        layout["yaxis" if number == 0 else f"yaxis{number + 1}"] = axis | {"domain": domain}
        for line in _lines(drawing, column):
            named = {drawn["legendgroup"] for drawn in data}
            data.append(line | {"yaxis": f"y{number + 1}", "showlegend": line["legendgroup"] not in named})
    return [(data, layout)]


def _lines(drawing: Drawing, column: str) -> Iterator[dict[str, Any]]:
    """The lines of one panel of plotly's."""
    common: dict[str, Any] = {"type": "scatter", "xaxis": "x"}
    if column != RATE and drawing.others:
        x, y = map(numbers, drawing.in_grey(column))
        grey = common | {"x": x, "y": y, "name": "other trials", "legendgroup": "", "mode": "lines"}
        yield grey | {"line": {"color": PALE, "width": 0.7}, "hoverinfo": "skip"}
    for curve, colour, style, name in drawing.in_colour(column):
        at = thinned(curve.means[column], POINTS)
        called = plotly_text(name)
        line: dict[str, Any] = {"name": called, "legendgroup": called, "mode": "lines" if len(at) > 1 else "markers"}
        line |= {"x": numbers(curve.epochs[at]), "y": numbers(curve.means[column][at])}
        line |= {"line": {"color": colour, "dash": DASHES[style], "width": 2}, "marker": {"color": colour}}
        tip = plotly_text(f"{name}, {curve.weights}" if len(drawing.styles) > 1 else name)
        yield common | line | {"text": tip, "hovertemplate": "%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>"}


def _says(sweep: SweepRows, drawing: Drawing, is_interactive: bool) -> str:
    several = len(sweep.trials) > len(drawing.named)
    what = "The best trials" if sweep.metrics and several else "The first trials" if several else "Trials"
    says = f"{what} in colour{', the others in grey' if drawing.others else ''}, epoch by epoch."
    if any(curve.num_seeds > 1 for curve in drawing.curves):
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
    units = {"error": "error (fraction)", "loss": "loss with L2 (nats/sample)", "nll": "NLL (nats/sample)"}
    return f"{split} {units[name]}"

"""The search of a sweep: history, importance and parallel coordinates."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raysurf.report.gallery import Gallery
from raysurf.report.pictures.axes import (
    BLUE,
    GREY,
    TRIAL,
    VERMILION,
    Array,
    Plotted,
    is_log,
    new_figure,
    numbers,
    plain_text,
    plotly_axis,
    plotly_text,
    set_log,
    tidy,
)
from raysurf.report.sweep_rows import SweepRows, Trial, are_numbers, cut, short

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LEAST_FINISHED = 2
HISTORY_SAYS = (
    "A dot a trial, in the order of the search; the line is the best so far, crosses are trials without a value."
)


def search_history(sweep: SweepRows, gallery: Gallery) -> Markup:
    """The picture; none if fewer than ``LEAST_FINISHED`` trials have a value."""
    if not sweep.metrics or sum(trial.values[0] is not None for trial in sweep.trials) < LEAST_FINISHED:
        return Markup()
    figure, plotly = partial(history_figure, sweep), partial(_history_plotly, sweep)
    return gallery.picture(f"Search history of {sweep.name}", HISTORY_SAYS, figure, plotly, tips=sweep.tips)


def history(sweep: SweepRows, metric: int) -> tuple[Array, Array]:
    """A searched metric of all trials, NaN where there is none, and the best so far."""
    values = np.array([trial.values[metric] for trial in sweep.trials], dtype=float)
    return values, (np.fmax if sweep.modes[metric] == "max" else np.fmin).accumulate(values)


@plain_text()
def history_figure(sweep: SweepRows) -> Figure:
    """A panel a metric."""
    figure = new_figure(9.0, 3.2 * len(sweep.metrics))
    numbers_of_trials = [trial.number for trial in sweep.trials]
    panels = figure.subplots(len(sweep.metrics), 1, squeeze=False)[:, 0]
    for i, (panel, metric, mode) in enumerate(zip(panels, sweep.metrics, sweep.modes, strict=True)):
        values, best = history(sweep, i)
        tidy(panel)
        panel.set_ylabel(f"{metric} ({'higher' if mode == 'max' else 'lower'} is better)")
        if is_log(values):
            set_log(panel, values)
        panel.step(numbers_of_trials, best, where="post", color=VERMILION, linewidth=1.8, zorder=2)
        for number, value in zip(numbers_of_trials, values, strict=True):
            style: dict[str, Any] = {"markersize": 5, "gid": f"{TRIAL}{number}"}
            if np.isfinite(value):
                panel.plot([number], [value], "o", color=BLUE, alpha=0.85, zorder=3, **style)
            else:
                panel.plot([number], [0.02], "x", color=GREY, transform=panel.get_xaxis_transform(), **style)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("trial")
    return figure


def _history_plotly(sweep: SweepRows) -> list[Plotted]:
    values, best = history(sweep, 0)
    at = [trial.number for trial in sweep.trials]
    dots: dict[str, Any] = {"type": "scatter", "mode": "markers", "name": "trials", "x": at, "y": numbers(values)}
    dots |= {"text": [plotly_text(trial.tip) for trial in sweep.trials], "marker": {"color": BLUE, "size": 8}}
    dots["hovertemplate"] = "%{y:.5g}<br>%{text}<extra></extra>"
    line: dict[str, Any] = {"type": "scatter", "mode": "lines", "name": "best so far", "x": at, "y": numbers(best)}
    line["line"] = {"shape": "hv", "color": VERMILION}
    axis = plotly_axis(sweep.metrics[0], values if is_log(values) else None)
    return [([dots, line], {"xaxis": plotly_axis("trial"), "yaxis": axis, "hovermode": "closest"})]


LEAST_WEIGHED = 8
SEED = 0
# A quarter of Optuna's default: what it would add is seconds, and a hundredth of a share.
TREES = 16


def importances(sweep: SweepRows) -> tuple[dict[str, float], int, list[str]]:
    """The importance of the searched values that all trials have, for the first metric.

    Returns:
        Shares by name, the largest first, which sum to 1; the number of trials that they come from; and the names of
        values that are left out: they do not differ, or depend on a choice that some trials made otherwise.

    Source:
        Functional ANOVA over a random forest, Hutter et al. 2014, as Optuna has it. Bounds are those of the values
        that were tried.
    """
    trials = [trial for trial in sweep.ranked if sweep.metrics and trial.values[0] is not None]
    everywhere = [name for name in sweep.params if all(name in trial.params for trial in trials)]
    names = [name for name in everywhere if len({repr(trial.params[name]) for trial in trials}) > 1]
    left_out = [name for name in sweep.params if name not in names]
    if len(trials) < LEAST_WEIGHED or len(names) < 2 or len({trial.values[0] for trial in trials}) < 2:
        return {}, len(trials), left_out
    return _fanova(sweep, trials, names), len(trials), left_out


def importance(sweep: SweepRows, gallery: Gallery) -> Markup:
    """The picture; none if there are too few trials or values to tell."""
    shares, number, left_out = importances(sweep)
    if not shares:
        return Markup()
    says = f"Share of the variance of {sweep.metrics[0]} that each value explains (fANOVA over {number} trials)."
    if left_out:
        says += f" Left out, since they do not differ or only some trials have them: {', '.join(left_out)}."
    title = f"Importance of the searched values of {sweep.name}"
    return gallery.picture(title, says, partial(importance_figure, shares))


@plain_text()
def importance_figure(shares: dict[str, float]) -> Figure:
    """A bar a value, the largest first."""
    figure = new_figure(9.0, 0.9 + 0.32 * len(shares))
    panel = figure.subplots()
    places = range(len(shares))[::-1]
    bars = panel.barh(places, list(shares.values()), color=BLUE, height=0.6)
    panel.bar_label(bars, fmt="%.2f", padding=4, fontsize=9)
    panel.set_yticks(places, list(shares))
    panel.set_xlim(0, max(1e-9, *shares.values()) * 1.1)
    panel.set_xlabel("importance (share of variance)")
    panel.spines[["top", "right"]].set_visible(False)
    return figure


def _fanova(sweep: SweepRows, trials: Sequence[Trial], names: Sequence[str]) -> dict[str, float]:
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    tried = {name: [trial.params[name] for trial in trials] for name in names}
    scales = {name: _distribution(values, name in sweep.log) for name, values in tried.items()}
    kinds = {name: float if are_numbers(values) else str for name, values in tried.items()}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="maximize" if sweep.modes[0] == "max" else "minimize")
        for trial in sorted(trials, key=lambda trial: trial.number):
            params = {name: kind(trial.params[name]) for name, kind in kinds.items()}
            study.add_trial(optuna.create_trial(params=params, distributions=scales, value=trial.values[0]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=SEED)
            shares = get_param_importances(study, evaluator=evaluator, params=list(names))
    finally:
        optuna.logging.set_verbosity(verbosity)
    return dict(Counter(shares).most_common())


def _distribution(values: Sequence[Any], log: bool) -> BaseDistribution:
    """A distribution that gives these values: the file's own bounds are in no table."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if not are_numbers(values):
        return CategoricalDistribution(sorted(set(map(str, values))))
    log = min(values) > 0 and (log or is_log(np.array(values, dtype=float)))
    return FloatDistribution(min(values), max(values), log=log)


LEAST_LINES = 3
MOST_AXES = 12
MOST_TICKS = 8
LONGEST = 18
# Where a line stands on an axis whose value its trial does not have.
ABSENT = -0.12
PARALLEL_SAYS = (
    "A line a finished trial; the better it is, the more its line stands out from the page, the best on top. A line "
    "at the foot of an axis is a trial that does not have that value."
)


@dataclass(frozen=True)
class Scale:
    """An axis: texts of its ticks by position, from 0 to 1, and the position of every trial, shape (n,).

    A trial without the value stands at ``ABSENT``.
    """

    name: str
    ticks: dict[float, str]
    at: Array


def parallel_coordinates(sweep: SweepRows, gallery: Gallery) -> Markup:
    """The picture; none if fewer than ``LEAST_LINES`` trials have a value, or nothing was searched."""
    trials = drawn(sweep)
    if len(trials) < LEAST_LINES or not sweep.params:
        return Markup()
    axes = scales(sweep, trials)
    left_out = len(sweep.params) - MOST_AXES
    says = PARALLEL_SAYS + (f" {left_out} further values are not shown." if left_out > 0 else "")
    figure, plotly = partial(parallel_figure, trials, axes), partial(_parallel_plotly, trials, axes)
    return gallery.picture(f"Parallel coordinates of {sweep.name}", says, figure, plotly, tips=sweep.tips)


def drawn(sweep: SweepRows) -> list[Trial]:
    """Finished trials with a value, the worst first, so that the best are drawn over them."""
    return [trial for trial in reversed(sweep.ranked) if sweep.metrics and trial.values[0] is not None]


def scales(sweep: SweepRows, trials: Sequence[Trial]) -> list[Scale]:
    """The axes: searched values, those that differ before those that do not, and last the metric."""
    searched = sweep.params[:MOST_AXES]
    axes = [_scale(name, [trial.params.get(name) for trial in trials], name in sweep.log) for name in searched]
    return [*axes, _scale(sweep.metrics[0], [trial.values[0] for trial in trials])]


@plain_text()
def parallel_figure(trials: Sequence[Trial], axes: Sequence[Scale]) -> Figure:
    """Draw the lines of some trials, in this order, over at least two axes."""
    figure = new_figure(max(9.0, 1.35 * len(axes)), 4.0)
    panel: Axes = figure.subplots()
    panel.set_xlim(-0.35, len(axes) - 0.55)
    panel.set_ylim(ABSENT - 0.06 if any((axis.at == ABSENT).any() for axis in axes) else -0.04, 1.05)
    panel.axis("off")
    for trial, line, colour in _lines(trials, axes):
        panel.plot(line, color=colour, linewidth=1.3, alpha=0.8, gid=f"{TRIAL}{trial.number}")
    for place, axis in enumerate(axes):
        panel.plot([place, place], [0, 1], color="black", linewidth=1, zorder=4)
        up = place % 2 and len(axes) > 5
        # Of a long path the end tells more.
        name = cut(axis.name[::-1], LONGEST + 6)[::-1]
        panel.annotate(name, (place, 1.0), (0, 20 if up else 8), textcoords="offset points", ha="center", fontsize=9)
        for at, text in axis.ticks.items():
            panel.plot([place - 0.03, place], [at, at], color="black", linewidth=1, zorder=4)
            style: dict[str, Any] = {"fontsize": 8, "va": "center", "ha": "right", "zorder": 5}
            box = {"facecolor": "white", "alpha": 0.75, "pad": 0.8, "linewidth": 0}
            panel.text(place - 0.05, at, text, bbox=box, **style)
        if (axis.at == ABSENT).any():
            panel.text(place, ABSENT - 0.05, "not set", ha="center", va="top", fontsize=8, color=GREY)
    return figure


def _scale(name: str, values: Sequence[Any], log: bool = False) -> Scale:
    known = [value for value in values if value is not None]
    if known and are_numbers(known):
        return _numeric(name, values, [float(value) for value in known], log)
    texts = sorted({short(value) for value in known})
    place = {text: (i + 0.5) / len(texts) for i, text in enumerate(texts)}
    # If no trial has a value, there is nothing to step over.
    step = max(1, -(-len(texts) // MOST_TICKS))
    shown = {place[text]: cut(text, LONGEST) for text in texts[::step]}
    return Scale(name, shown, np.array([ABSENT if value is None else place[short(value)] for value in values]))


def _numeric(name: str, values: Sequence[Any], known: list[float], log: bool) -> Scale:
    low, high = min(known), max(known)
    log = low > 0 and (log or is_log(np.array(known)))

    def place(value: float) -> float:
        if low == high:
            return 0.5
        if log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    wanted = np.geomspace(low, high, 5) if log else np.linspace(low, high, 5)
    if all(value.is_integer() for value in known) and high - low < MOST_TICKS:
        wanted = np.arange(low, high + 1)
    ticks = {place(float(value)): f"{value:.3g}" for value in wanted}
    return Scale(name, ticks, np.array([ABSENT if value is None else place(float(value)) for value in values]))


def _lines(trials: Sequence[Trial], axes: Sequence[Scale]) -> Iterator[tuple[Trial, Array, str]]:
    """Every trial with its positions on the axes and its colour, from pale to dark."""
    colours = map(to_hex, colormaps["viridis_r"](np.linspace(0.0, 1.0, len(trials))))
    return zip(trials, np.stack([axis.at for axis in axes], axis=1), colours, strict=True)


def _parallel_plotly(trials: Sequence[Trial], axes: Sequence[Scale]) -> list[Plotted]:
    x = list(range(len(axes)))
    data: list[dict[str, Any]] = []
    for trial, line, colour in _lines(trials, axes):
        style = {"mode": "lines+markers", "line": {"color": colour, "width": 1.5}, "marker": {"size": 4}}
        tip = {"text": plotly_text(trial.tip), "hovertemplate": "%{text}<extra></extra>"}
        data.append({"type": "scatter", "x": x, "y": np.round(line, 4).tolist(), **style, **tip})
    notes = [
        {"x": place, "y": at, "text": plotly_text(text), "xanchor": "right", "showarrow": False, "font": {"size": 10}}
        | {"bgcolor": "rgba(255, 255, 255, 0.75)", "borderpad": 1}
        for place, axis in enumerate(axes)
        for at, text in axis.ticks.items()
    ]
    names = {"tickvals": x, "ticktext": [plotly_text(axis.name) for axis in axes], "side": "top"}
    layout = {"xaxis": names | {"zeroline": False, "automargin": True}, "yaxis": {"visible": False}}
    return [(data, layout | {"showlegend": False, "annotations": notes, "hovermode": "closest"})]

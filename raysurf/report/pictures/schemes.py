"""The picture of prediction schemes: test error and NLL against the number of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raysurf.report.labels import labels_of
from raysurf.report.pictures.axes import (
    OKABE_ITO,
    Array,
    LineStyle,
    Plotted,
    is_wide,
    new_figure,
    plain_numbers,
    plain_text,
    plotly_axis,
    plotly_line,
    set_log,
    tidy,
    told_apart,
)
from raysurf.report.pictures.kind import Picture, PictureKind, Rows
from raysurf.report.pictures.lines import MAX_ANNOTATED
from raysurf.report.placement import MarginLabel, write_beside
from raysurf.report.runs import MeasuredRun, Wanted

TEXTS = {"error": "test error (fraction)", "nll": "test NLL (nats/sample)"}
LOG_FROM = 5.0
BAND_ALPHA = 0.18
MOST_DIGITS = 5


@dataclass(frozen=True)
class Steps:
    """One scheme's metrics, for the numbers of samples, shape (k,), ascending, that every replicate has.

    Test error is a fraction, test NLL in nats a sample; both have shape (replicates, k).
    """

    num_samples: Array
    values: dict[str, Array]


@dataclass(frozen=True)
class Schemes:
    """A configuration: one run or its replicates with other seeds, and by name the schemes that all of these have."""

    label: str
    num_runs: int
    steps: dict[str, Steps]


def read_schemes(rows: Rows, run_ids: Sequence[str], label: str) -> Schemes:
    """The schemes of some replicates, from rows of ``predictions`` of any runs, in any order.

    Where several weights of a run were measured in one scheme, those of its ensemble are meant, else the first
    that are not the last iterate.
    """
    runs = [_of_run([row for row in rows if row["run_id"] == run_id]) for run_id in run_ids]
    steps = {}
    for scheme in dict.fromkeys(name for by_scheme in runs for name in by_scheme):
        replicates = [by_scheme.get(scheme, {}) for by_scheme in runs]
        at = sorted(set.intersection(*(set(by_samples) for by_samples in replicates)))
        if at:
            values = np.array([[by_samples[num] for num in at] for by_samples in replicates], dtype=float)
            by_metric = dict(zip(TEXTS, np.moveaxis(values, -1, 0), strict=True))
            steps[scheme] = Steps(np.array(at, dtype=float), by_metric)
    return Schemes(label, len(run_ids), steps)


def _of_run(rows: Rows) -> dict[str, dict[int, tuple[float, float]]]:
    """Error and NLL on test, by scheme and number of samples."""
    test = [row for row in rows if row["split"] == "test"]
    ensembles = {row["weights"] for row in test if row["scheme"] == "ensemble"}
    steps: dict[str, dict[int, tuple[float, float]]] = {}
    for row in sorted(test, key=lambda row: (row["weights"] not in ensembles, row["weights"] == "last")):
        steps.setdefault(row["scheme"], {}).setdefault(row["num_samples"], (1.0 - row["accuracy"], row["nll"]))
    return steps


def _configurations(picture: Picture) -> list[Schemes]:
    """One a group of replicates."""
    groups: dict[str, list[MeasuredRun]] = {}
    for run in picture.runs:
        groups.setdefault(run.group or run.run_id, []).append(run)
    labels = labels_of([runs[0] for runs in groups.values()])
    return [
        read_schemes(picture.rows, [run.run_id for run in runs], labels[runs[0].run_id]) for runs in groups.values()
    ]


@dataclass(frozen=True)
class Look:
    """Style of a scheme, beside the colour of its configuration.

    A scheme without a marker does not depend on the number of samples and is a line across the panel; hollow markers
    are larger than filled ones, so that they show around them.
    """

    text: str
    line: LineStyle
    marker: str = ""
    is_filled: bool = False
    width: float = 1.4

    def style(self, colour: str) -> dict[str, Any]:
        """Keywords of matplotlib for its lines and its entry in the legend."""
        return {
            "color": colour,
            "linestyle": self.line,
            "linewidth": self.width,
            "marker": self.marker,
            "markersize": 4.5 if self.is_filled else 8.0,
            "markerfacecolor": colour if self.is_filled else "none",
        }


LOOKS = {
    "deterministic": Look("deterministic (mean weights)", "--"),
    "stochastic": Look("stochastic (one sample)", "none", "D"),
    "ensemble": Look("ensemble of K samples", "-", "o", is_filled=True, width=2.2),
    "zero_mean": Look("control: means set to zero", "-.", "s"),
    "permuted": Look("control: permuted", ":", "x"),
}


@plain_text()
def scheme_figure(picture: Picture) -> Figure:
    """Draw test error and NLL against the number of samples, a colour a configuration and a line style a scheme.

    Lines are means over replicates, bands reach from the lowest to the highest of them. An axis whose values differ
    by more than LOG_FROM is logarithmic, so that an ensemble near zero and mean weights at chance are both readable.

    Source:
        The schemes are those of Neklyudov et al. 2018 (arXiv:1803.03764); colours of Okabe & Ito 2008.
    """
    configurations = _configurations(picture)
    coloured = list(zip(configurations, colours(len(configurations)), strict=True))
    figure = new_figure(10.5, 4.2, picture.title)
    panels = dict(zip(TEXTS, figure.subplots(1, 2), strict=True))
    every = [steps for configuration in configurations for steps in configuration.steps.values()]
    counts = np.unique(np.concatenate([[1.0, 2.0], *(steps.num_samples for steps in every)]))
    for name, panel in panels.items():
        panel.set(xlabel="number of samples K", ylabel=f"{picture.data} {TEXTS[name]}".strip())
        tidy(panel)
        _scale(panel, counts, np.concatenate([np.empty(0), *(steps.values[name].ravel() for steps in every)]))
    for configuration, colour in coloured:
        for scheme, look in LOOKS.items():
            if scheme in configuration.steps:
                for name, panel in panels.items():
                    _draw(panel, configuration.steps[scheme], name, look, colour, counts)
    _legend(figure, coloured)
    if len(configurations) <= MAX_ANNOTATED:
        figure.draw_without_rendering()
        for name, panel in panels.items():
            # The values of each configuration's largest ensemble, bold, and of its mean weights.
            labels = [
                (float(configuration.steps[scheme].values[name].mean(axis=0)[-1]), colour, LOOKS[scheme].is_filled)
                for configuration, colour in coloured
                for scheme in ("ensemble", "deterministic")
                if scheme in configuration.steps
            ]
            texts = told_apart([value for value, *_ in labels], most=MOST_DIGITS)
            labelled = [MarginLabel(text, *label) for text, label in zip(texts, labels, strict=True)]
            write_beside(panel, labelled, counts[-1])
    return figure


def colours(num: int) -> list[str]:
    """Colours of configurations; a row of shades where they are more than colours that all can tell apart."""
    if num <= len(OKABE_ITO):
        return list(OKABE_ITO[:num])
    return [to_hex(colour) for colour in matplotlib.colormaps["viridis"](np.linspace(0.0, 0.95, num))]


def _draw(panel: Axes, steps: Steps, name: str, look: Look, colour: str, counts: Array) -> None:
    at, values = steps.num_samples, steps.values[name]
    if not look.marker:
        at, values = counts[[0, -1]], np.repeat(values[:, -1:], 2, axis=1)
    panel.plot(at, values.mean(axis=0), **look.style(colour), zorder=3 + look.is_filled)
    if len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        panel.fill_between(at, low, high, color=colour, alpha=BAND_ALPHA, linewidth=0)
        if len(at) == 1:
            panel.vlines(at, low, high, color=colour, linewidth=look.width)


def _scale(panel: Axes, counts: Array, values: Array) -> None:
    """The axes: samples on a log axis at round numbers; metrics on one where they are far apart."""
    panel.set_xscale("log")
    ticks = [n * 10.0**power for power in range(8) for n in (1, 2, 5) if counts[0] <= n * 10.0**power <= counts[-1]]
    plain_numbers(panel.xaxis, ticks)
    decades = float(np.log10(counts[-1] / counts[0]))
    panel.set_xlim(counts[0] / 10 ** (0.05 * decades), counts[0] * 10 ** (1.25 * decades))
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    if is_wide(values, LOG_FROM):
        set_log(panel, values)
    elif 0 < len(positive) < len(values):
        panel.set_yscale("symlog", linthresh=float(positive.min()), subs=(2, 5))
        plain_numbers(panel.yaxis)
    else:
        panel.margins(y=0.12)


def _legend(figure: Figure, coloured: Sequence[tuple[Schemes, str]]) -> None:
    """To the right of the panels: what the colours are, and what the lines; the figure is as high as that takes."""
    named = []
    for configuration, colour in coloured:
        seeds = f"\n(mean and range of {configuration.num_runs} seeds)" if configuration.num_runs > 1 else ""
        named.append(Line2D([], [], color=colour, linewidth=5, label=configuration.label + seeds))
    lines = [
        Line2D([], [], **look.style("black"), label=look.text)
        for scheme, look in LOOKS.items()
        if any(scheme in configuration.steps for configuration, _ in coloured)
    ]
    gap = Line2D([], [], linestyle="none", label=" ")
    handles = [*named, gap, *lines]
    figure.set_figheight(max(4.2, 0.4 + 0.19 * sum(1 + str(handle.get_label()).count("\n") for handle in handles)))
    figure.legend(handles=handles, loc="outside right center", handlelength=3.2, fontsize=9, frameon=False)


def _plotly(picture: Picture) -> Iterator[Plotted]:
    """Error and NLL against the number of samples, a figure each; means over seeds."""
    configurations = _configurations(picture)
    every = [steps.num_samples for configuration in configurations for steps in configuration.steps.values()]
    counts = np.concatenate([np.ones(1), *every])
    for name, text in TEXTS.items():
        data = []
        for number, configuration in enumerate(configurations):
            for scheme, steps in configuration.steps.items():
                dash = {"ensemble": "solid", "deterministic": "dash"}.get(scheme, "dot")
                style = {"color": OKABE_ITO[number % len(OKABE_ITO)], "dash": dash}
                at, mean = steps.num_samples, steps.values[name].mean(axis=0)
                if scheme == "deterministic":
                    at, mean = np.array([1.0, counts.max()]), np.repeat(mean[-1], 2)
                data.append(plotly_line(at, mean, f"{configuration.label}, {scheme}", style))
        axes = {"xaxis": plotly_axis("number of samples K", counts), "yaxis": plotly_axis(text)}
        yield data, axes | {"hovermode": "closest"}


LEAST_COUNTS = 3
OF_ENSEMBLES = "scheme = 'ensemble' and split = 'test'"
SCHEMES = PictureKind(
    title="Prediction schemes",
    says="Test error (left) and test NLL (right) against the number of samples K that are averaged; the dashed line "
    "across is the network with its mean weights, the diamond one sample of its weights. Lines of several seeds are "
    "their mean, bands their range.",
    wanted=Wanted("predictions", OF_ENSEMBLES, rows="predictions of an ensemble", jobs="variational, fge or predict"),
    figure=scheme_figure,
    where="split = 'test'",
    order=("weights", "scheme", "num_samples"),
    in_sweep=f"""run_id in (select run_id from predictions where {OF_ENSEMBLES}
        group by run_id having count(distinct num_samples) >= {LEAST_COUNTS})""",
    plotly=_plotly,
    plotly_says="Test error and test NLL against the number of samples K that are averaged; means over seeds.",
)

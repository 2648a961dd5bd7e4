"""Accuracy, NLL, Brier score and calibration error on test, by setting, weights and prediction scheme."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from raysurf.report.gallery import Gallery, plain_text
from raysurf.report.page_html import table
from raysurf.report.pictures.trace import OKABE_ITO
from raysurf.report.sweep_rows import SweepRows
from raysurf.results.reader import Reader

FIGURES = ("accuracy", "nll", "brier", "ece")
MOST_TRIALS = 6
MOST_LINES = 40
SAYS = (
    "Expected calibration error (15 bins) against NLL, both on test: the further down and left, the better. A dot is "
    "one line of the table."
)


@dataclass
class Predictor:
    """One way of answering: some weights of a setting under a scheme, with the most samples that were taken.

    Args:
        label: The setting.
        weights: Whose predictions.
        scheme: Such as ensemble.
        num_samples: How many it took.
        figures: Its ``FIGURES``, one a replicate.
    """

    label: str
    weights: str
    scheme: str
    num_samples: int
    figures: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in FIGURES})


def predictors(results: Reader, sweep: SweepRows) -> list[Predictor]:
    """What the best trials, all settings of a sweep that does not search, baselines and inputs answer with."""
    trials = sweep.ranked[:MOST_TRIALS] if sweep.metrics else sweep.ranked
    label = {run_id: sweep.runs[run_id]["kind"] for run_id in _from(sweep, [i for t in trials for i in t.run_ids])}
    label |= {run_id: f"{sweep.runs[run_id]['kind']} (baseline)" for run_id in sweep.baselines()}
    used = Counter(run_id for trial in trials for run_id in _from(sweep, trial.run_ids))
    for trial in trials:
        named = f"trial {trial.number}" if sweep.metrics else trial.arm
        own = [run_id for run_id in _from(sweep, trial.run_ids) if used[run_id] == 1 and len(trials) > 1]
        label |= {run_id: f"{label[run_id]} of {named}" for run_id in own if run_id not in sweep.baselines()}
        label |= {run_id: named for run_id in trial.run_ids}
    query = """select run_id, weights, scheme, num_samples, accuracy, nll, brier, ece from predictions
        where split = 'test' qualify num_samples = max(num_samples) over (partition by run_id, weights, scheme)"""
    found: dict[tuple[str, str, str, str], Predictor] = {}
    order = {run_id: place for place, run_id in enumerate(label)}
    rows = [row for row in results.sql(query).to_pylist() if row["run_id"] in label and row["run_id"] in sweep.runs]
    for row in sorted(rows, key=lambda row: (order[row["run_id"]], row["weights"], row["scheme"])):
        group = sweep.runs[row["run_id"]]["group"]
        key = (label[row["run_id"]], group, row["weights"], row["scheme"])
        new = Predictor(label[row["run_id"]], row["weights"], row["scheme"], row["num_samples"])
        for name in FIGURES:
            found.setdefault(key, new).figures[name].append(row[name])
    return list(found.values())


def calibration(results: Reader, sweep: SweepRows, gallery: Gallery) -> str:
    """The table, and a picture where it has several lines; none if nothing was predicted."""
    found = predictors(results, sweep)
    if not found:
        return ""
    names = ("weights of", "which", "scheme", "samples", "seeds", "accuracy", "NLL", "Brier", "ECE")
    lines: list[list[Any]] = [
        [each.label, each.weights, each.scheme, each.num_samples, len(each.figures["nll"])]
        + [_spread(each.figures[name]) for name in FIGURES]
        for each in found[:MOST_LINES]
    ]
    picture = ""
    if len(found) > 2:
        with plain_text():
            figure = calibration_figure(found)
        picture = gallery.picture(figure, f"Calibration of {sweep.name}", SAYS)
    left = f"<p><small>{len(found) - MOST_LINES} further lines are left out.</small></p>"
    return f'{picture}<div class="rows">{table(names, lines)}</div>{left if len(found) > MOST_LINES else ""}'


def calibration_figure(found: Sequence[Predictor]) -> Figure:
    """Calibration error against NLL, a colour a scheme, or whose weights are asked, or both, whichever differ.

    Args:
        found: What is drawn.
    """
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    kinds = [(each.weights, each.scheme) for each in found]
    differ = [len({kind[i] for kind in kinds}) > 1 for i in (0, 1)]
    names = [", ".join(part for part, shown in zip(kind, differ, strict=True) if shown) for kind in kinds]
    schemes = list(dict.fromkeys(names))
    for number, scheme in enumerate(schemes):
        mine = [each for each, name in zip(found, names, strict=True) if name == scheme]
        x, y = (np.array([fmean(each.figures[name]) for each in mine]) for name in ("nll", "ece"))
        colour = OKABE_ITO[number % len(OKABE_ITO)]
        panel.plot(x, y, "o", color=colour, markersize=6, alpha=0.8, label=scheme)
    panel.set_xlabel("test NLL (nats/sample)")
    panel.set_ylabel("test ECE (fraction)")
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_ylim(0, 1.08 * max(1e-6, *(fmean(each.figures["ece"]) for each in found)))
    if len(schemes) > 1:
        figure.legend(loc="outside right center", frameon=False)
    return figure


def _from(sweep: SweepRows, run_ids: Sequence[str]) -> list[str]:
    """Runs that others came from, by way of their inputs, the first ones first."""
    found: dict[str, None] = {}
    left = [needed for run_id in run_ids if run_id in sweep.runs for needed in sweep.runs[run_id]["inputs"]]
    while left:
        run_id = left.pop()
        if run_id in sweep.runs and run_id not in found:
            found[run_id] = None
            left += sweep.runs[run_id]["inputs"]
    return list(found)[::-1]


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.4f}" + (f" ± {stdev(values):.2g}" if len(values) > 1 else "")

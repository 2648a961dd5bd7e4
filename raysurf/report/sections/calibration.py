"""Accuracy, NLL, Brier score and calibration error on test, by configuration, weights and prediction scheme."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from statistics import fmean, stdev

from markupsafe import Markup
from matplotlib.figure import Figure

from raysurf.report.gallery import Gallery
from raysurf.report.html import part, table
from raysurf.report.pictures.axes import OKABE_ITO, new_figure, plain_text, tidy
from raysurf.report.sweep_rows import SweepRows
from raysurf.results.reader import Reader

METRICS = ("accuracy", "nll", "brier", "ece")
MOST_TRIALS = 6
MOST_LINES = 40
SAYS = (
    "Expected calibration error (15 bins) against NLL, both on test: the further down and left, the better. A dot is "
    "one line of the table."
)
NAMES = ("weights of", "which", "scheme", "samples", "seeds", "accuracy", "NLL", "Brier", "ECE")
QUERY = """select run_id, weights, scheme, num_samples, accuracy, nll, brier, ece from predictions
    where split = 'test' qualify num_samples = max(num_samples) over (partition by run_id, weights, scheme)"""


@dataclass
class Predictor:
    """Predictions of some weights of a configuration under a scheme, with the most samples that were taken.

    ``metrics`` are ``METRICS``, one value a replicate.
    """

    label: str
    weights: str
    scheme: str
    num_samples: int
    metrics: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})

    def mean(self, name: str) -> float:
        """The mean of a metric over replicates."""
        return fmean(self.metrics[name])


def predictors(results: Reader, sweep: SweepRows) -> list[Predictor]:
    """Predictors of the best trials, all configurations of a sweep that does not search, baselines and inputs."""
    trials = sweep.ranked[:MOST_TRIALS] if sweep.metrics else sweep.ranked
    baselines = sweep.baselines()
    inputs = sweep.came_from([run_id for trial in trials for run_id in trial.run_ids])
    label = {run_id: sweep.runs[run_id]["kind"] for run_id in inputs}
    label |= {run_id: f"{sweep.runs[run_id]['kind']} (baseline)" for run_id in baselines}
    used = Counter(run_id for trial in trials for run_id in sweep.came_from(trial.run_ids))
    for trial in trials:
        named = f"trial {trial.number}" if sweep.metrics else trial.arm
        own = [run_id for run_id in sweep.came_from(trial.run_ids) if used[run_id] == 1 and len(trials) > 1]
        label |= {run_id: f"{label[run_id]} of {named}" for run_id in own if run_id not in baselines}
        label |= dict.fromkeys(trial.run_ids, named)
    order = {run_id: place for place, run_id in enumerate(label)}
    rows = [row for row in results.sql(QUERY).to_pylist() if row["run_id"] in label and row["run_id"] in sweep.runs]
    groups: dict[tuple[str, ...], Predictor] = {}
    for row in sorted(rows, key=lambda row: (order[row["run_id"]], row["weights"], row["scheme"])):
        name, group = label[row["run_id"]], sweep.runs[row["run_id"]]["group"]
        new = Predictor(name, row["weights"], row["scheme"], row["num_samples"])
        predictor = groups.setdefault((name, group, row["weights"], row["scheme"]), new)
        for metric in METRICS:
            predictor.metrics[metric].append(row[metric])
    return list(groups.values())


def calibration(results: Reader, sweep: SweepRows, gallery: Gallery) -> Markup:
    """The table, and a picture where it has several lines; none if nothing was predicted."""
    shown = predictors(results, sweep)
    if not shown:
        return Markup()
    lines = [
        [line.label, line.weights, line.scheme, line.num_samples, len(line.metrics["nll"])]
        + [_spread(line.metrics[name]) for name in METRICS]
        for line in shown[:MOST_LINES]
    ]
    picture = Markup()
    if len(shown) > 2:
        picture = gallery.picture(f"Calibration of {sweep.name}", SAYS, lambda: calibration_figure(shown))
    more = f"{len(shown) - MOST_LINES} further lines are left out." if len(shown) > MOST_LINES else ""
    return picture + part("rows", table(NAMES, lines), after=more)


@plain_text()
def calibration_figure(predictors: Sequence[Predictor]) -> Figure:
    """Calibration error against NLL, a colour a scheme, or whose weights are asked, or both, whichever differ."""
    figure = new_figure(9.0, 3.4)
    panel = figure.subplots()
    kinds = [(line.weights, line.scheme) for line in predictors]
    differ = [len({kind[i] for kind in kinds}) > 1 for i in (0, 1)]
    groups = defaultdict(list)
    for line, kind in zip(predictors, kinds, strict=True):
        groups[", ".join(part for part, shown in zip(kind, differ, strict=True) if shown)].append(line)
    for (scheme, lines), colour in zip(groups.items(), cycle(OKABE_ITO), strict=False):
        x, y = ([line.mean(name) for line in lines] for name in ("nll", "ece"))
        panel.plot(x, y, "o", color=colour, markersize=6, alpha=0.8, label=scheme)
    panel.set(xlabel="test NLL (nats/sample)", ylabel="test ECE (fraction)")
    tidy(panel)
    panel.set_ylim(0, 1.08 * max(1e-6, *(line.mean("ece") for line in predictors)))
    if len(groups) > 1:
        figure.legend(loc="outside right center", frameon=False)
    return figure


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.4f}" + (f" ± {stdev(values):.2g}" if len(values) > 1 else "")

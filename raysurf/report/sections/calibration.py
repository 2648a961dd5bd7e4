"""Accuracy, NLL, Brier score and calibration error on test, by setting, weights and prediction scheme."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    """Predictions of some weights of a setting under a scheme, with the most samples that were taken.

    Args:
        label: The setting.
        weights: Whose predictions.
        scheme: Such as ensemble.
        num_samples: How many it took.
        metrics: ``METRICS``, one value a replicate.
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
    """Predictors of the best trials, all settings of a sweep that does not search, baselines and inputs."""
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
        [each.label, each.weights, each.scheme, each.num_samples, len(each.metrics["nll"])]
        + [_spread(each.metrics[name]) for name in METRICS]
        for each in shown[:MOST_LINES]
    ]
    picture = Markup()
    if len(shown) > 2:
        picture = gallery.picture(calibration_figure(shown), f"Calibration of {sweep.name}", SAYS)
    more = f"{len(shown) - MOST_LINES} further lines are left out." if len(shown) > MOST_LINES else ""
    return picture + part("rows", table(NAMES, lines), after=more)


@plain_text()
def calibration_figure(predictors: Sequence[Predictor]) -> Figure:
    """Calibration error against NLL, a colour a scheme, or whose weights are asked, or both, whichever differ."""
    figure = new_figure(9.0, 3.4)
    panel = figure.subplots()
    kinds = [(each.weights, each.scheme) for each in predictors]
    differ = [len({kind[i] for kind in kinds}) > 1 for i in (0, 1)]
    names = [", ".join(part for part, shown in zip(kind, differ, strict=True) if shown) for kind in kinds]
    schemes = list(dict.fromkeys(names))
    for number, scheme in enumerate(schemes):
        mine = [each for each, name in zip(predictors, names, strict=True) if name == scheme]
        x, y = ([each.mean(name) for each in mine] for name in ("nll", "ece"))
        colour = OKABE_ITO[number % len(OKABE_ITO)]
        panel.plot(x, y, "o", color=colour, markersize=6, alpha=0.8, label=scheme)
    panel.set(xlabel="test NLL (nats/sample)", ylabel="test ECE (fraction)")
    tidy(panel)
    panel.set_ylim(0, 1.08 * max(1e-6, *(each.mean("ece") for each in predictors)))
    if len(schemes) > 1:
        figure.legend(loc="outside right center", frameon=False)
    return figure


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.4f}" + (f" ± {stdev(values):.2g}" if len(values) > 1 else "")

"""How much each searched value decides the figure that is searched, by Optuna, from the rows of the trials."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from raysurf.report.gallery import Gallery, plain_text
from raysurf.report.log_scale import is_log
from raysurf.report.sweep_rows import SweepRows, Trial
from raysurf.report.two_panels import BLUE

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LEAST = 8
SEED = 0
# A quarter of Optuna's default: what it would add is seconds, and a hundredth of a share.
TREES = 16


def importances(sweep: SweepRows) -> tuple[dict[str, float], int, list[str]]:
    """The importance of the searched values that all trials have, for the first metric.

    Args:
        sweep: One that searches.

    Returns:
        Shares by name, the largest first, which sum to 1; the number of trials that they come from; and the names of
        values that are left out: they do not differ, or depend on a choice that some trials made otherwise.

    Source:
        Functional ANOVA over a random forest, Hutter et al. 2014, as Optuna has it. Bounds are those of the values
        that were tried.
    """
    trials = [trial for trial in sweep.ranked if sweep.metrics and trial.values[0] is not None]
    names = [name for name in sweep.params if all(name in trial.params for trial in trials)]
    names = [name for name in names if len({repr(trial.params[name]) for trial in trials}) > 1]
    left_out = [name for name in sweep.params if name not in names]
    if len(trials) < LEAST or len(names) < 2 or len({trial.values[0] for trial in trials}) < 2:
        return {}, len(trials), left_out
    return _fanova(sweep, trials, names), len(trials), left_out


def importance(sweep: SweepRows, gallery: Gallery) -> str:
    """The picture; none if there are too few trials or values to tell."""
    shares, number, left_out = importances(sweep)
    if not shares:
        return ""
    says = f"Share of the variance of {sweep.metrics[0]} that each value explains (fANOVA over {number} trials)."
    if left_out:
        says += f" Left out, since they do not differ or only some trials have them: {', '.join(left_out)}."
    with plain_text():
        figure = importance_figure(shares)
    return gallery.picture(figure, f"Importance of the searched values of {sweep.name}", says)


def importance_figure(shares: dict[str, float]) -> Figure:
    """A bar a value.

    Args:
        shares: By name, the largest first.
    """
    figure = Figure(figsize=(9.0, 0.9 + 0.32 * len(shares)), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    places = range(len(shares))[::-1]
    panel.barh(places, list(shares.values()), color=BLUE, height=0.6)
    panel.set_yticks(places, list(shares))
    for place, share in zip(places, shares.values(), strict=True):
        panel.annotate(f"{share:.2f}", (share, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    panel.set_xlim(0, max(1e-9, *shares.values()) * 1.1)
    panel.set_xlabel("importance (share of variance)")
    panel.spines[["top", "right"]].set_visible(False)
    return figure


def _fanova(sweep: SweepRows, trials: Sequence[Trial], names: Sequence[str]) -> dict[str, float]:
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    scales = {name: _distribution([trial.params[name] for trial in trials], name in sweep.log) for name in names}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="maximize" if sweep.modes[0] == "max" else "minimize")
        for trial in sorted(trials, key=lambda trial: trial.number):
            params = {name: _in(scales[name], trial.params[name]) for name in names}
            study.add_trial(optuna.create_trial(params=params, distributions=scales, value=trial.values[0]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = get_param_importances(
                study, evaluator=FanovaImportanceEvaluator(n_trees=TREES, seed=SEED), params=list(names)
            )
    finally:
        optuna.logging.set_verbosity(verbosity)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _distribution(values: Sequence[Any], log: bool) -> BaseDistribution:
    """A distribution that gives these values: the file's own bounds are in no table."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        log = min(values) > 0 and (log or is_log(np.array(values, dtype=float)))
        return FloatDistribution(min(values), max(values), log=log)
    return CategoricalDistribution(sorted({str(value) for value in values}))


def _in(scale: BaseDistribution, value: Any) -> Any:
    from optuna.distributions import CategoricalDistribution

    return str(value) if isinstance(scale, CategoricalDistribution) else float(value)

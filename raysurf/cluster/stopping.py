"""Early stopping: which trials do so much worse than others at the same epoch that they end there.

Optuna's pruners of these names decide otherwise: its median goes by finished trials alone, and by their figure at one
epoch; its successive halving has whole reductions, and lets the first trials of a rung go on only if they are its best;
its hyperband draws a trial's bracket from a hash. What is stored would then stop other trials than it did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, median
from typing import Any, Protocol

import numpy as np

from raysurf.cluster.trial_table import TrialTable
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from raysurf.sweep.search import Search, Stopping


class Rule(Protocol):
    """Decides from the figures of all trials so far; greater figures are better."""

    def stops(self, trial: int, epoch: int, figure: float) -> bool:
        """Take a trial's figure at an epoch, and decide whether the trial ends there."""
        ...


class SuccessiveHalving:
    """ASHA: at each rung, of the trials that have come to it only the best one in ``reduction`` go on.

    Rung k is at epoch grace_epochs * reduction^k. A trial that comes to a rung is compared at once with those that
    have been there, itself left out: it ends if it is below their (1 - 1 / reduction) quantile.

    Args:
        grace_epochs: Epochs that every trial gets.
        reduction: eta.
        longest: Epochs of the longest trial; none is stopped at its end.

    Source:
        Li et al. 2018 (arXiv:1810.05934), algorithm 2; that trials end, and are not paused until they are promoted,
        and that the quantile is interpolated, is as in Ray Tune's ``AsyncHyperBandScheduler``.
    """

    def __init__(self, grace_epochs: int, reduction: float, longest: int) -> None:
        self.reduction = reduction
        self.rungs: dict[int, dict[int, float]] = {}
        epoch = float(grace_epochs)
        while epoch < longest:
            self.rungs[math.ceil(epoch)] = {}
            epoch *= reduction

    def stops(self, trial: int, epoch: int, figure: float) -> bool:
        """See ``Rule``; the highest rung that the trial has come to counts, and each once."""
        for rung, figures in reversed(self.rungs.items()):
            if trial in figures:
                return False
            if epoch >= rung:
                is_bad = bool(figures) and figure < np.quantile([*figures.values()], 1 - 1 / self.reduction)
                figures[trial] = figure
                return bool(is_bad)
        return False


class Hyperband:
    """Brackets of successive halving that begin to stop at different epochs: trial n is in bracket n mod ``brackets``.

    Args:
        grace_epochs: Epochs that every trial of the first bracket gets; each further bracket gives ``reduction``
            times as many.
        reduction: eta.
        brackets: How many there are.
        longest: Epochs of the longest trial.

    Source:
        Li et al. 2016 (arXiv:1603.06560), and 2018 (arXiv:1810.05934), section 3.2: brackets in turn.
    """

    def __init__(self, grace_epochs: int, reduction: float, brackets: int, longest: int) -> None:
        begins = [math.ceil(grace_epochs * reduction**s) for s in range(brackets)]
        self.brackets = [SuccessiveHalving(begin, reduction, longest) for begin in begins]

    def stops(self, trial: int, epoch: int, figure: float) -> bool:
        """See ``Rule``."""
        return self.brackets[trial % len(self.brackets)].stops(trial, epoch, figure)


class MedianRule:
    """Stop a trial whose best figure is below the median of the other trials' running means up to the same epoch.

    Args:
        grace_epochs: Epochs that every trial gets.
        min_trials: Others that must have come as far.
        longest: Epochs of the longest trial; none is stopped at its end.

    Source:
        Golovin et al. 2017 (Vizier, doi:10.1145/3097983.3098043), section 3.2.2; trials that still run count too, as
        in Ray Tune's ``MedianStoppingRule``.
    """

    def __init__(self, grace_epochs: int, min_trials: int, longest: int) -> None:
        self.grace_epochs, self.min_trials, self.longest = grace_epochs, min_trials, longest
        self.figures: dict[int, dict[int, float]] = {}

    def stops(self, trial: int, epoch: int, figure: float) -> bool:
        """See ``Rule``."""
        own = self.figures.setdefault(trial, {})
        own[epoch] = figure
        others = [figures for number, figures in self.figures.items() if number != trial and max(figures) >= epoch]
        means = [
            mean(value for at, value in figures.items() if at <= epoch) for figures in others if min(figures) <= epoch
        ]
        if not self.grace_epochs <= epoch < self.longest or len(means) < self.min_trials:
            return False
        return max(own.values()) < median(means)


def rule_of(stopping: Stopping, longest: int) -> Rule:
    """The rule that a search asks for."""
    if stopping.kind == "median":
        return MedianRule(stopping.grace_epochs, stopping.min_trials, longest)
    if stopping.kind == "hyperband":
        return Hyperband(stopping.grace_epochs, stopping.reduction, stopping.brackets, longest)
    return SuccessiveHalving(stopping.grace_epochs, stopping.reduction, longest)


class EarlyStopping:
    """The early stopping of one sweep: what earlier runs of it have stored counts as if it were reported now.

    Args:
        search: Metric, direction and rule.
        longest: Epochs of the longest trial.
        table: The trials that have begun.
    """

    def __init__(self, search: Search, longest: int, table: TrialTable) -> None:
        assert search.stopping is not None
        self.search, self.rule, self.store = search, rule_of(search.stopping, longest), table.store
        self._due: dict[int, int] = {}
        for number, row in sorted(table.rows.items()):
            last = self.take(number, row["run_ids"])
            if last is not None and row["state"] == "running":
                # Its driver may have been killed before it could stop it.
                self._due[number] = last

    def take(self, trial: int, run_ids: Sequence[str]) -> int | None:
        """Let what is stored of a trial count, whoever has trained it; gives the epoch, if it should end there."""
        due = None
        for run_id in run_ids:
            for epoch, figure in stored_figures(self.store, run_id, self.search.metrics[0]):
                due = epoch if self.stops(trial, epoch, figure) else None
        return due

    def stops(self, trial: int, epoch: int, figure: float) -> bool:
        """Whether a trial ends with this figure of the metric; one that is not finite is left to the trial itself."""
        if not math.isfinite(figure):
            return False
        is_due = epoch >= self._due.get(trial, epoch + 1)
        return self.rule.stops(trial, epoch, figure if self.search.directions[0] == "max" else -figure) or is_due


def stored_figures(store: Store, run_id: str, metric: str) -> Iterator[tuple[int, float]]:
    """A run's figure after each epoch, as it was told when it trained: of several weights the last ones'."""
    by_epoch: dict[int, float] = {}
    for row in read_rows(store, "epochs", run_id):
        if (figure := _figure(row, metric)) is not None:
            by_epoch[row["epoch"]] = figure
    yield from sorted(by_epoch.items())


def _figure(row: Mapping[str, Any], metric: str) -> float | None:
    split, _, name = metric.partition("/")
    figure: float | None = row.get(f"{split}_{'error' if name == 'accuracy' else name}")
    return 1.0 - figure if name == "accuracy" and figure is not None else figure

"""Early stopping: which trials do so much worse than others at the same epoch that they end there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import mean, median
from typing import Any, Protocol

from raysurf.cluster.trial_table import Ledger
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from raysurf.sweep.search import Search


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
            if epoch >= rung and trial not in figures:
                bad = bool(figures) and figure < quantile(list(figures.values()), 1 - 1 / self.reduction)
                figures[trial] = figure
                return bad
            if trial in figures:
                return False
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
        others = [found for number, found in self.figures.items() if number != trial and max(found) >= epoch]
        means = [mean(each for at, each in found.items() if at <= epoch) for found in others if min(found) <= epoch]
        if not self.grace_epochs <= epoch < self.longest or len(means) < self.min_trials:
            return False
        return max(own.values()) < median(means)


def quantile(figures: Sequence[float], share: float) -> float:
    """A quantile of some figures, interpolated between neighbours."""
    ordered = sorted(figures)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def rule_of(search: Search, longest: int) -> Rule | None:
    """The rule that a search asks for, if any."""
    asked = search.stopping
    if asked is None:
        return None
    if asked.kind == "median":
        return MedianRule(asked.grace_epochs, asked.min_trials, longest)
    if asked.kind == "hyperband":
        return Hyperband(asked.grace_epochs, asked.reduction, asked.brackets, longest)
    return SuccessiveHalving(asked.grace_epochs, asked.reduction, longest)


class EarlyStopping:
    """The early stopping of one sweep: what earlier runs of it have stored counts as if it were reported now.

    Args:
        search: Metric, direction and rule.
        longest: Epochs of the longest trial.
        ledger: The trials that have begun.
    """

    def __init__(self, search: Search, longest: int, ledger: Ledger) -> None:
        self.search, self.rule, self.store = search, rule_of(search, longest), ledger.store
        self._due: dict[int, int] = {}
        for number, row in sorted(ledger.rows.items()):
            last = self.take(number, row["run_ids"])
            if last is not None and row["state"] == "running":
                # Its driver may have been killed before it could stop it.
                self._due[number] = last

    def take(self, trial: int, run_ids: Sequence[str]) -> int | None:
        """Let what is stored of a trial count, whoever has trained it; gives the epoch, if it should end there."""
        due = None
        if self.rule is not None:
            for run_id in run_ids:
                for epoch, figure in stored_figures(self.store, run_id, self.search.metrics[0]):
                    due = epoch if self.stops(trial, epoch, figure) else None
        return due

    def stops(self, trial: int, epoch: int, figure: float) -> bool:
        """Whether a trial ends with this figure of the metric; one that is not finite is left to the trial itself."""
        if self.rule is None or not math.isfinite(figure):
            return False
        is_due = epoch >= self._due.get(trial, epoch + 1)
        return self.rule.stops(trial, epoch, figure if self.search.directions[0] == "max" else -figure) or is_due


def stored_figures(store: Store, run_id: str, metric: str) -> Iterator[tuple[int, float]]:
    """A run's figure after each epoch, as it was told when it trained: of several weights the last ones'."""
    split, _, name = metric.partition("/")
    found: dict[int, float] = {}
    for row in read_rows(store, "epochs", run_id):
        if (figure := _figure(row, split, name)) is not None:
            found[row["epoch"]] = figure
    yield from sorted(found.items())


def _figure(row: Mapping[str, Any], split: str, name: str) -> float | None:
    if name == "accuracy":
        error = row.get(f"{split}_error")
        return None if error is None else 1.0 - error
    figure: float | None = row.get(f"{split}_{name}")
    return figure

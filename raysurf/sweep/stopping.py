"""Early stopping: rules that end trials that do much worse than others at the same epoch.

Optuna's pruners of these names decide otherwise: its median goes by finished trials alone, and by their value at one
epoch; its successive halving has whole reductions, and lets the first trials of a rung go on only if they are its best;
its hyperband draws a trial's bracket from a hash. What is stored would then stop other trials than it did.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import mean, median
from typing import Literal, Protocol

from pydantic import Field, model_validator

from raysurf.values import Value


class Rule(Protocol):
    """Decides from the values of all trials so far; greater values are better."""

    def stops(self, trial: int, epoch: int, value: float) -> bool:
        """Take a trial's value at an epoch, and decide whether the trial ends there."""
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

    def stops(self, trial: int, epoch: int, value: float) -> bool:
        """See ``Rule``; the highest rung that the trial has come to counts, and only once."""
        import numpy as np

        for rung, values in reversed(self.rungs.items()):
            if trial in values:
                return False
            if epoch >= rung:
                is_bad = bool(values) and value < np.quantile([*values.values()], 1 - 1 / self.reduction)
                values[trial] = value
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

    def stops(self, trial: int, epoch: int, value: float) -> bool:
        """See ``Rule``."""
        return self.brackets[trial % len(self.brackets)].stops(trial, epoch, value)


class MedianRule:
    """Stop a trial whose best value is below the median of the other trials' running means up to the same epoch.

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
        self.values: dict[int, dict[int, float]] = {}

    def stops(self, trial: int, epoch: int, value: float) -> bool:
        """See ``Rule``."""
        own = self.values.setdefault(trial, {})
        own[epoch] = value
        others = [values for number, values in self.values.items() if number != trial and max(values) >= epoch]
        means = [
            mean(value for at, value in values.items() if at <= epoch) for values in others if min(values) <= epoch
        ]
        if not self.grace_epochs <= epoch < self.longest or len(means) < self.min_trials:
            return False
        return max(own.values()) < median(means)


# Each rule with the settings that it has besides grace_epochs.
RULES: dict[str, tuple[Callable[..., Rule], tuple[str, ...]]] = {
    "asha": (SuccessiveHalving, ("reduction",)),
    "hyperband": (Hyperband, ("reduction", "brackets")),
    "median": (MedianRule, ("min_trials",)),
}


class Stopping(Value):
    """Stop trials early that do worse than others at the same epoch.

    Source:
        asha: Li et al. 2018 (arXiv:1810.05934); hyperband: Li et al. 2016 (arXiv:1603.06560); median: Golovin et al.
        2017 (doi:10.1145/3097983.3098043).
    """

    kind: Literal["asha", "hyperband", "median"] = Field("asha", description="the rule")
    grace_epochs: int = Field(1, ge=1, description="epochs that every trial gets")
    reduction: float = Field(3, gt=1, description="asha, hyperband: one of so many trials goes on at each rung")
    brackets: int = Field(3, ge=1, description="hyperband: trials go to so many brackets in turn")
    min_trials: int = Field(3, ge=1, description="median: others that must have come as far")

    @model_validator(mode="after")
    def _has_what_its_rule_has(self) -> Stopping:
        _, own = RULES[self.kind]
        if other := sorted(self.model_fields_set - {*own, "kind", "grace_epochs"}):
            raise ValueError(f"{other[0]} with {self.kind}; expected {', '.join(sorted(own))} or grace_epochs")
        return self

    def build(self, longest: int) -> Rule:
        """The rule, for trials of at most ``longest`` epochs."""
        rule, own = RULES[self.kind]
        return rule(self.grace_epochs, *(getattr(self, name) for name in own), longest)

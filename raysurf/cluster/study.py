"""Optuna's study of one arm: asked for assignments, told what came of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from raysurf.cluster.warm_start import Told
from raysurf.sweep import holes
from raysurf.sweep.search import Search

Values = tuple[float, ...]


class Study:
    """Suggestions for the searched holes of a job.

    Args:
        tree: The job, with holes.
        search: Sampler, seed and metrics.
        points: Assignments to suggest first, in this order; a partial one is completed by the sampler.
        told: Finished trials of other sweeps, which the sampler learns from.
    """

    def __init__(
        self, tree: Any, search: Search, points: Sequence[Mapping[str, Any]] = (), told: Sequence[Told] = ()
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.tree = tree
        self._study = optuna.create_study(
            directions=directions(search), sampler=sampler(search), pruner=optuna.pruners.NopPruner()
        )
        self._trials: dict[int, optuna.Trial] = {}
        for each in told:
            held = distributions(tree, each.params)
            self._study.add_trial(
                optuna.trial.create_trial(values=list(each.values), params=dict(each.params), distributions=held)
            )
        for point in points:
            self._study.enqueue_trial(dict(point))

    def ask(self, number: int) -> dict[str, Any]:
        """The assignment of a trial."""
        trial = self._trials[number] = self._study.ask()
        return holes.suggest(self.tree, trial)

    def tell(self, number: int, values: Values | None, failed: bool) -> None:
        """Say what came of a trial; one without finite values has failed, or was stopped."""
        trial = self._trials.pop(number)
        state = state_of(values, failed)
        self._study.tell(trial, list(values) if values and state == TrialState.COMPLETE else None, state=state)


def state_of(values: Values | None, failed: bool) -> TrialState:
    """Optuna's name for the end of a trial. It takes no NaN, and would leave such a trial running for ever."""
    if failed or (values is not None and not all(map(math.isfinite, values))):
        return TrialState.FAIL
    return TrialState.PRUNED if values is None else TrialState.COMPLETE


def directions(search: Search) -> list[StudyDirection]:
    """Optuna's names of the directions of a search."""
    return [StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE for mode in search.directions]


def distributions(tree: Any, params: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Optuna's distribution of every hole that a whole assignment comes upon."""
    fixed = optuna.trial.FixedTrial(dict(params))
    holes.suggest(tree, fixed)
    return fixed.distributions


def sampler(search: Search) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of a search; a grid's points are queued, so that its sampler is never asked."""
    seed = search.seed
    if search.sampler == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if search.sampler == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    if search.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if search.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=search.population)
    return optuna.samplers.RandomSampler(seed=seed)

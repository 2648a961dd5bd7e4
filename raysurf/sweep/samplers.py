"""Optuna's samplers, and a grid. Importing it imports no Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from raysurf.errors import SpecError
from raysurf.sweep import assignments
from raysurf.sweep.search import Sampler, Search, Sweep
from raysurf.values import PathFault

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class TPE(Sampler):
    """Tree-structured Parzen estimator, Optuna's default.

    With one metric, holes that are searched together are modelled jointly, and those of each option apart (``group``).
    Every setting is given, so that the same trials come with every Optuna that is allowed.
    """

    kind: ClassVar[str] = "tpe"
    BY_VALUES: ClassVar[bool] = True
    LEARNS: ClassVar[bool] = True

    def build(self, search: Search, seed: int | None) -> BaseSampler:
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        jointly = len(search.metrics) == 1
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            return TPESampler(
                n_startup_trials=10,
                n_ei_candidates=24,
                multivariate=jointly,
                group=jointly,
                constant_liar=True,
                seed=seed,
            )


class Random(Sampler):
    """Independent draws."""

    kind: ClassVar[str] = "random"
    BY_VALUES: ClassVar[bool] = True

    def build(self, search: Search, seed: int | None) -> BaseSampler:
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)


class Grid(Random):
    """Every assignment in turn, or as many of them as ``trials`` says."""

    kind: ClassVar[str] = "grid"
    LISTS: ClassVar[bool] = True

    def points(self, sweep: Sweep, configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
        return sweep.grid(configuration)

    def at_a_time(self, search: Search) -> int:
        return 1

    def faults(self, sweep: Sweep, search: Search) -> list[PathFault]:
        try:
            assignments.grid(sweep.job)
        except SpecError as error:
            return [(("job", *wrong.where.split(".")), wrong) for wrong in error.faults]
        return []


class CmaEs(Sampler):
    """Covariance matrix adaptation; numbers alone."""

    kind: ClassVar[str] = "cmaes"
    NUMBERS: ClassVar[str] = "CMA-ES searches numbers alone"
    ONE_METRIC: ClassVar[str] = "CMA-ES has one objective"

    def build(self, search: Search, seed: int | None) -> BaseSampler:
        from optuna.samplers import CmaEsSampler

        return CmaEsSampler(seed=seed, warn_independent_sampling=False)


class GP(Sampler):
    """Bayesian optimisation by a Gaussian process."""

    kind: ClassVar[str] = "gp"
    BY_VALUES: ClassVar[bool] = True
    LEARNS: ClassVar[bool] = True

    def build(self, search: Search, seed: int | None) -> BaseSampler:
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed)


class NSGA2(Sampler):
    """Genetic search for a Pareto front."""

    kind: ClassVar[str] = "nsga2"
    SETTINGS: ClassVar[tuple[str, ...]] = ("population",)

    def build(self, search: Search, seed: int | None) -> BaseSampler:
        from optuna.samplers import NSGAIISampler

        return NSGAIISampler(seed=seed, population_size=search.population)

    def notes(self, search: Search) -> list[str]:
        if search.trials is None or search.trials > search.population:
            return []
        return [f"all at random: no more trials than the first population, {search.population}"]

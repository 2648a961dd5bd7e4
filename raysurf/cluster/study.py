"""Optuna's study of one arm: asked for assignments, told what came of them."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from raysurf.cluster.warm_start import Told
from raysurf.sweep import assignments, holes
from raysurf.sweep.points import canonical, is_whole
from raysurf.sweep.population import drawn
from raysurf.sweep.search import Search

Values = tuple[float, ...]
# Samplers that go by parameters and values alone; the others keep a state of their own with the trials they suggested.
BY_VALUES = ("tpe", "gp", "random", "grid")
# Draws of the sampler, and then at random, until one is new.
TRIES, RANDOM_TRIES = 5, 100


class Study:
    """Suggestions for the searched holes of a job, each assignment once.

    With a seed, a suggestion depends on the seed, the trial's place and what is told of the trials before it. Those
    that are known need not be suggested again for it.

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
        # The order of a mapping's keys means nothing, and may not decide what is drawn.
        self.tree, self.search = holes.in_order(tree), search
        self._holes = holes.parameters(tree)
        self._points = deque(points)
        self._study = optuna.create_study(
            directions=directions(search), sampler=sampler(search, search.seed), pruner=optuna.pruners.NopPruner()
        )
        self._place = 0
        self._numbers: dict[int, int] = {}
        self._tried: set[frozenset[tuple[str, Any]]] = set()
        for each in told:
            self._add(each.params, each.values)

    def ask(self, number: int, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The assignment of a trial.

        Args:
            number: The trial's.
            known: What an earlier run has suggested for it. It is suggested again, unless an earlier trial has it.
        """
        place, self._place = self._place, self._place + 1
        if known is not None and (not is_whole(self.tree, known) or self._key(known) in self._tried):
            known = None
        point = self._next_point(known)
        if known is None and self.search.sampler == "grid":
            known = point
        if known is not None and self.search.sampler in BY_VALUES:
            found = dict(known)
            self._numbers[number] = self._add(found)
        else:
            found = self._suggested(number, place, point, known)
        self._tried.add(self._key(found))
        return found

    def tell(self, number: int, values: Values | None, failed: bool) -> None:
        """Say what came of a trial; one without finite values has failed, or was stopped."""
        self._tell(self._numbers.pop(number), values, state_of(values, failed))

    def _tell(self, trial: int, values: Values | None, state: TrialState) -> None:
        self._study.tell(trial, list(values) if values and state == TrialState.COMPLETE else None, state=state)

    def _next_point(self, known: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The next untried initial trial; a grid gives none for a known trial."""
        while self._points and (known is None or self.search.sampler != "grid"):
            point = self._canonical(self._points.popleft())
            if not is_whole(self.tree, point) or self._key(point) not in self._tried:
                return point
        return {}

    def _suggested(
        self, number: int, place: int, point: Mapping[str, Any], known: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """What the sampler suggests, as a running trial of the study."""
        for attempt in range(TRIES):
            trial, found = self._drawn(place, attempt, point)
            if self._key(found) not in self._tried:
                break
            self._tell(trial, None, TrialState.FAIL)
        else:
            # Few are left, or the sampler does not come to think of others.
            found = self._new(random.Random(f"{self.search.seed} {place}"), point)
            trial, found = self._drawn(place, TRIES, found)
        if known is not None and found != known:
            self._tell(trial, None, TrialState.FAIL)
            trial, found = self._drawn(place, TRIES + 1, known)
        if self.search.sampler in BY_VALUES:
            # As it will be when it is known: values as they are kept, and without what the sampler noted down.
            self._tell(trial, None, TrialState.FAIL)
            trial = self._add(found)
        self._numbers[number] = trial
        return found

    def _drawn(self, place: int, attempt: int, point: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Ask the sampler for a trial; a point fixes some or all of its values. Returns number and assignment."""
        if self.search.seed is not None:
            seed = random.Random(f"{self.search.seed} {place} {attempt}").getrandbits(31)
            self._study.sampler = sampler(self.search, seed)
        if point:
            self._study.enqueue_trial(dict(point))
        trial = self._study.ask()
        return trial.number, self._canonical(holes.suggest(self.tree, trial))

    def _new(self, draw: random.Random, point: Mapping[str, Any]) -> dict[str, Any]:
        """An untried assignment: random draws, then the first untried one; consistent with the point if possible."""
        for given in (point, {}):
            for _ in range(RANDOM_TRIES):
                found = self._random(draw, given)
                if self._key(found) not in self._tried:
                    return found
            every = assignments.searched(self.tree, given)
            if left := next((each for each in every if self._key(each) not in self._tried), None):
                return left
        return found

    def _random(self, draw: random.Random, given: Mapping[str, Any]) -> dict[str, Any]:
        return holes.choose(self.tree, lambda name, hole: given[name] if name in given else drawn(hole, draw))

    def _add(self, params: Mapping[str, Any], values: Values | None = None) -> int:
        """Add a trial (running if it has no values) and return its number."""
        state = TrialState.RUNNING if values is None else TrialState.COMPLETE
        params = self._canonical(params)
        self._study.add_trial(
            optuna.trial.create_trial(
                state=state,
                values=None if values is None else list(values),
                params=params,
                distributions=distributions(self.tree, params),
            )
        )
        return len(self._study.get_trials(deepcopy=False)) - 1

    def _key(self, params: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
        return frozenset(self._canonical(params).items())

    def _canonical(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: canonical(self._holes[name], value) for name, value in params.items()}


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


def sampler(search: Search, seed: int | None) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of a search; that of a grid is never asked."""
    if search.sampler == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if search.sampler == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    if search.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if search.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=search.population)
    return optuna.samplers.RandomSampler(seed=seed)

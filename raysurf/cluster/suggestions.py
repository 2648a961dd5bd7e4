"""The trials of a sweep's arms, as Ray Tune's searchers: Optuna's suggestions, turned into jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch
from ray.tune.utils import flatten_dict

from raysurf.errors import SpecError
from raysurf.sweep import holes
from raysurf.sweep.selection import Arm
from raysurf.sweep.sweep import Assignment, Resources, Search, Sweep

VALUE = "value"


def _never() -> bool:
    return False


def sampler(search: Search) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of a search; a grid's points are queued, so that its sampler is never asked."""
    seed = search.seed
    if search.sampler == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if search.sampler == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    if search.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


class _Unsaved(Searcher):  # type: ignore[misc]  # ray has no types
    """A searcher that Tune may pickle, and gets nothing: a run that is broken off goes on from the result store."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Take nothing."""


class Suggestions(_Unsaved):
    """Hands out a sweep's assignments, a batch at a time where suggestions are to be reproducible.

    With a seed, a whole batch is asked for at once and told at once, in the order of its numbers: what is
    suggested then depends on the seed and the results alone, never on which trial ended first or on how many ran
    beside one another.

    Args:
        sweep: The sweep.
        arm: The arm whose trials these are.
        known: Parameters of trials that an earlier, unseeded run has begun, to be tried again first.
        request: What Tune's trial is given, by the trial's number.
        stopped: Says that no more trials are to begin.
    """

    def __init__(
        self,
        sweep: Sweep,
        arm: Arm,
        known: Sequence[Mapping[str, Any]] = (),
        request: Callable[[int], Any] = lambda number: number,
        stopped: Callable[[], bool] = _never,
    ) -> None:
        search = sweep.search
        super().__init__(metric=VALUE, mode=search.direction if search else "max")
        self.sweep, self.arm, self.first, self.request = sweep, arm, arm.first, request
        self.stopped = stopped
        self.batch = search.batch if search and search.seed is not None and search.sampler != "grid" else 1
        self.reproducible = self.batch > 1 or (search is not None and search.seed is not None)
        self.optuna = self._optuna(search, known) if search and sweep.is_searched else None
        self.issued = 0
        self.queue: deque[int] = deque()
        self.params: dict[int, Mapping[str, Any]] = {}
        self.results: dict[int, tuple[dict[str, Any] | None, bool]] = {}
        self.numbers: dict[str, int] = {}
        self.told: set[int] = set()

    def _optuna(self, search: Search, known: Sequence[Mapping[str, Any]]) -> OptunaSearch:
        points = self.sweep.grid(self.arm.params) if search.sampler == "grid" else [dict(params) for params in known]

        def space(trial: optuna.Trial) -> dict[str, Any]:
            holes.suggest(self.sweep.job, trial)
            return {}

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return OptunaSearch(
            space, metric=VALUE, mode=search.direction, sampler=sampler(search), points_to_evaluate=points or None
        )

    @property
    def is_over(self) -> bool:
        """Whether all of its trials have ended, or those that are left do not begin."""
        return self.stopped() or (
            self.issued >= self.arm.trials and all(number in self.results for number in self.params)
        )

    def assignment(self, number: int) -> Assignment:
        """The jobs of a trial.

        Raises:
            SpecError: If what was suggested makes no valid job.
        """
        return self.sweep.fill(self.params[number])

    def next_batch(self) -> list[int]:
        """Numbers of the next trials, asked for together; empty if there are no more."""
        size = min(self.batch, self.arm.trials - self.issued)
        fresh = [self.first + self.issued + i for i in range(size)]
        for number in fresh:
            found = self.optuna.suggest(str(number)) if self.optuna else {}
            self.params[number] = {**self.arm.params, **flatten_dict(found or {}, "/")}
        self.issued += size
        return fresh

    def tell(self, number: int, result: dict[str, Any] | None, error: bool) -> None:
        """Take a trial's end; Optuna hears of it with its batch."""
        self.results[number] = (result, error)
        if not self.reproducible:
            self._pass_on([number])
        elif not self.queue and all(n in self.results for n in self.params):
            self._pass_on(sorted(n for n in self.params if n in self.results))

    def _pass_on(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            result, error = self.results[number]
            if self.optuna and number not in self.told:
                self.optuna.on_trial_complete(str(number), result=result, error=error)
            self.told.add(number)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Tune asks for a trial: its configuration, None for not now, or FINISHED."""
        if self.stopped():
            return str(Searcher.FINISHED)
        if not self.queue:
            if self.issued >= self.arm.trials:
                return str(Searcher.FINISHED)
            if self.reproducible and any(n not in self.results for n in self.params):
                return None
            self.queue.extend(self.next_batch())
        number = self.queue.popleft()
        self.numbers[trial_id] = number
        return {"request": self.request(number)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Optuna is told of ends alone."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tune says that a trial has ended."""
        number = self.numbers.get(trial_id)
        if number is None or number in self.results:
            return
        value = result.get(VALUE) if result and result.get("state") == "done" else None
        failed = error or (result or {}).get("state") == "failed"
        self.tell(number, None if value is None else {VALUE: value}, failed)


class Listed(_Unsaved):
    """Hands out a list of requests as it stands."""

    def __init__(self, requests: Sequence[Any]) -> None:
        super().__init__(metric=VALUE, mode="max")
        self.waiting = deque(requests)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next request, or FINISHED."""
        return {"request": self.waiting.popleft()} if self.waiting else str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing is learnt from it."""


class Arms(_Unsaved):
    """Hands out the trials of several arms, the next arm's as soon as no more of the one before can begin.

    Args:
        arms: The arms.
        after: Arms that begin when others have ended, by their numbers among ``arms``: those that train on from them.
    """

    def __init__(self, arms: Sequence[Suggestions], after: Mapping[int, Collection[int]] | None = None) -> None:
        super().__init__(metric=VALUE, mode="max")
        self.arms, self.after = arms, after or {}
        self.owners: dict[str, Suggestions] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next request of the first arm that has one, None for not now, or FINISHED."""
        waiting = False
        for number, arm in enumerate(self.arms):
            if not all(self.arms[other].is_over for other in self.after.get(number, ())):
                waiting = True
                continue
            found = arm.suggest(trial_id)
            if isinstance(found, dict):
                self.owners[trial_id] = arm
                return found
            waiting = waiting or found is None
        return None if waiting else str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Searchers are told of ends alone."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass an end on to the trial's arm."""
        if trial_id in self.owners:
            self.owners[trial_id].on_trial_complete(trial_id, result=result, error=error)


@dataclass(frozen=True)
class Stage:
    """Requests that may run beside one another: a wave of inputs, pieces of surfaces, or the trials of arms.

    Once ``is_over`` says so, no more of them begin.
    """

    source: Searcher
    sweep: Sweep
    resources: Resources
    is_over: Callable[[], bool] = _never

    @property
    def key(self) -> tuple[Any, ...]:
        """What must be the same for two stages to share one Tune run, and so its warm processes."""
        search = self.sweep.search if isinstance(self.source, Arms) else None
        stopped = self.sweep.name if search and search.stopping else None
        return self.resources, stopped


class Programme(_Unsaved):
    """Hands out the requests of one stage after another, each when the one before it has ended.

    Args:
        first: The stage to begin with.
        later: The stages after it; looked at only when one has ended. The first that cannot share its Tune run is left
            in ``left_over``, and ends the programme.
    """

    def __init__(self, first: Stage, later: Iterator[Stage]) -> None:
        super().__init__(metric=VALUE, mode="max")
        self.stage, self.later = first, later
        self.key = first.key
        self.left_over: Stage | None = None
        self.finished = False
        self.running: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next request, None for not now, or FINISHED."""
        while not self.finished:
            over = self.stage.is_over()
            found = str(Searcher.FINISHED) if over else self.stage.source.suggest(trial_id)
            if isinstance(found, dict):
                self.running.add(trial_id)
                return found
            if found is None or self.running:
                return None
            following = next(self.later, None)
            if following is None or following.key != self.key:
                self.left_over, self.finished = following, True
            else:
                self.stage = following
        return str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Searchers are told of ends alone."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Pass an end on to its stage."""
        self.running.discard(trial_id)
        self.stage.source.on_trial_complete(trial_id, result=result, error=error)


def replay(
    suggestions: Suggestions, finished: Callable[[int, Assignment], tuple[dict[str, Any] | None, bool] | None]
) -> list[int]:
    """Take every batch whose trials are all finished without running anything.

    Args:
        suggestions: Left where the first unfinished batch begins.
        finished: A trial's result and whether it failed; None if it is not finished.

    Returns:
        Numbers of the trials taken.
    """
    taken: list[int] = []
    while numbers := suggestions.next_batch():
        ends = []
        for number in numbers:
            try:
                ends.append(finished(number, suggestions.assignment(number)))
            except SpecError:
                ends.append((None, True))
        if any(end is None for end in ends):
            suggestions.queue.extend(numbers)
            break
        for number, end in zip(numbers, ends, strict=True):
            assert end is not None
            suggestions.tell(number, *end)
        taken += numbers
    return taken

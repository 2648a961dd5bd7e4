"""The trials of a sweep's arms, as Ray Tune's searchers: a study's suggestions, turned into jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.search import Searcher

from raysurf.cluster.spending import Verdict
from raysurf.cluster.study import Study, Values
from raysurf.cluster.task import Request
from raysurf.cluster.warm_start import Told
from raysurf.errors import SpecError
from raysurf.sweep.plan import Arm
from raysurf.sweep.search import Asked
from raysurf.sweep.sweep import Assignment, Resources, Sweep

VALUE = "value"


def _never() -> bool:
    return False


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
    beside one another. A generation of a population is a batch, with a seed or without.

    Args:
        sweep: The sweep.
        arm: The arm whose trials these are.
        known: Parameters of trials that an earlier run has begun, by their places in the arm: they are tried again.
        request: What Tune's trial is given, by the trial's number.
        stopped: Says that no more trials are to begin.
        told: Finished trials of other sweeps to learn from.
        may_begin: Whether a trial still fits the sweep's budget; after the first that does not, none begins.
    """

    def __init__(
        self,
        sweep: Sweep,
        arm: Arm,
        known: Mapping[int, Mapping[str, Any]] | None = None,
        request: Callable[[int], Any] = lambda number: number,
        stopped: Callable[[], bool] = _never,
        told: Sequence[Told] = (),
        may_begin: Callable[[int], Verdict] | None = None,
    ) -> None:
        search = sweep.search
        super().__init__(metric=VALUE, mode=search.directions[0] if search else "max")
        self.sweep, self.arm, self.first, self.request = sweep, arm, arm.first, request
        self.stopped = stopped
        self.batch = search.at_a_time if search else 1
        self.reproducible = search is not None and (search.seed is not None or search.method.IN_GENERATIONS)
        self.known = known or {}
        self.study = self._study(told)
        self.may_begin = may_begin
        self.is_closed = False
        self.issued = 0
        self.queue: deque[int] = deque()
        self.params: dict[int, Mapping[str, Any]] = {}
        self.results: dict[int, tuple[Values | None, bool]] = {}
        self.numbers: dict[str, int] = {}
        self.told: set[int] = set()

    def _study(self, told: Sequence[Told]) -> Asked | None:
        sweep, search = self.sweep, self.sweep.search
        if search is None or not sweep.is_searched:
            return None
        points = search.method.points(sweep, self.arm.params)
        own = search.method.asked(sweep.job, search, self.first, points)
        return Study(sweep.job, search, points, told) if own is None else own

    @property
    def is_over(self) -> bool:
        """Whether all of its trials have ended, or those that are left do not begin."""
        is_spent = self.is_closed or self.issued >= self.arm.trials
        return self.stopped() or (is_spent and all(number in self.results for number in self.params))

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
            known = self.known.get(number - self.first, {})
            searched = {name: value for name, value in known.items() if name not in self.arm.params}
            found = self.study.ask(number, searched or None) if self.study else {}
            self.params[number] = {**self.arm.params, **found}
        self.issued += size
        return fresh

    def tell(self, number: int, values: Values | None, failed: bool) -> None:
        """Take a trial's end; Optuna hears of it with its batch."""
        self.results[number] = (values, failed)
        if not self.reproducible:
            self._pass_on([number])
        elif not self.queue and all(n in self.results for n in self.params):
            self._pass_on(sorted(n for n in self.params if n in self.results))

    def _pass_on(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if self.study and number not in self.told:
                self.study.tell(number, *self.results[number])
            self.told.add(number)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Tune asks for a trial: its configuration, None for not now, or FINISHED."""
        if self.stopped():
            return str(Searcher.FINISHED)
        if not self.queue:
            if self.is_closed or self.issued >= self.arm.trials:
                return str(Searcher.FINISHED)
            if self.reproducible and any(n not in self.results for n in self.params):
                return None
            self.queue.extend(self.next_batch())
        verdict = self.may_begin(self.queue[0]) if self.may_begin else Verdict.YES
        if verdict is Verdict.WAIT:
            return None
        if verdict is Verdict.NO:
            self._close()
            return str(Searcher.FINISHED)
        number = self.queue.popleft()
        self.numbers[trial_id] = number
        return {"request": self.request(number)}

    def _close(self) -> None:
        """Begin no more trials; those that were suggested but have not begun are none."""
        self.is_closed = True
        for number in self.queue:
            del self.params[number]
        self.queue.clear()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Optuna is told of ends alone."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tune says that a trial has ended."""
        number = self.numbers.get(trial_id)
        if number is None or number in self.results:
            return
        values = result.get("values") if result and result.get("state") == "done" else None
        failed = error or (result or {}).get("state") == "failed"
        self.tell(number, None if values is None else tuple(values), failed)


class Listed(_Unsaved):
    """Hands out a list of requests as it stands.

    Args:
        requests: In order.
        may_begin: Whether a request still fits its sweep's budget; after the first that does not, none begins.
    """

    def __init__(self, requests: Sequence[Request], may_begin: Callable[[Request], Verdict] | None = None) -> None:
        super().__init__(metric=VALUE, mode="max")
        self.waiting, self.may_begin = deque(requests), may_begin

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next request, None for not now, or FINISHED."""
        verdict = self.may_begin(self.waiting[0]) if self.waiting and self.may_begin else Verdict.YES
        if verdict is Verdict.WAIT:
            return None
        if verdict is Verdict.NO:
            self.waiting.clear()
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
    def key(self) -> Resources:
        """What must be the same for two stages to share one Tune run, and so its warm processes."""
        return self.resources


class Programme(_Unsaved):
    """Hands out the requests of one stage after another, each when the one before it has ended.

    Args:
        first: The stage to begin with.
        later: The stages after it; looked at only when one has ended. The first that cannot share its Tune run is left
            in ``left_over``, and ends the programme.
        is_over: Once it says so, nothing more begins.
    """

    def __init__(self, first: Stage, later: Iterator[Stage], is_over: Callable[[], bool] = _never) -> None:
        super().__init__(metric=VALUE, mode="max")
        self.stage, self.later, self.is_over = first, later, is_over
        self.key = first.key
        self.left_over: Stage | None = None
        self.finished = False
        self.running: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next request, None for not now, or FINISHED."""
        while not self.finished and not self.is_over():
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
    suggestions: Suggestions, finished: Callable[[int, Assignment], tuple[Values | None, bool] | None]
) -> list[int]:
    """Take every trial that is finished without running it, as far as the first batch in which one is not.

    Args:
        suggestions: Left with what is unfinished of that batch in its queue.
        finished: A trial's values and whether it failed; None if it is not finished.

    Returns:
        Numbers of the trials taken.
    """
    taken: list[int] = []
    while numbers := suggestions.next_batch():
        ends = {}
        for number in numbers:
            try:
                ends[number] = finished(number, suggestions.assignment(number))
            except SpecError:
                ends[number] = (None, True)
        suggestions.queue.extend(number for number, end in ends.items() if end is None)
        for number, end in ends.items():
            if end is not None:
                suggestions.tell(number, *end)
                taken.append(number)
        if suggestions.queue:
            break
    return taken

"""Searchers of Ray Tune: assignments of a configuration as a study suggests them, and the queues of tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.search import Searcher

from raysurf.cluster.spending import Verdict
from raysurf.cluster.study import Study, Values
from raysurf.cluster.task import Task
from raysurf.cluster.warm_start import KnownTrial
from raysurf.errors import SpecError
from raysurf.sweep.plan import Configuration
from raysurf.sweep.search import Asked
from raysurf.sweep.sweep import Assignment, Resources, Sweep

FINISHED = str(Searcher.FINISHED)
# What Tune asks a searcher for: a trial's configuration, None for "not now", or FINISHED.
Suggestion = dict[str, Any] | str | None


def _never() -> bool:
    return False


class _Queue(Searcher):  # type: ignore[misc]  # ray has no types
    """A searcher of which Tune keeps nothing: a run that is broken off goes on from the result store."""

    def __init__(self) -> None:
        super().__init__(metric="value", mode="max")

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Take nothing."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Learn from a trial's last report, if anything is to be learnt."""


class ConfigurationSearcher(_Queue):
    """A configuration's assignments, a batch at a time where suggestions are to be reproducible.

    With a seed, a whole batch is asked for at once and reported at once, in the order of its numbers: what is
    suggested then depends on the seed and the results alone, never on which trial ended first or on how many ran
    beside one another. A generation of a population is a batch, with a seed or without.

    Args:
        sweep, configuration: Whose trials these are.
        begun: Parameters of trials that an earlier run has begun, by number: they are tried again.
        task: What Tune's trial is given, by the trial's number.
        stopped: Says that no more trials are to begin.
        known_trials: Of other sweeps, to learn from.
        may_begin: Whether a trial still fits the sweep's budget; after the first that does not, none begins.
    """

    def __init__(
        self,
        sweep: Sweep,
        configuration: Configuration,
        begun: Mapping[int, Mapping[str, Any]] | None = None,
        task: Callable[[int], Any] = lambda number: number,
        stopped: Callable[[], bool] = _never,
        known_trials: Sequence[KnownTrial] = (),
        may_begin: Callable[[int], Verdict] | None = None,
    ) -> None:
        super().__init__()
        search = sweep.search
        self.sweep, self.configuration = sweep, configuration
        self.begun, self.task, self.stopped, self.may_begin = begun or {}, task, stopped, may_begin
        self.batch = search.at_a_time if search else 1
        self.reproducible = search is not None and (search.seed is not None or search.method.IN_GENERATIONS)
        self.study = self._study(known_trials)
        self.is_closed = False
        self.issued = 0
        self.queue: deque[int] = deque()
        self.params: dict[int, Mapping[str, Any]] = {}
        self.results: dict[int, tuple[Values | None, bool]] = {}
        self.numbers: dict[str, int] = {}
        # Ended trials that the study has not heard of.
        self.pending: list[int] = []

    def _study(self, known_trials: Sequence[KnownTrial]) -> Asked | None:
        sweep, search = self.sweep, self.sweep.search
        if search is None or not sweep.is_searched:
            return None
        initial_trials = search.method.points(sweep, self.configuration.params)
        own = search.method.asked(sweep.job, search, self.configuration.first, initial_trials)
        return Study(sweep.job, search, initial_trials, known_trials) if own is None else own

    @property
    def is_over(self) -> bool:
        """Whether all of its trials have ended, or those that are left do not begin."""
        is_spent = self.is_closed or self.issued >= self.configuration.trials
        return self.stopped() or (is_spent and self._all_ended)

    @property
    def _all_ended(self) -> bool:
        return self.params.keys() <= self.results.keys()

    def next_batch(self) -> Sequence[int]:
        """Numbers of the next trials, asked for together; empty if there are no more."""
        numbers = self.configuration.numbers[self.issued : self.issued + self.batch]
        for number in numbers:
            begun = self.begun.get(number, {})
            searched = {name: value for name, value in begun.items() if name not in self.configuration.params}
            suggested = self.study.ask(number, searched or None) if self.study else {}
            self.params[number] = {**self.configuration.params, **suggested}
        self.issued += len(numbers)
        return numbers

    def tell(self, number: int, values: Values | None, failed: bool) -> None:
        """Take a trial's end; Optuna hears of it with its batch."""
        self.results[number] = (values, failed)
        self.pending.append(number)
        if self.reproducible and (self.queue or not self._all_ended):
            return
        if self.study is not None:
            for ended in sorted(self.pending):
                self.study.tell(ended, *self.results[ended])
        self.pending.clear()

    def suggest(self, trial_id: str) -> Suggestion:
        if self.stopped():
            return FINISHED
        if not self.queue:
            if self.is_closed or self.issued >= self.configuration.trials:
                return FINISHED
            if self.reproducible and not self._all_ended:
                return None
            self.queue.extend(self.next_batch())
        verdict = self.may_begin(self.queue[0]) if self.may_begin else Verdict.YES
        if verdict is Verdict.WAIT:
            return None
        if verdict is Verdict.NO:
            # Trials that were suggested but have not begun are none.
            self.is_closed = True
            while self.queue:
                del self.params[self.queue.popleft()]
            return FINISHED
        number = self.queue.popleft()
        self.numbers[trial_id] = number
        return {"task": self.task(number)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number, report = self.numbers.get(trial_id), result or {}
        if number is not None and number not in self.results:
            values = report.get("values") if report.get("state") == "done" else None
            self.tell(number, values and tuple(values), error or report.get("state") == "failed")


class TaskList(_Queue):
    """Tasks in order; after the first that no longer fits its sweep's budget, none begins."""

    def __init__(self, tasks: Sequence[Task], may_begin: Callable[[Task], Verdict] | None = None) -> None:
        super().__init__()
        self.waiting, self.may_begin = deque(tasks), may_begin

    def suggest(self, trial_id: str) -> Suggestion:
        verdict = self.may_begin(self.waiting[0]) if self.waiting and self.may_begin else Verdict.YES
        if verdict is Verdict.WAIT:
            return None
        if verdict is Verdict.NO:
            self.waiting.clear()
        return {"task": self.waiting.popleft()} if self.waiting else FINISHED


class ConfigurationsSearcher(_Queue):
    """The trials of several configurations, those of the next as soon as no more of the one before can begin.

    Args:
        searchers: One a configuration.
        after: Those that begin when others have ended, by their place among ``searchers``: they train on from those.
    """

    def __init__(
        self, searchers: Sequence[ConfigurationSearcher], after: Mapping[int, Collection[int]] | None = None
    ) -> None:
        super().__init__()
        self.searchers, self.after = searchers, after or {}
        self.owners: dict[str, ConfigurationSearcher] = {}

    def suggest(self, trial_id: str) -> Suggestion:
        is_waiting = False
        for number, searcher in enumerate(self.searchers):
            if not all(self.searchers[other].is_over for other in self.after.get(number, ())):
                is_waiting = True
                continue
            suggestion = searcher.suggest(trial_id)
            if isinstance(suggestion, dict):
                self.owners[trial_id] = searcher
                return suggestion
            is_waiting = is_waiting or suggestion is None
        return None if is_waiting else FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in self.owners:
            self.owners[trial_id].on_trial_complete(trial_id, result=result, error=error)


@dataclass(frozen=True)
class Stage:
    """Tasks that may run beside one another: a wave of inputs, pieces of surfaces, or the trials of configurations.

    Once ``is_over`` says so, no more of them begin. Stages that need the same share one Tune run, and its processes.
    """

    source: Searcher
    sweep: Sweep
    resources: Resources
    is_over: Callable[[], bool] = _never


class TrialQueue(_Queue):
    """The tasks of one stage after another, each stage when the one before it has ended.

    Args:
        first: The stage to begin with.
        later: The stages after it; looked at only when one has ended. The first that cannot share its Tune run is left
            in ``left_over``, and ends the queue.
        is_over: Once it says so, nothing more begins.
    """

    def __init__(self, first: Stage, later: Iterator[Stage], is_over: Callable[[], bool] = _never) -> None:
        super().__init__()
        self.stage, self.later, self.is_over = first, later, is_over
        self.left_over: Stage | None = None
        self.finished = False
        self.running: set[str] = set()

    def suggest(self, trial_id: str) -> Suggestion:
        while not self.finished and not self.is_over():
            suggestion = FINISHED if self.stage.is_over() else self.stage.source.suggest(trial_id)
            if isinstance(suggestion, dict):
                self.running.add(trial_id)
                return suggestion
            if suggestion is None or self.running:
                return None
            following = next(self.later, None)
            if following is None or following.resources != self.stage.resources:
                self.left_over, self.finished = following, True
            else:
                self.stage = following
        return FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.running.discard(trial_id)
        self.stage.source.on_trial_complete(trial_id, result=result, error=error)


def replay(
    searcher: ConfigurationSearcher, finished: Callable[[int, Assignment], tuple[Values | None, bool] | None]
) -> list[int]:
    """Take every trial that is finished without running it, as far as the first batch in which one is not.

    Args:
        searcher: Left with what is unfinished of that batch in its queue.
        finished: A trial's values and whether it failed; None if it is not finished.

    Returns:
        Numbers of the trials taken.
    """
    taken: list[int] = []
    while not searcher.queue and (numbers := searcher.next_batch()):
        ends = {}
        for number in numbers:
            try:
                ends[number] = finished(number, searcher.sweep.fill(searcher.params[number]))
            except SpecError:
                ends[number] = (None, True)
        searcher.queue.extend(number for number, end in ends.items() if end is None)
        for number, end in ends.items():
            if end is not None:
                searcher.tell(number, *end)
                taken.append(number)
    return taken

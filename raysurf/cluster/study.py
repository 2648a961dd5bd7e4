"""Optuna's study of a configuration, and its journal for ``optuna-dashboard``."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FixedTrial, TrialState, create_trial

from raysurf.cluster.trial_table import TrialTable
from raysurf.cluster.warm_start import KnownTrial
from raysurf.store import Row
from raysurf.store.filesystem import replace_file
from raysurf.store.parts import LINEAGE
from raysurf.store.store import Store
from raysurf.sweep import assignments, space
from raysurf.sweep.assignments import canonical, is_whole
from raysurf.sweep.lineage import own_values
from raysurf.sweep.population import drawn
from raysurf.sweep.search import Search
from raysurf.sweep.space import Each, labels

Values = tuple[float, ...]
# Draws of the sampler, and then at random, until one is new.
TRIES, RANDOM_TRIES = 5, 100


class Study:
    """An Optuna study of the searched holes of a job, which suggests each assignment once.

    With a seed, a suggestion depends on the seed, the trial's place and the ends of the trials before it. Those
    that are known need not be suggested again for it.

    Args:
        tree: The job, with holes.
        search: Sampler, seed and metrics.
        initial_trials: Assignments to suggest first, in this order; a partial one is completed by the sampler.
        known_trials: Finished trials of other sweeps, which the sampler learns from.
    """

    def __init__(
        self,
        tree: Any,
        search: Search,
        initial_trials: Sequence[Mapping[str, Any]] = (),
        known_trials: Sequence[KnownTrial] = (),
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        # The order of a mapping's keys means nothing, and may not decide what is drawn.
        self.tree, self.search = space.in_order(tree), search
        self._method = search.method
        self._holes = space.parameters(tree)
        self._initial_trials = deque(initial_trials)
        self._study = optuna.create_study(
            directions=directions(search),
            sampler=self._method.build(search, search.seed),
            pruner=optuna.pruners.NopPruner(),
        )
        self._place = 0
        self._numbers: dict[int, int] = {}
        self._tried: set[frozenset[tuple[str, Any]]] = set()
        for trial in known_trials:
            self._add(trial.params, trial.values)

    def ask(self, number: int, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The assignment of a trial; what an earlier run suggested (``known``) comes again, unless it was tried."""
        place, self._place = self._place, self._place + 1
        if known is not None and (not is_whole(self.tree, known) or self._key(known) in self._tried):
            known = None
        point = self._next_initial_trial(known)
        if known is None and self._method.LISTS:
            known = point
        if known is not None and self._method.BY_VALUES:
            params = dict(known)
            self._numbers[number] = self._add(params)
        else:
            params = self._suggested(number, place, point, known)
        self._tried.add(self._key(params))
        return params

    def tell(self, number: int, values: Values | None, failed: bool) -> None:
        """Say what came of a trial; one without finite values has failed, or was stopped."""
        state = state_of(values, failed)
        self._study.tell(self._numbers.pop(number), values if state == TrialState.COMPLETE else None, state=state)

    def _discard(self, trial: int) -> None:
        self._study.tell(trial, state=TrialState.FAIL)

    def _next_initial_trial(self, known: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The next untried initial trial; a grid gives none for a known trial."""
        while self._initial_trials and (known is None or not self._method.LISTS):
            point = self._canonical(self._initial_trials.popleft())
            if not is_whole(self.tree, point) or self._key(point) not in self._tried:
                return point
        return {}

    def _suggested(
        self, number: int, place: int, point: Mapping[str, Any], known: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """What the sampler suggests, as a running trial of the study."""
        for attempt in range(TRIES):
            trial, params = self._drawn(place, attempt, point)
            if self._key(params) not in self._tried:
                break
            self._discard(trial)
        else:
            # Few are left, or the sampler does not come to think of others.
            params = self._new(random.Random(f"{self.search.seed} {place}"), point)
            trial, params = self._drawn(place, TRIES, params)
        if known is not None and params != known:
            self._discard(trial)
            trial, params = self._drawn(place, TRIES + 1, known)
        if self._method.BY_VALUES:
            # As it will be when it is known: values as they are kept, and without what the sampler noted down.
            self._discard(trial)
            trial = self._add(params)
        self._numbers[number] = trial
        return params

    def _drawn(self, place: int, attempt: int, point: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Ask the sampler for a trial; a point fixes some or all of its values. Returns number and assignment."""
        if self.search.seed is not None:
            seed = random.Random(f"{self.search.seed} {place} {attempt}").getrandbits(31)
            self._study.sampler = self._method.build(self.search, seed)
        if point:
            self._study.enqueue_trial(dict(point))
        trial = self._study.ask()
        return trial.number, self._canonical(space.suggest(self.tree, trial))

    def _new(self, draw: random.Random, point: Mapping[str, Any]) -> dict[str, Any]:
        """An untried assignment: random draws, then the first untried one; consistent with the point if possible."""
        for given in (point, {}):
            for _ in range(RANDOM_TRIES):
                params = self._random(draw, given)
                if self._key(params) not in self._tried:
                    return params
            every = assignments.searched(self.tree, given)
            if left := next((untried for untried in every if self._key(untried) not in self._tried), None):
                return left
        return params

    def _random(self, draw: random.Random, given: Mapping[str, Any]) -> dict[str, Any]:
        return space.choose(self.tree, lambda name, hole: given[name] if name in given else drawn(hole, draw))

    def _add(self, params: Mapping[str, Any], values: Values | None = None) -> int:
        """Add a trial (running if it has no values) and return its number."""
        state = TrialState.RUNNING if values is None else TrialState.COMPLETE
        params = self._canonical(params)
        self._study.add_trial(
            create_trial(
                state=state,
                values=values,
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
    fixed = FixedTrial(dict(params))
    space.suggest(tree, fixed)
    return fixed.distributions


FOLDER = "studies"


def study_path(store: Store, sweep: str) -> Path:
    """Where the journal of a sweep is: within a local store; of any other under the driver's current folder."""
    if store.is_local:
        return Path(store.root, FOLDER, f"{sweep}.journal")
    place = hashlib.sha256(store.address.encode()).hexdigest()[:6]
    return Path(FOLDER, f"{sweep}-{place}.journal")


class _Lines(BaseJournalBackend):
    """A journal's lines in memory, to be written at once: one by one each would wait for the disk."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        yield from self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += logs


class StudyFile:
    """One Optuna study, named for its sweep, with a trial for every trial that has begun; all configurations are in it.

    A journal that is missing, truncated, of an earlier definition or at odds with the rows is written anew from them.
    What a killed driver left running is failed, and begins as another trial when it is run again. If the journal cannot
    be written, that is one warning, and the sweep goes on without.
    """

    def __init__(self, table: TrialTable, warn: Callable[[str], None]) -> None:
        self.sweep, self.table, self.warn = table.sweep, table, warn
        self.path = study_path(table.store, table.sweep.name)
        self._ids: dict[int, int] = {}
        self._storage: JournalStorage | None = None
        self._study_id = 0
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._try(self._open)

    def begun(self, number: int) -> None:
        """A trial has a row."""
        self._try(self._add, number, TrialState.RUNNING)

    def ended(self, number: int) -> None:
        """A trial's row has its end."""
        self._try(self._end, number)

    def _try(self, act: Callable[..., None], *arguments: Any) -> None:
        try:
            act(*arguments)
        except Exception as error:
            # Whatever Optuna's storage meets on a disk that is full, gone or another's: the rows do not depend on it.
            self._storage = None
            self.warn(f"study {self.path}: {type(error).__name__}: {error}; the sweep goes on without it")

    def _open(self) -> None:
        # One driver alone writes it: a lock that is there is a killed one's, and Optuna would wait for it, for ever if
        # the store was moved.
        for lock in self.path.parent.glob(f"{self.path.name}.lock*"):
            lock.unlink(missing_ok=True)
        if not self._load():
            self._rewrite()
            if not self._load():
                raise ValueError("what was written does not agree with the rows")

    def _load(self) -> bool:
        """Open the journal and fail what is left running; whether it then says what the rows say."""
        try:
            if not self.path.read_bytes().endswith(b"\n"):
                return False
            storage = JournalStorage(JournalFileBackend(str(self.path)))
            study_id = storage.get_study_id_from_name(self.sweep.name)
            if storage.get_study_user_attrs(study_id).get("definition") != self.sweep.digest:
                return False
            for trial in storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,)):
                storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            trials = {trial.user_attrs["trial"]: trial for trial in storage.get_all_trials(study_id, deepcopy=False)}
        except (OSError, KeyError, ValueError):
            # A truncated journal is KeyError or ValueError, JSONDecodeError included.
            return False
        said = {number: (trial.state, trial.values) for number, trial in trials.items()}
        if said != {number: self._end_of(row) for number, row in self.table.rows.items()}:
            return False
        self._storage, self._study_id = storage, study_id
        return True

    def _rewrite(self) -> None:
        """Write the journal aside from the rows, then put it in its place."""
        search = self.sweep.search
        assert search is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = _Lines()
        self._storage = JournalStorage(lines)
        study = optuna.create_study(storage=self._storage, study_name=self.sweep.name, directions=directions(search))
        self._study_id = study._study_id
        study.set_user_attr("definition", self.sweep.digest)
        study.set_user_attr("metrics", list(search.metrics))
        # What Study.set_metric_names does, which warns that it is experimental.
        self._storage.set_study_system_attr(self._study_id, "study:metric_names", list(search.metrics))
        for number in sorted(self.table.rows):
            self._add(number, self._end_of(self.table.rows[number])[0])
        replace_file(self.path, "".join(f"{json.dumps(log)}\n" for log in lines.logs).encode())

    def _add(self, number: int, state: TrialState) -> None:
        """Add a trial as its row has it, in some state."""
        if self._storage is None:
            return
        row = self.table.rows[number]
        whole = self.table.params(number)
        params, lineage = own_values(whole), whole.get(LINEAGE)
        axes = {name: hole for name, hole in self.sweep.parameters.items() if isinstance(hole, Each)}
        held = distributions(self.sweep.job, params)
        held |= {name: CategoricalDistribution(labels(axes[name])) for name in params if name in axes}
        began = row["started_at"].astimezone().replace(tzinfo=None)
        ended = began + timedelta(seconds=row["wall_s"] or 0.0) if state.is_finished() else None
        _, values = self._end_of(row)
        attributes = {"trial": number, "arm": row["arm"], "run_ids": list(row["run_ids"])}
        trial = create_trial(
            state=state,
            values=values if state == TrialState.COMPLETE else None,
            params=params,
            distributions=held,
            user_attrs=attributes | ({LINEAGE: lineage} if lineage else {}),
        )
        trial.datetime_start, trial.datetime_complete = began, ended
        self._ids[number] = self._storage.create_new_trial(self._study_id, trial)

    def _end(self, number: int) -> None:
        if self._storage is None:
            return
        state, values = self._end_of(self.table.rows[number])
        self._storage.set_trial_state_values(self._ids[number], state, values)

    def _end_of(self, row: Row) -> tuple[TrialState, list[float] | None]:
        """State and values of a row in Optuna's terms; what runs in no process any more has failed."""
        stored = row.get("values") or ([row["value"]] if row["value"] is not None else None)
        values = None if stored is None else tuple(stored)
        state = state_of(values, row["state"] in ("failed", "running"))
        return state, list(values) if values is not None and state == TrialState.COMPLETE else None

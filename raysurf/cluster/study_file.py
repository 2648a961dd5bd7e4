"""The study of a sweep as Optuna's own journal, for ``optuna-dashboard``: a copy of the tables, never the truth."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from raysurf.cluster.ledger import Ledger
from raysurf.cluster.study import directions, distributions, state_of
from raysurf.results.parts import LINEAGE
from raysurf.results.store import Store
from raysurf.sweep.holes import Each, labels
from raysurf.sweep.lineage import own_values

Row = Mapping[str, Any]
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
    """One Optuna study, named for its sweep, with a trial for every trial that has begun; all arms are in it.

    A journal that is missing, torn, of an earlier definition or at odds with the rows is written anew from them. What
    a killed driver left running is failed, and begins as another trial when it is run again. If the journal cannot be
    written, that is one warning, and the sweep goes on without.

    Args:
        ledger: The sweep's rows.
        warn: Given the warning.
    """

    def __init__(self, ledger: Ledger, warn: Callable[[str], None]) -> None:
        self.sweep, self.ledger, self.warn = ledger.sweep, ledger, warn
        self.path = study_path(ledger.store, ledger.sweep.name)
        self._ids: dict[int, int] = {}
        self._storage: JournalStorage | None = None
        self._study_id = 0
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._try(self._open)

    def begun(self, number: int) -> None:
        """A trial has a row."""
        self._try(lambda: self._add(number, TrialState.RUNNING))

    def ended(self, number: int) -> None:
        """A trial's row has its end."""
        self._try(lambda: self._end(number))

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
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
            found = {trial.user_attrs["trial"]: trial for trial in storage.get_all_trials(study_id, deepcopy=False)}
        except (OSError, KeyError, ValueError):
            # A torn journal is KeyError or ValueError, JSONDecodeError included.
            return False
        said = {number: (trial.state, trial.values) for number, trial in found.items()}
        if said != {number: self._end_of(row) for number, row in self.ledger.rows.items()}:
            return False
        self._storage, self._study_id = storage, study_id
        return True

    def _rewrite(self) -> None:
        """Write the journal aside from the rows, then put it in its place."""
        search = self.sweep.search
        assert search is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}")
        lines = _Lines()
        try:
            self._storage = JournalStorage(lines)
            study = optuna.create_study(
                storage=self._storage, study_name=self.sweep.name, directions=directions(search)
            )
            self._study_id = study._study_id
            study.set_user_attr("definition", self.sweep.digest)
            study.set_user_attr("metrics", list(search.metrics))
            # What Study.set_metric_names does, which warns that it is experimental.
            self._storage.set_study_system_attr(self._study_id, "study:metric_names", list(search.metrics))
            for number in sorted(self.ledger.rows):
                self._add(number, self._end_of(self.ledger.rows[number])[0])
            aside.write_text("".join(f"{json.dumps(log)}\n" for log in lines.logs))
            os.replace(aside, self.path)
        finally:
            aside.unlink(missing_ok=True)

    def _add(self, number: int, state: TrialState) -> None:
        """Add a trial as its row has it, in some state."""
        if self._storage is None:
            return
        row = self.ledger.rows[number]
        whole = self.ledger.params(number)
        params, lineage = own_values(whole), whole.get(LINEAGE)
        each = {name: hole for name, hole in self.sweep.parameters.items() if isinstance(hole, Each)}
        held = distributions(self.sweep.job, params)
        held |= {name: CategoricalDistribution(labels(each[name])) for name in params if name in each}
        began = row["started_at"].astimezone().replace(tzinfo=None)
        ended = began + timedelta(seconds=row["wall_s"] or 0.0) if state.is_finished() else None
        _, values = self._end_of(row)
        trial = FrozenTrial(
            number=-1,
            trial_id=-1,
            state=state,
            value=None,
            values=values if state == TrialState.COMPLETE else None,
            datetime_start=began,
            datetime_complete=ended,
            params=params,
            distributions=held,
            user_attrs={"trial": number, "arm": row["arm"], "run_ids": list(row["run_ids"])}
            | ({LINEAGE: lineage} if lineage else {}),
            system_attrs={},
            intermediate_values={},
        )
        self._ids[number] = self._storage.create_new_trial(self._study_id, trial)

    def _end(self, number: int) -> None:
        if self._storage is None:
            return
        state, values = self._end_of(self.ledger.rows[number])
        self._storage.set_trial_state_values(self._ids[number], state, values)

    def _end_of(self, row: Row) -> tuple[TrialState, list[float] | None]:
        """State and values of a row in Optuna's terms; what runs in no process any more has failed."""
        found = row.get("values") or ([row["value"]] if row["value"] is not None else None)
        values = None if found is None else tuple(found)
        state = state_of(values, row["state"] in ("failed", "running"))
        return state, list(values) if values is not None and state == TrialState.COMPLETE else None

"""Removing a sweep from a store: its trials, and all of its runs that nothing else needs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from raysurf.errors import StoreError, UnknownNameError
from raysurf.jobs.outcome import outcome_path
from raysurf.maintenance.inventory import Inventory, StoredFile, inventory
from raysurf.store.compaction import compact, remove_part
from raysurf.store.lease import EXPIRES_S, FOLDER, Holder, Lease, place, polled
from raysurf.store.schemas import SCHEMAS
from raysurf.store.store import Store

ALL = (0, 2**31)


@dataclass(frozen=True)
class Removal:
    """What is removed with a sweep.

    Args:
        sweep: Its name.
        trials: How many of its trials have a row.
        runs: Runs that go.
        kept: Runs of the sweep that stay, each with what needs it.
        files: Files that go, rows that were compacted aside.
        compacted_rows: Rows in compacted files that go.
    """

    sweep: str
    trials: int
    runs: tuple[str, ...]
    kept: dict[str, str]
    files: tuple[StoredFile, ...]
    compacted_rows: int

    @property
    def bytes(self) -> Counter[str]:
        """Bytes of the files by kind."""
        by_kind: Counter[str] = Counter()
        for file in self.files:
            by_kind[file.kind] += file.size
        return by_kind


def planned_removal(store: Store, sweep: str) -> Removal:
    """What would go with a sweep; changes nothing.

    A run of the sweep stays if another sweep ran it first, has it in a trial, or has a run that stands on it. That a
    sweep took a baseline or an input of this one as it was, without a run of its own on it, is not known; it is run
    again there if it is wanted.

    Raises:
        UnknownNameError: If there is no such sweep.
        StoreError: If the store cannot be read.
    """
    return _planned(inventory(store, SCHEMAS), sweep)


def remove_sweep(store: Store, sweep: str, tell: Callable[[str], None] = lambda text: None) -> Removal:
    """Remove a sweep. If that is broken off it is to be asked for again, and goes on.

    Nobody may run a sweep on the store at the time: it could be about to use runs of this one. Whoever begins one
    waits, if it is this one.

    Args:
        store: The store.
        sweep: Its name.
        tell: Given the one line that says what is being waited for.

    Returns:
        What was removed.

    Raises:
        UnknownNameError: If there is no such sweep.
        StoreError: If a sweep is being run, or the store cannot be read or written.
    """
    _planned(inventory(store, SCHEMAS), sweep)
    with ExitStack() as leases:
        leases.enter_context(_leased(store, f"sweep.{sweep}", tell))
        for name in _running(store) - {f"sweep.{sweep}"}:
            # Whoever is dead no longer counts; who lives is told of.
            leases.enter_context(_leased(store, name, tell))
        contents = inventory(store, SCHEMAS)
        plan = _planned(contents, sweep)
        for run in plan.runs:
            store.delete(outcome_path(run))
        tables = [table for table in SCHEMAS if table not in ("runs", "trials")]
        for path in [file.path for file in plan.files if file.kind != "tables"]:
            store.delete(path)
        gone = set(plan.runs)
        # Rows of runs and trials say what is to go, so they are the last.
        for table in (*tables, "runs"):
            for part in _parts(contents, table, gone):
                remove_part(store, table, part)
        for part in _trials(contents, sweep):
            remove_part(store, "trials", part)
        # Of one run, trajectory or sweep alone.
        for folder in {"/".join(file.path.split("/")[:2]) for file in plan.files if file.kind != "tables"}:
            # Of W&B's folders links to its logs may be left.
            if store.is_local and (folder.startswith("wandb/") or not store.list(folder)):
                store.delete_folder(folder)
        if plan.compacted_rows:
            compact(store, [table for table, files in contents.tables.items() if files.used])
    return plan


def _planned(contents: Inventory, sweep: str) -> Removal:
    if sweep not in contents.sweeps:
        raise UnknownNameError("sweep", sweep, contents.sweeps or ("none yet",))
    mine = {run for run, facts in contents.runs.items() if facts.sweep == sweep}
    mine |= contents.trials.get(sweep, frozenset()) - contents.runs.keys()
    needed: dict[str, str] = {}
    for other, runs in contents.trials.items():
        if other != sweep:
            needed |= {run: f"a trial of {other}" for run in runs}
    for run, facts in contents.runs.items():
        if facts.sweep != sweep:
            needed.setdefault(run, f"sweep {facts.sweep}")
    waiting = list(needed)
    while waiting:
        facts_of = contents.runs.get(run := waiting.pop())
        for needed_run in facts_of.inputs if facts_of else ():
            if needed_run not in needed:
                needed[needed_run] = f"{run} of {facts_of.sweep}" if facts_of else run
                waiting.append(needed_run)
    kept = {run: needed[run] for run in sorted(mine & needed.keys())}
    gone = mine - needed.keys()
    trajectories = {contents.runs[run].trajectory for run in gone if run in contents.runs} - {
        facts.trajectory for run, facts in contents.runs.items() if run not in gone
    }
    rows, paths = 0, set[str]()
    for table, files in contents.tables.items():
        for part in _trials(contents, sweep) if table == "trials" else _parts(contents, table, gone):
            rows += files.chosen[part].parts[part] if part in files.chosen else 0
            paths.add(f"tables/{table}/{part}.parquet")
    files_gone = [file for file in contents.files if file.path in paths or _is_of(file, sweep, gone, trajectories)]
    return Removal(sweep, len(_trials(contents, sweep)), tuple(sorted(gone)), kept, tuple(files_gone), rows)


def _parts(contents: Inventory, table: str, runs: set[str]) -> list[str]:
    return [part for part in contents.tables[table].parts if part.partition(".")[0] in runs]


def _trials(contents: Inventory, sweep: str) -> list[str]:
    return [part for part in contents.tables["trials"].parts if part.rpartition("-")[0] == sweep]


def _is_of(file: StoredFile, sweep: str, runs: set[str], trajectories: set[str | None]) -> bool:
    """Whether something else than a table's file is of a sweep, of one of some runs, or of one of some trajectories."""
    is_theirs = file.run in runs or (file.trajectory is not None and file.trajectory in trajectories)
    return file.kind != "tables" and (is_theirs or file.sweep == sweep)


def _running(store: Store) -> set[str]:
    """Names of the leases of all sweeps that are being run, or were when their process ended."""
    names = (name.removesuffix(".json").rpartition(".")[0] for name in store.versions(FOLDER))
    return {name for name in names if name.startswith("sweep.")}


def _leased(store: Store, name: str, tell: Callable[[str], None]) -> Lease:
    """The lease on a sweep, so that nobody runs it meanwhile.

    Raises:
        StoreError: If somebody runs it.
    """
    lease, began, is_told = Lease(store, name, "raysurf rm", ALL), time.monotonic(), False
    for holder in polled(lease.take):
        if holder is None:
            return lease
        if _is_alive(holder) or time.monotonic() - began > EXPIRES_S + 5.0:
            got = f"sweep {name.removeprefix('sweep.')}, which is being run by {holder}"
            raise StoreError(store.uri, got, "no sweep that runs, as it may use what is removed: wait for it or end it")
        if not is_told and time.monotonic() - began > 1.0:
            tell(f"waiting for a sign of life of {holder}")
            is_told = True
    raise AssertionError("it is polled for ever")


def _is_alive(holder: Holder) -> bool:
    """Whether a holder is known to run: its process is one of this machine."""
    return holder.place is not None and holder.place == place() and not holder.is_gone

"""Inventory of a store: which run or sweep each file is of, and how many bytes they take."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pyarrow import fs

from raysurf.errors import SpecError
from raysurf.jobs.parse import parse_job
from raysurf.results.reader import Reader
from raysurf.store.compacted import FOLDER as COMPACTED
from raysurf.store.schemas import SCHEMAS
from raysurf.store.store import Store
from raysurf.store.tables import TableFiles, look_at

KINDS = ("tables", "weights", "checkpoints", "predictions", "wandb", "other")
WANDB_RUN = re.compile(r"(?:offline-)?run-[0-9_]+-(?P<run>.+)-[0-9a-f]{6}")
# Rows of these belong to a sweep; those of all others to a run.
OF_SWEEPS = ("trials",)


@dataclass(frozen=True)
class StoredFile:
    """A file of a store.

    Args:
        path: In the store.
        size: Bytes.
        kind: One of ``KINDS``.
        run, trajectory, sweep: What it is of, if it is of one; of a compacted file nothing is said here.
    """

    path: str
    size: int
    kind: str = "other"
    run: str | None = None
    trajectory: str | None = None
    sweep: str | None = None


@dataclass(frozen=True)
class RunFacts:
    """What a store says of a run.

    Args:
        sweep: The sweep that ran it first.
        inputs: Runs that it used.
        trajectory: The training that it is a part of, if it is of one.
    """

    sweep: str
    inputs: tuple[str, ...]
    trajectory: str | None


@dataclass(frozen=True)
class Inventory:
    """All files of a store, and what it says of its runs and sweeps.

    Args:
        files: Every file.
        runs: By id.
        trials: Runs of every sweep's trials.
        tables: The files of every table.
    """

    files: tuple[StoredFile, ...]
    runs: Mapping[str, RunFacts]
    trials: Mapping[str, frozenset[str]]
    tables: Mapping[str, TableFiles] = field(default_factory=dict)

    @property
    def sweeps(self) -> list[str]:
        """Names of all sweeps, sorted."""
        return sorted({*self.trials, *(facts.sweep for facts in self.runs.values())})


def inventory(store: Store, tables: Iterable[str]) -> Inventory:
    """Look at everything in a store."""
    results = Reader(store)
    columns = ["run_id", "sweep", "inputs", "spec"]
    runs = {
        row["run_id"]: RunFacts(row["sweep"], tuple(row["inputs"] or ()), _trajectory(row["spec"]))
        for row in results.table("runs", columns).to_pylist()
    }
    trials: dict[str, set[str]] = {}
    for row in results.table("trials", ["sweep", "run_ids"]).to_pylist():
        trials.setdefault(row["sweep"], set()).update(row["run_ids"] or ())
    files = tuple(stored_file(path, size) for path, size in sorted(sizes(store).items()))
    seen = {table: look_at(store, table) for table in tables}
    return Inventory(files, runs, {name: frozenset(run_ids) for name, run_ids in trials.items()}, seen)


def sizes(store: Store, folder: str = "") -> dict[str, int]:
    """Bytes of every file under a folder of a store, by path; links that W&B makes to its logs, and Optuna as
    locks, are none.

    Raises:
        StoreError: If another link leads out of the store, or it cannot be read.
    """
    base, by_path = store.full(folder) if folder else store.root, dict[str, int]()
    if store.is_local:
        for inside, _, names in os.walk(base):
            for path in (f"{inside}/{name}"[len(store.root) + 1 :] for name in names):
                if path.startswith(("wandb/", "studies/")) and os.path.islink(f"{store.root}/{path}"):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    by_path[path] = os.stat(store.full(path)).st_size
        return by_path
    infos = store.fs.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=True))
    return {info.path[len(store.root) + 1 :]: info.size for info in infos if info.is_file}


def stored_file(path: str, size: int) -> StoredFile:
    """What a file is, by its path alone."""
    head, *rest = path.split("/")
    name = rest[-1] if rest else ""
    if head == "tables" and len(rest) == 2:
        part = name.removesuffix(".parquet")
        if rest[0] in OF_SWEEPS:
            return StoredFile(path, size, "tables", sweep=part.rpartition("-")[0])
        return StoredFile(path, size, "tables", run=part.partition(".")[0])
    if head == COMPACTED:
        return StoredFile(path, size, "tables")
    if head == "jobs" and len(rest) > 1:
        is_state, is_tensors = rest[1] == "checkpoint", name.endswith(".safetensors")
        kind = "checkpoints" if is_state else ("weights" if is_tensors else "other")
        return StoredFile(path, size, "predictions" if name == "predictions.safetensors" else kind, run=rest[0])
    if head == "trajectories" and len(rest) > 1:
        return StoredFile(path, size, "checkpoints", trajectory=rest[0])
    if head == "wandb":
        matched = WANDB_RUN.fullmatch(rest[0]) if rest else None
        return StoredFile(path, size, "wandb", run=matched["run"] if matched else None)
    if head in ("searches", "budgets") and len(rest) > 1:
        return StoredFile(path, size, sweep=rest[0])
    if head == "sweeps" and len(rest) == 1 and name.endswith(".json"):
        return StoredFile(path, size, sweep=unquote(name.removesuffix(".json")))
    if head == "studies" and name.endswith(".journal"):
        return StoredFile(path, size, sweep=name.removesuffix(".journal"))
    return StoredFile(path, size)


def _trajectory(spec: str) -> str | None:
    try:
        tree: dict[str, Any] = json.loads(spec)
        return parse_job(tree, look_up=False).trajectory
    except (SpecError, ValueError, TypeError, AttributeError, RecursionError):
        # A job of another version, or one that names what this machine lacks.
        return None


@dataclass(frozen=True)
class DiskUse:
    """What a sweep takes.

    Args:
        sweep: Its name; empty for what is of no sweep, such as runs that have not ended for the first time.
        runs: How many it ran first.
        bytes: By kind of thing, every one of ``KINDS``.
    """

    sweep: str
    runs: int
    bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.bytes.values())


def disk_use(store: Store) -> list[DiskUse]:
    """How many bytes each sweep takes: its trials, and all of the runs that it ran first.

    A compacted file counts for the runs in it, each by its share of the rows; a training state for one of the sweeps
    that share it.

    Returns:
        One a sweep, by name; then one without a name, if there is anything of no sweep.
    """
    contents = inventory(store, SCHEMAS)
    sweep_of = {run: facts.sweep for run, facts in contents.runs.items()}
    of_trajectory = {facts.trajectory: facts.sweep for facts in contents.runs.values() if facts.trajectory}
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*contents.sweeps, "")}
    rows = _rows_of_compacted(contents, sweep_of)
    for file in contents.files:
        if file.path in rows:
            for sweep, size in _split(file.size, rows[file.path]).items():
                counts[sweep if sweep in counts else ""]["tables"] += size
            continue
        owner = file.sweep or sweep_of.get(file.run or "") or of_trajectory.get(file.trajectory or "") or ""
        counts[owner if owner in counts else ""][file.kind] += file.size
    runs = Counter(sweep_of.values())
    uses = [DiskUse(name, runs[name], {kind: count[kind] for kind in KINDS}) for name, count in counts.items()]
    return sorted((use for use in uses if use.sweep or use.total), key=lambda use: (not use.sweep, use.sweep))


def _rows_of_compacted(contents: Inventory, sweep_of: Mapping[str, str]) -> dict[str, Counter[str]]:
    """By compacted file, and by its list, how many rows of it are of each sweep."""
    counts: dict[str, Counter[str]] = {}
    for table, files in contents.tables.items():
        for file in files.compacted:
            rows = counts[file.path] = counts[file.list_path] = Counter()
            for part, number in file.parts.items():
                of_run = sweep_of.get(part.partition(".")[0], "")
                rows[part.rpartition("-")[0] if table in OF_SWEEPS else of_run] += number
    return {path: rows for path, rows in counts.items() if rows.total()}


def _split(size: int, rows: Counter[str]) -> dict[str, int]:
    """Bytes by sweep in the proportion of their rows, none lost by rounding."""
    sizes, seen, total = {}, 0, rows.total()
    for sweep, number in rows.items():
        sizes[sweep] = size * (seen + number) // total - size * seen // total
        seen += number
    return sizes

"""Which run, trajectory or sweep each file of a store is of, and what kind of thing it is. It imports no torch."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pyarrow import fs

from raysurf.errors import SpecError
from raysurf.jobs.parse import parse_job
from raysurf.results.query import Results
from raysurf.results.store import Store
from raysurf.results.table_files import FOLDER as COMPACTED
from raysurf.results.table_files import TableFiles, look_at

KINDS = ("tables", "weights", "checkpoints", "predictions", "wandb", "other")
WANDB_RUN = re.compile(r"(?:offline-)?run-[0-9_]+-(?P<run>.+)-[0-9a-f]{6}")
# Rows of these belong to a sweep; those of all others to a run.
OF_SWEEPS = ("trials",)


@dataclass(frozen=True)
class Belonging:
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

    files: tuple[Belonging, ...]
    runs: Mapping[str, RunFacts]
    trials: Mapping[str, frozenset[str]]
    tables: Mapping[str, TableFiles] = field(default_factory=dict)

    @property
    def sweeps(self) -> list[str]:
        """Names of all sweeps, sorted."""
        return sorted({*self.trials, *(each.sweep for each in self.runs.values())})


def inventory(store: Store, tables: Iterable[str]) -> Inventory:
    """Look at everything in a store.

    Args:
        store: The store.
        tables: Names of its tables.

    Raises:
        StoreError: If it cannot be read.
    """
    results = Results(store)
    columns = ["run_id", "sweep", "inputs", "spec"]
    runs = {
        row["run_id"]: RunFacts(row["sweep"], tuple(row["inputs"] or ()), _trajectory(row["spec"]))
        for row in results.table("runs", columns).to_pylist()
    }
    trials: dict[str, set[str]] = {}
    for row in results.table("trials", ["sweep", "run_ids"]).to_pylist():
        trials.setdefault(row["sweep"], set()).update(row["run_ids"] or ())
    files = tuple(belonging(path, size) for path, size in sorted(sizes(store).items()))
    seen = {table: look_at(store, table) for table in tables}
    return Inventory(files, runs, {name: frozenset(each) for name, each in trials.items()}, seen)


def sizes(store: Store, folder: str = "") -> dict[str, int]:
    """Bytes of every file under a folder of a store, by path; links that W&B makes to its logs, and Optuna as
    locks, are none.

    Raises:
        StoreError: If another link leads out of the store, or it cannot be read.
    """
    base, found = store.full(folder) if folder else store.root, dict[str, int]()
    if store.is_local:
        for inside, _, names in os.walk(base):
            for path in (f"{inside}/{name}"[len(store.root) + 1 :] for name in names):
                if path.startswith(("wandb/", "studies/")) and os.path.islink(f"{store.root}/{path}"):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    found[path] = os.stat(store.full(path)).st_size
        return found
    infos = store.fs.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=True))
    return {info.path[len(store.root) + 1 :]: info.size for info in infos if info.is_file}


def belonging(path: str, size: int) -> Belonging:
    """What a file is, by its path alone."""
    head, *rest = path.split("/")
    name = rest[-1] if rest else ""
    if head == "tables" and len(rest) == 2:
        part = name.removesuffix(".parquet")
        if rest[0] in OF_SWEEPS:
            return Belonging(path, size, "tables", sweep=part.rpartition("-")[0])
        return Belonging(path, size, "tables", run=part.partition(".")[0])
    if head == COMPACTED:
        return Belonging(path, size, "tables")
    if head == "jobs" and len(rest) > 1:
        is_state, is_tensors = rest[1] == "checkpoint", name.endswith(".safetensors")
        kind = "checkpoints" if is_state else ("weights" if is_tensors else "other")
        return Belonging(path, size, "predictions" if name == "predictions.safetensors" else kind, run=rest[0])
    if head == "trajectories" and len(rest) > 1:
        return Belonging(path, size, "checkpoints", trajectory=rest[0])
    if head == "wandb":
        found = WANDB_RUN.fullmatch(rest[0]) if rest else None
        return Belonging(path, size, "wandb", run=found["run"] if found else None)
    if head in ("searches", "budgets") and len(rest) > 1:
        return Belonging(path, size, sweep=rest[0])
    if head == "sweeps" and len(rest) == 1 and name.endswith(".json"):
        return Belonging(path, size, sweep=unquote(name.removesuffix(".json")))
    if head == "studies" and name.endswith(".journal"):
        return Belonging(path, size, sweep=name.removesuffix(".journal"))
    return Belonging(path, size)


def _trajectory(spec: str) -> str | None:
    try:
        tree: dict[str, Any] = json.loads(spec)
        return parse_job(tree, look_up=False).trajectory
    except (SpecError, ValueError, TypeError, AttributeError, RecursionError):
        # A job of another version, or one that names what this machine lacks.
        return None

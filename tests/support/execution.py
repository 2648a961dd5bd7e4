"""Execution of jobs in this process, and the rows that they leave."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

from raysurf.jobs.context import Progress, StoreContext
from raysurf.jobs.execute import execute
from raysurf.jobs.job import Job
from raysurf.jobs.provenance import Labels, collect
from raysurf.store.store import Store
from raysurf.store.tables import part_names, read_rows
from raysurf.training.workers import Workers
from tests.support.cases import Killed

TIMES = {"point_s", "epoch_s", "wall_s", "device_s", "started_at"}


@functools.cache
def labels() -> Labels:
    return Labels("test", "trial", "arm", collect())


def do(job: Job, store: Store, progress: Any = lambda at: None) -> dict[str, float]:
    return execute(job, store, Workers(), progress, labels())


def context_of(job: Job, store: Store) -> StoreContext:
    """What a job sees of a store, without a listener."""
    return StoreContext(job, store, Workers(), lambda at: None)


def stores_with_inputs(job: Job, folder: Path, count: int) -> list[Store]:
    """So many stores that have what a job needs, trained once."""
    first = Store(str(folder / "store0"))
    for needed in job.ancestors:
        do(needed, first)
    others = [str(folder / f"store{number}") for number in range(1, count)]
    for other in others:
        if job.ancestors:
            shutil.copytree(folder / "store0", other)
    return [first, *map(Store, others)]


def same_outcome(job: Job, actual: Store, expected: Store) -> None:
    """Fail unless two stores have the same rows and files, and the same bytes of a job."""
    assert rows(actual) == rows(expected)
    names, others = ([path for path in store.list() if not path.startswith("tables/")] for store in (actual, expected))
    assert names == others
    for path in expected.list(f"jobs/{job.id}"):
        assert actual.get_bytes(path) == expected.get_bytes(path), path


def do_broken_off(job: Job, store: Store) -> set[int]:
    """Do a job that is broken off once at every epoch or point, and begun again each time; returns those places."""
    seen: set[int] = set()

    def stop(at: Progress) -> None:
        if at.epoch not in seen:
            seen.add(at.epoch)
            raise Killed

    for _ in range(30):
        try:
            do(job, store, stop)
            return seen
        except Killed:
            continue
    raise AssertionError(f"{job.id} was broken off at {sorted(seen)} and has not ended")


def rows(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Every row of a store, without what depends on the clock."""
    tables = {}
    for table in ("runs", "epochs", "predictions", "surface", "landmarks", "layers", "activations", "inputs"):
        every = [row for part in part_names(store, table) for row in read_rows(store, table, part)]
        tables[table] = [{k: v for k, v in row.items() if k not in TIMES} for row in every]
    return tables

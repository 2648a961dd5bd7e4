"""A store of two sweeps that share what they can, and what befalls a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import raysurf as rs
from raysurf.results import SCHEMAS
from raysurf.store.compaction import compact
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd


def sweep(name: str, *epochs: int) -> rs.Sweep:
    """Averages of some lengths from one network, which every such sweep shares."""
    job = rs.SWA(start=tiny_sgd(epochs=1), epochs=1, cycle_epochs=1, lr=0.05)
    return rs.Sweep(job.with_holes(epochs=rs.Each(epochs)), name=name)


def run_two_sweeps(root: Path) -> None:
    """The sweep ``first`` trains a network that ``second`` uses too; both run the average of two epochs."""
    for document in (sweep("first", 1, 2), sweep("second", 2, 3)):
        assert rs.run(document, str(root), executor="inline").failed == 0


def settle(store: Store) -> None:
    """Compact, and keep no file whose rows are elsewhere."""
    compact(store, grace_s=0)


def flipped(data: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def rows(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, in one order, without times."""
    results = rs.results.Results(store)
    times = ("started_at", "ended_at", "wall_s", "device_s", "epoch_s")
    every = {table: results.table(table).to_pylist() for table in SCHEMAS}
    kept = {
        table: [{k: v for k, v in row.items() if k not in times} for row in records] for table, records in every.items()
    }
    return {table: sorted(records, key=repr) for table, records in kept.items()}


def contents(store: Store) -> dict[str, bytes]:
    """Every file."""
    return {path: store.get_bytes(path) for path in store.list()}


def trained(sweep: rs.Sweep, store: Store) -> set[str]:
    """Jobs that are run when a sweep is run now."""

    def outcomes() -> dict[str, Any]:
        return {path.parent.name: path.stat().st_mtime_ns for path in Path(store.root).glob("jobs/*/outcome.json")}

    before = outcomes()
    assert rs.run(sweep, store.uri, executor="inline").failed == 0
    return {run for run, _ in outcomes().items() - before.items()}


def run_ids(store: Store, name: str) -> set[str]:
    """Runs that a sweep ran first."""
    return {row["run_id"] for row in rs.results.open(store.uri).table("runs").to_pylist() if row["sweep"] == name}

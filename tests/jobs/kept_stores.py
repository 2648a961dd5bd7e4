"""A store of two sweeps that share what they can, and what befalls a store."""

from __future__ import annotations

from pathlib import Path

import raysurf as rs
from raysurf.results.compaction import compact
from raysurf.results.store import Store
from tests.cases import tiny_sgd


def sweep(name: str, *epochs: int) -> rs.Sweep:
    """Averages of some lengths from one network, which every such sweep shares."""
    job = rs.SWA(start=tiny_sgd(epochs=1), epochs=1, cycle_epochs=1, lr=0.05)
    return rs.Sweep(job.with_holes(epochs=rs.Each(epochs)), name=name)


def run_two_sweeps(root: Path) -> None:
    """The sweep ``first`` trains a network that ``second`` uses too; both run the average of two epochs."""
    for each in (sweep("first", 1, 2), sweep("second", 2, 3)):
        assert rs.run(each, str(root), executor="inline").failed == 0


def settle(store: Store) -> None:
    """Compact until every row is in a compacted file alone."""
    for _ in range(3):
        compact(store, grace_s=0)


def flipped(data: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]

"""How many bytes each sweep of a store takes, by what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from raysurf.jobs.belongings import KINDS, OF_SWEEPS, Inventory, inventory
from raysurf.results.schemas import SCHEMAS
from raysurf.results.store import Store
from raysurf.results.table_files import FOLDER


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

    Args:
        store: The store.

    Returns:
        One a sweep, by name; then one without a name, if there is anything of no sweep.

    Raises:
        StoreError: If the store cannot be read.
    """
    found = inventory(store, SCHEMAS)
    sweep_of = {run: facts.sweep for run, facts in found.runs.items()}
    of_trajectory = {facts.trajectory: facts.sweep for facts in found.runs.values() if facts.trajectory}
    counts: dict[str, Counter[str]] = {name: Counter() for name in found.sweeps}
    shares = _of_compacted(found, sweep_of)
    for file in found.files:
        if file.path in shares:
            for sweep, part in shares[file.path].items():
                counts.setdefault(sweep, Counter())["tables"] += round(file.size * part)
            continue
        owner = file.sweep or sweep_of.get(file.run or "") or of_trajectory.get(file.trajectory or "") or ""
        counts.setdefault(owner if owner in found.sweeps else "", Counter())[file.kind] += file.size
    runs = Counter(sweep_of.values())
    uses = [DiskUse(name, runs[name], {kind: count[kind] for kind in KINDS}) for name, count in counts.items()]
    return sorted(uses, key=lambda use: (not use.sweep, use.sweep))


def _of_compacted(found: Inventory, sweep_of: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """The share of each sweep in every compacted file."""
    shares: dict[str, dict[str, float]] = {}
    for table, files in found.tables.items():
        for file in files.compacted:
            rows: Counter[str] = Counter()
            for part, entry in file.parts.items():
                of_run = sweep_of.get(part.partition(".")[0], "")
                rows[part.rpartition("-")[0] if table in OF_SWEEPS else of_run] += entry.rows
            if file.num_rows:
                shares[f"{FOLDER}/{table}/{file.id}.parquet"] = {s: n / file.num_rows for s, n in rows.items()}
    return shares

"""How many bytes each sweep of a store takes, by what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from raysurf.jobs.belongings import KINDS, OF_SWEEPS, Inventory, inventory
from raysurf.results.schemas import SCHEMAS
from raysurf.results.store import Store


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
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*found.sweeps, "")}
    rows = _rows_of_compacted(found, sweep_of)
    for file in found.files:
        if file.path in rows:
            for sweep, size in _split(file.size, rows[file.path]).items():
                counts[sweep if sweep in counts else ""]["tables"] += size
            continue
        owner = file.sweep or sweep_of.get(file.run or "") or of_trajectory.get(file.trajectory or "") or ""
        counts[owner if owner in counts else ""][file.kind] += file.size
    runs = Counter(sweep_of.values())
    uses = [DiskUse(name, runs[name], {kind: count[kind] for kind in KINDS}) for name, count in counts.items()]
    return sorted((use for use in uses if use.sweep or use.total), key=lambda use: (not use.sweep, use.sweep))


def _rows_of_compacted(found: Inventory, sweep_of: Mapping[str, str]) -> dict[str, Counter[str]]:
    """By compacted file, and by its list, how many rows of it are of each sweep."""
    counts: dict[str, Counter[str]] = {}
    for table, files in found.tables.items():
        for file in files.compacted:
            rows = counts[file.path] = counts[file.list_path] = Counter()
            for part, entry in file.parts.items():
                of_run = sweep_of.get(part.partition(".")[0], "")
                rows[part.rpartition("-")[0] if table in OF_SWEEPS else of_run] += entry.rows
    return {path: rows for path, rows in counts.items() if rows.total()}


def _split(size: int, rows: Counter[str]) -> dict[str, int]:
    """Bytes by sweep in the proportion of their rows, none lost by rounding."""
    found, seen, total = {}, 0, rows.total()
    for sweep, number in rows.items():
        found[sweep] = size * (seen + number) // total - size * seen // total
        seen += number
    return found

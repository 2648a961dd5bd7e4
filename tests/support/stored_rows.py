"""The rows of a store without what depends on the clock, to be compared with those of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.store.schemas import SCHEMAS
from raysurf.store.store import Store

CLOCK = ("started_at", "wall_s", "device_s", "epoch_s", "point_s", "command")
# What depends on the process besides: where it was started, and how many share its work.
PROCESS = ("git_commit", "git_dirty", "workers")
TABLES = ("runs", "trials", "epochs", "predictions")
KEYS = {
    "runs": ("run_id",),
    "trials": ("sweep", "trial"),
    "epochs": ("run_id", "epoch", "weights", "scheme"),
    "predictions": ("run_id", "weights", "scheme", "num_samples", "split"),
    "surface": ("run_id", "point", "split"),
    "landmarks": ("run_id", "landmark"),
    "layers": ("run_id", "layer"),
    "activations": ("run_id", "layer", "neuron", "label", "low"),
    "inputs": ("run_id", "origin", "point", "layer"),
}


def stored_rows(uri: str, *tables: str) -> dict[str, list[str]]:
    """By table (these, or ``TABLES``) the rows of a store, in one order."""
    results = rs.results.open(uri)
    every = {table: results.table(table).to_pylist() for table in tables or TABLES}
    return {
        table: sorted(repr({k: v for k, v in row.items() if k not in CLOCK}) for row in records)
        for table, records in every.items()
    }


def check_undisturbed(uri: str, calm: str, rel: float = 0.0) -> None:
    """Check that a store that was disturbed holds what an undisturbed one does, of every table, no row twice.

    Figures, and all that jobs have kept (outcomes, weights, states), are the same to the last bit.

    Args:
        uri: The store that was disturbed.
        calm: The undisturbed one.
        rel: If not 0, metrics may differ by this share of theirs, and what jobs have kept is left alone: where sums
            were taken in another order, as in a group of workers.
    """
    # Of metrics as JSON there is no being near.
    left = (*CLOCK, *PROCESS, *(("metrics",) if rel else ()))
    for table, keys in KEYS.items():
        actual, expected = (_by_key(root, table, keys, left) for root in (uri, calm))
        assert actual.keys() == expected.keys(), table
        for key, row in expected.items():
            assert actual[key] == {name: _near(value, rel) for name, value in row.items()}, (table, key)
    if rel == 0:
        ours, theirs = _kept(uri), _kept(calm)
        assert sorted(ours) == sorted(theirs)
        assert [path for path, data in ours.items() if data != theirs[path]] == []


def _by_key(uri: str, table: str, keys: tuple[str, ...], left: tuple[str, ...]) -> dict[tuple[Any, ...], Any]:
    rows = rs.results.open(uri).table(table).to_pylist()
    keyed = {tuple(row[key] for key in keys): row for row in rows}
    assert len(keyed) == len(rows), f"rows of {table} are doubled"
    return {key: {name: value for name, value in row.items() if name not in left} for key, row in keyed.items()}


def _near(value: Any, rel: float) -> Any:
    return pytest.approx(value, rel=rel, abs=rel) if rel and isinstance(value, float) else value


def _kept(uri: str) -> dict[str, bytes]:
    """All that jobs have kept, by path."""
    store = Store(uri)
    files = {path: store.get_bytes(path) for folder in ("jobs", "trajectories") for path in store.list(folder)}
    # The note of a state has the times of the epochs before it.
    return {path: data for path, data in files.items() if not path.startswith("trajectories") or ".json" not in path}


assert KEYS.keys() == SCHEMAS.keys()


def table_rows(root: Path, table: str = "trials") -> list[dict[str, Any]]:
    """A table's rows; those of trials in order."""
    rows = rs.results.open(str(root)).table(table).to_pylist()
    return sorted(rows, key=lambda row: row["trial"] if table == "trials" else row["run_id"])

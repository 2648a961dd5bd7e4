"""Stores with rows of ``epochs``, and what every reader sees of them."""

from __future__ import annotations

from typing import Any

from raysurf.results import open
from raysurf.store.store import Store
from raysurf.store.tables import part_names, parts_of_run, read_rows, rows_of_run, write_rows

RUN = {
    "sweep": "s",
    "role": "trial",
    "kind": "sgd",
    "arm": "sgd",
    "model": "m",
    "data": "d",
    "seed": 0,
    "epochs": 1.0,
    "params": "{}",
    "spec": "{}",
    "inputs": [],
    "status": "done",
    "metrics": "{}",
    "versions": "{}",
    "command": "",
}


def epoch(run_id: str, number: int = 1, **more: Any) -> dict[str, Any]:
    return {"run_id": run_id, "epoch": number, "weights": "iterate", "lr": 0.1, "epoch_s": 1.0, **more}


def rows_of_version(part: str, version: int) -> list[dict[str, Any]]:
    """The rows of a part when it is written for the n-th time; their number, too, depends on that."""
    return [epoch(part.partition(".")[0], number, lr=float(version)) for number in range(1, 2 + version % 3)]


def end(store: Store, *run_ids: str) -> None:
    """Write what says that runs have ended, on a bucket that they are done."""
    for run_id in run_ids:
        write_rows(store, "runs", run_id, [RUN | {"run_id": run_id, "group": run_id}])
        if not store.is_local:
            store.put_json(f"jobs/{run_id}/outcome.json", {"figures": {}})


def filled(uri: str, parts: int = 6) -> Store:
    """A store with some parts of ``epochs``, whose runs have ended."""
    store = Store(uri)
    for name in (f"run-{number}" for number in range(parts)):
        write_rows(store, "epochs", name, rows_of_version(name, int(name[4:])))
        end(store, name)
    return store


def seen(store: Store) -> dict[str, list[float]]:
    """The learning rates of every run of ``epochs``, of which all kinds of readers see the same."""

    def key(row: dict[str, Any]) -> tuple[str, int]:
        return row["run_id"], row["epoch"]

    results = open(store.uri, strict=True)
    whole = sorted(results.table("epochs").to_pylist(), key=key)
    parts = part_names(store, "epochs")
    runs = {part.partition(".")[0] for part in parts}
    for other in (
        results.sql("select * from epochs").to_pylist(),
        results.sql("create temp table t as select * from epochs; select * from t").to_pylist(),
        [row for part in parts for row in read_rows(store, "epochs", part)],
        [row for run in runs for row in rows_of_run(store, "epochs", run)],
    ):
        assert sorted(other, key=key) == whole
    assert len({key(row) for row in whole}) == len(whole)
    assert sorted(part for run in runs for part in parts_of_run(store, "epochs", run)) == parts
    return {run: [row["lr"] for row in whole if row["run_id"] == run] for run in sorted({key(row)[0] for row in whole})}


def files(store: Store, folder: str = "") -> list[str]:
    """Paths of the Parquet files of ``epochs``."""
    return [path for path in store.list(folder) if "/epochs/" in path and path.endswith(".parquet")]

"""Rows of tables, stores that hold them, and what every reader sees of these."""

from __future__ import annotations

import json
from typing import Any

from raysurf.results import open
from raysurf.store.store import Store
from raysurf.store.tables import part_names, parts_of_run, read_rows, rows_of_run, write_rows

Row = dict[str, Any]


def run(run_id: str, spec: Row | None = None, **columns: Any) -> Row:
    """A row of ``runs``."""
    kind = run_id.partition("-")[0]
    row: Row = {"run_id": run_id, "kind": kind, "arm": kind, "group": kind, "spec": json.dumps(spec or {"kind": kind})}
    row |= {"sweep": "study", "trial": 0, "role": "trial", "status": "done", "command": "raysurf run study.yaml"}
    row |= {"model": "vgg16", "data": "cifar10", "seed": 0, "budget": 1.0, "epochs": 0.0, "inputs": []}
    return row | {"params": "{}", "metrics": "{}", "versions": "{}"} | columns


def trial(sweep: str, number: int = 0, **columns: Any) -> Row:
    """A row of ``trials``."""
    row: Row = {"sweep": sweep, "trial": number, "definition": "d", "arm": "sgd", "params": "{}", "run_ids": []}
    return row | {"seeds": [], "metric": "", "mode": "", "state": "done"} | columns


def prediction(run_id: str, scheme: str, num_samples: int, accuracy: float, **columns: Any) -> Row:
    """A row of ``predictions``."""
    row: Row = {"run_id": run_id, "weights": "final", "scheme": scheme, "num_samples": num_samples, "split": "test"}
    row |= {"accuracy": accuracy, "nll": 0.1, "brier": 1.0 - accuracy, "ece": 0.01, "num_examples": 10_000}
    return row | {"batchnorm": "fixed"} | columns


def epoch(run_id: str, number: int = 1, **more: Any) -> Row:
    return {"run_id": run_id, "epoch": number, "weights": "iterate", "lr": 0.1, "epoch_s": 1.0, **more}


def rows_of_version(part: str, version: int) -> list[Row]:
    """The rows of a part when it is written for the n-th time; their number, too, depends on that."""
    return [epoch(part.partition(".")[0], number, lr=float(version)) for number in range(1, 2 + version % 3)]


def end(store: Store, *run_ids: str) -> None:
    """Write what says that runs have ended, on a bucket that they are done."""
    for run_id in run_ids:
        write_rows(store, "runs", run_id, [run(run_id)])
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

    def key(row: Row) -> tuple[str, int]:
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

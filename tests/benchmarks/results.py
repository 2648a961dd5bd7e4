"""The store at size, beside DuckDB on one file and a bare write: ``python -m tests.benchmarks.results``.

A store of 2,000 runs of 500 epochs, before it is compacted and after.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raysurf.results import SCHEMAS, open
from raysurf.store.compaction import compact
from raysurf.store.parts import file_of
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.benchmarks.rounds import Timed, in_turns, is_quick, seconds, tell
from tests.support.stores import end

EPOCHS, WRITERS, WRITES = 500, 8, 25
SCHEMA = SCHEMAS["epochs"]
QUERY = "select weights, epoch, avg(test_nll), avg(train_loss) from {} group by all"


def main() -> None:
    """Print a line for each figure."""
    quick = is_quick()
    runs, rounds = (200, 1) if quick else (2000, 15)
    with tempfile.TemporaryDirectory() as folder:
        _append(folder, rounds * 10)
        _writers(folder)
        root, single = f"{folder}/store", f"{folder}/single.parquet"
        _fill(root, single, runs)
        store = Store(root)
        means = _means(root, single)
        _tell("results/mean/before_compaction", means, 10.0, rounds)
        compact(store)
        assert not store.list("tables/epochs")
        _tell("results/mean/compacted", means, 1.5, rounds)
        _one_run(root, rounds)
    _import(rounds)


def rows_of(run_ids: list[str]) -> pa.Table:
    """Random rows of runs, as an ``epochs`` table."""
    count, random = len(run_ids) * EPOCHS, np.random.default_rng(len(run_ids))
    given = {
        "run_id": pa.array(np.repeat(run_ids, EPOCHS).tolist(), pa.string()),
        "epoch": pa.array(np.tile(np.arange(1, EPOCHS + 1), len(run_ids)), pa.int32()),
        "weights": pa.array(["iterate"] * count),
    }
    null = ("kl", "scheme", "skipped")
    columns = [
        given[field.name]
        if field.name in given
        else (pa.nulls(count, field.type) if field.name in null else pa.array(random.random(count)))
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def run_id(number: int) -> str:
    """The id of the n-th run."""
    return f"sgd-{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def _fill(root: str, single: str, runs: int) -> None:
    """A store of many runs, and one file of the same rows."""
    store, ids = Store(root), [run_id(number) for number in range(runs)]
    whole = rows_of(ids)
    pq.write_table(whole, single)
    for number, run in enumerate(ids):
        store.put_bytes(f"tables/epochs/{run}.parquet", file_of(whole.slice(number * EPOCHS, EPOCHS)))
    end(store, *ids)


def _means(root: str, single: str) -> dict[str, Timed]:
    """Opening and grouped means over all rows: of ours, and of DuckDB on the single file."""

    def ours() -> None:
        assert open(root).sql(QUERY.format("epochs")).num_rows == EPOCHS

    def peer() -> None:
        assert duckdb.sql(QUERY.format(f"'{single}'")).to_arrow_table().num_rows == EPOCHS

    return {"ours": partial(seconds, ours), "peer": partial(seconds, peer)}


def _tell(figure: str, timed: Mapping[str, Timed], target: float, rounds: int) -> None:
    times = in_turns(timed, rounds)
    tell(figure, times["ours"], times["peer"], unit="s", better="lower", target=target)


def _one_run(root: str, rounds: int) -> None:
    """The rows of one run, over all rows."""
    wanted = run_id(77)

    def one() -> None:
        assert open(root).table("epochs", where=f"run_id = '{wanted}'").num_rows == EPOCHS

    def every() -> None:
        assert open(root).table("epochs").num_rows >= 200 * EPOCHS

    timed = {"ours": partial(seconds, one), "peer": partial(seconds, every)}
    _tell("results/one_run_over_full_scan", timed, 1 / 20, rounds)


def _append(folder: str, rounds: int) -> None:
    """Writing one run's rows, over a bare write of the same rows."""
    rows = rows_of([run_id(0)])
    store, bare = Store(f"{folder}/append"), Path(folder, "bare")
    bare.mkdir()
    records = rows.to_pylist()

    def peer() -> None:
        pq.write_table(pa.Table.from_pylist(records, schema=SCHEMA), bare / "x.parquet")

    timed = {
        "ours": partial(seconds, lambda: write_rows(store, "epochs", run_id(0), records)),
        "peer": partial(seconds, peer),
        "arrow": partial(seconds, lambda: pq.write_table(rows, bare / "y.parquet")),
    }
    times = in_turns(timed, rounds)
    tell("results/append/over_write_of_rows", times["ours"], times["peer"], unit="s", better="lower", target=None)
    tell("results/append/over_write_of_table", times["ours"], times["arrow"], unit="s", better="lower", target=2.0)


def _write(root: str, name: int) -> None:
    store, rows = Store(root), rows_of([run_id(name)]).to_pylist()
    for number in range(WRITES):
        part = run_id(1000 * name + number)
        write_rows(store, "epochs", part, [row | {"run_id": part} for row in rows])
        end(store, part)


def _writers(folder: str) -> None:
    """Rows that are lost when eight processes write at once while a ninth compacts."""
    root = f"{folder}/writers"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(root, name)) for name in range(WRITERS)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        compact(Store(root), grace_s=0.5)
    assert all(writer.exitcode == 0 for writer in writers)
    counts = open(root).sql("select count(*) as n, count(distinct (run_id, epoch)) as m from epochs").to_pylist()[0]
    wanted = WRITERS * WRITES * EPOCHS
    line = {"figure": "results/writers/rows_lost", "value": wanted - counts["m"], "doubled": counts["n"] - counts["m"]}
    print(json.dumps({**line, "target": 0, "met": counts == {"n": wanted, "m": wanted}, "rows": wanted}), flush=True)


def _import(rounds: int) -> None:
    """Importing ``raysurf.results``, over what it stands on."""

    def took(statement: str) -> float:
        # A folder without files of ours, so that nothing is found by chance.
        command = [sys.executable, "-c", statement]
        return seconds(lambda: subprocess.run(command, check=True, env={**os.environ}))

    timed = {"ours": partial(took, "import raysurf.results"), "peer": partial(took, "import pyarrow.dataset, duckdb")}
    _tell("results/import", timed, 1.3, rounds)


if __name__ == "__main__":
    main()

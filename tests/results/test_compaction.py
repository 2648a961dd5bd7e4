"""Compaction: the same rows for every reader, whatever happens beside it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raysurf.store.compaction as compaction
from raysurf.errors import StoreError, StoreWarning
from raysurf.results import SCHEMAS, open
from raysurf.store.compaction import compact, remove_part
from raysurf.store.lease import Claim
from raysurf.store.store import Store
from raysurf.store.tables import look_at, part_names, parts_of_run, read_rows, rows_of_run, write_rows
from tests.results.compacted_stores import compact_for_ever, rows_of_version, write_for_ever
from tests.s3_server import make_bucket

PROCESSES = multiprocessing.get_context("spawn")


def filled(uri: str, parts: int = 6) -> Store:
    """A store with some parts of ``epochs``."""
    store = Store(uri)
    for i in range(parts):
        write_rows(store, "epochs", f"run-{i}", rows_of_version(f"run-{i}", i))
    return store


def seen(store: Store) -> dict[str, list[Any]]:
    """What every kind of reader sees of ``epochs``; they must agree."""
    results = open(store.uri, strict=True)
    whole = sorted(results.table("epochs").to_pylist(), key=_key)
    by_sql = sorted(results.sql("select * from epochs").to_pylist(), key=_key)
    explained = results.sql("create temp table t as select * from epochs; select * from t").to_pylist()
    by_part = [row for part in part_names(store, "epochs") for row in read_rows(store, "epochs", part)]
    by_run = [
        row
        for run in {part.partition(".")[0] for part in part_names(store, "epochs")}
        for row in rows_of_run(store, "epochs", run)
    ]
    for other in (by_sql, explained, by_part, by_run):
        assert sorted(other, key=_key) == whole
    assert len({_key(row) for row in whole}) == len(whole)
    return {"parts": sorted({row["run_id"] for row in whole}), "rows": whole}


def _key(row: dict[str, Any]) -> tuple[str, int]:
    return row["run_id"], row["epoch"]


def files(store: Store, folder: str = "") -> list[str]:
    """Names of the Parquet files of ``epochs``."""
    return [path for path in store.list(folder) if "/epochs/" in path and path.endswith(".parquet")]


def test_readers_see_the_same_rows_at_every_step(tmp_path: Path) -> None:
    """Before compaction, with the parts' files still there, without them, and after they were merged again."""
    store = filled(str(tmp_path))
    write_rows(store, "epochs", "run-9.4", [row | {"run_id": "run-9"} for row in rows_of_version("run-9.4", 4)])
    before = seen(store)
    (done,) = compact(store, grace_s=3600)
    assert (done.parts, done.rows, done.waiting, done.removed) == (7, len(before["rows"]), 7, 0)
    assert len(files(store)) == 8 and seen(store) == before
    (done,) = compact(store, grace_s=0)
    assert (done.parts, done.removed, done.waiting) == (0, 7, 0)
    assert len(files(store)) == 1 and seen(store) == before
    assert parts_of_run(store, "epochs", "run-9") == ["run-9.4"]
    write_rows(store, "epochs", "run-7", rows_of_version("run-7", 1))
    after = seen(store)
    for _ in range(3):
        compact(store, grace_s=0)
    assert len(files(store)) == 1 and seen(store) == after
    assert open(store.uri).table("epochs").schema.equals(SCHEMAS["epochs"])
    assert (
        pq.read_schema(tmp_path / files(store)[0]).field("lr").metadata[b"meaning"]
        == b"learning rate of the epoch's last step"
    )


@pytest.mark.parametrize("grace_s", [0.0, 3600.0])
def test_newer_versions_win(grace_s: float, tmp_path: Path) -> None:
    """A part that is written again after it was compacted, or is removed, is seen as it is now, at every step after."""
    store = filled(str(tmp_path))
    for _ in range(2):
        compact(store, grace_s=grace_s)
    write_rows(store, "epochs", "run-2", rows_of_version("run-2", 50))
    remove_part(store, "epochs", "run-3")
    remove_part(store, "epochs", "never")
    for _ in range(4):
        now = seen(store)
        assert now["parts"] == ["run-0", "run-1", "run-2", "run-4", "run-5"]
        assert [row["lr"] for row in read_rows(store, "epochs", "run-2")] == [50.0] * 3
        assert read_rows(store, "epochs", "run-3") == []
        compact(store, grace_s=grace_s)
    assert part_names(store, "epochs") == now["parts"] or grace_s
    write_rows(store, "epochs", "run-3", rows_of_version("run-3", 7))
    for _ in range(3):
        assert [row["lr"] for row in read_rows(store, "epochs", "run-3")] == [7.0, 7.0] and len(
            seen(store)["parts"]
        ) == 6
        compact(store, grace_s=grace_s)


def test_a_few_stale_rows_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups without stale rows are read as they are, others without them."""
    monkeypatch.setattr(compaction, "ROW_GROUP", 4)
    store = filled(str(tmp_path), 20)
    for _ in range(2):
        compact(store, grace_s=0)
    path = tmp_path / files(store)[0]
    assert pq.ParquetFile(path).num_row_groups > 5
    write_rows(store, "epochs", "run-11", rows_of_version("run-11", 90))
    assert len(seen(store)["parts"]) == 20
    found = open(store.uri).sql("select distinct lr from epochs where run_id = 'run-11'").to_pylist()
    assert found == [{"lr": 90.0}]


def test_files_are_cut_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large table becomes several files, and a full one is not written again for a few new rows."""
    monkeypatch.setattr(compaction, "MOST_ROWS", 6)
    store = filled(str(tmp_path), 12)
    before = seen(store)
    for _ in range(2):
        compact(store, grace_s=0)
    full = files(store)
    assert len(full) == 4 and seen(store) == before
    write_rows(store, "epochs", "run-99", rows_of_version("run-99", 0))
    for _ in range(2):
        compact(store, grace_s=0)
    assert set(full) < set(files(store)) and len(files(store)) == 5 and len(seen(store)["parts"]) == 13


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    """Parts that are not to be compacted stay as they are."""
    store = filled(str(tmp_path))
    for _ in range(2):
        compact(store, includes=lambda table, part: part in ("run-1", "run-4"), grace_s=0)
    assert [path.rpartition("/")[2] for path in files(store, "tables")] == [f"run-{i}.parquet" for i in (0, 2, 3, 5)]
    assert len(seen(store)["parts"]) == 6


def test_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second compaction says who is at it; a first one that was frozen meanwhile gives up, and nothing is lost."""
    store = filled(str(tmp_path))
    before = seen(store)
    with Claim(store, "compact.epochs", "somebody") as claim:
        assert claim.take() is None
        (done,) = compact(store)
        assert "somebody" in done.held_by and not store.list("compact")
    written = Store.put_json

    def frozen(self: Store, path: str, value: Any) -> None:
        # As a process does that sleeps here for longer than claims live: its claim is gone, another one compacts.
        monkeypatch.undo()
        for each in self.list("claims"):
            self.delete(each)
        compact(Store(str(tmp_path)), grace_s=0)
        written(self, path, value)

    def reads(self: Any, path: str, num_rows: int) -> None:
        frozen(store, "claims/unused.json", {})

    monkeypatch.setattr(compaction._Compactor, "_require_rows", reads)
    with pytest.raises(StoreError, match="a second compaction of epochs"):
        compact(store, grace_s=0)
    compact(store, grace_s=0)
    assert seen(store) == before and len(files(store)) == 1


def test_a_part_that_is_written_while_it_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written between the last look at a file and its removal stays, and what is written after that wins."""
    store = filled(str(tmp_path))
    compact(store, grace_s=3600)
    moved, again = os.rename, iter((True, False))

    def rename(path: str, aside: str) -> None:
        if "run-2" in path:
            write_rows(store, "epochs", "run-2", rows_of_version("run-2", 70))
        moved(path, aside)
        if "run-2" in path and next(again):
            write_rows(store, "epochs", "run-2", rows_of_version("run-2", 71))

    monkeypatch.setattr(os, "rename", rename)
    compact(store, grace_s=0)
    assert {row["lr"] for row in read_rows(store, "epochs", "run-2")} == {71.0}
    compact(store, grace_s=0)
    assert {row["lr"] for row in read_rows(store, "epochs", "run-2")} == {70.0} and len(seen(store)["parts"]) == 6


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_writers_compactions_and_readers_at_once(tmp_path: Path) -> None:
    """Of parts that three processes write again and again while two compact, the last version is there, once.

    Compactions and writers are killed in the middle. Every reader sees, at any moment, whole versions alone.
    """
    root = str(tmp_path)
    store = filled(root, 3)
    # Without a lock, which a killed writer would keep.
    counts = {name: PROCESSES.RawArray("i", 2 * 5) for name in "abc"}

    def start(target: Callable[..., None], *arguments: Any) -> Any:
        process = PROCESSES.Process(target=target, args=(root, *arguments))
        process.start()
        return process

    writers = {name: start(write_for_ever, name, counts[name]) for name in counts}
    compactors = [start(compact_for_ever, 0.05) for _ in range(2)]
    try:
        _until(lambda: len(part_names(store, "epochs")) >= 12 and bool(store.list("compact")))
        for number in range(1, 31):
            rows = open(root).table("epochs", ["run_id", "epoch", "lr"]).to_pylist()
            held = {run: [row for row in rows if row["run_id"] == run] for run in {row["run_id"] for row in rows}}
            assert {f"run-{i}" for i in range(3)} <= held.keys()
            for run, each in held.items():
                if not run.startswith("run-"):
                    expected = rows_of_version(run, int(each[0]["lr"]))
                    assert sorted((row["epoch"], row["lr"]) for row in each) == [
                        (r["epoch"], r["lr"]) for r in expected
                    ]
            if number % 5 == 0:
                victim = number // 5 % 2
                os.kill(compactors[victim].pid, signal.SIGKILL)
                compactors[victim].join()
                compactors[victim] = start(compact_for_ever, 0.05)
    finally:
        for process in (*writers.values(), *compactors):
            os.kill(process.pid, signal.SIGKILL)
            process.join()
    for path in store.list("claims"):
        store.delete(path)
    for _ in range(4):
        found = {part: read_rows(store, "epochs", part) for part in part_names(store, "epochs")}
        for name, times in counts.items():
            for at in range(5):
                begun, done = times[2 * at], times[2 * at + 1]
                if begun == abs(done):
                    rows = [] if done < 0 else rows_of_version(f"{name}-{at}", done)
                    got = [(row["epoch"], row["lr"]) for row in found.get(f"{name}-{at}", [])]
                    assert got == [(row["epoch"], row["lr"]) for row in rows], (name, at, done)
        seen(store)
        compact(store, grace_s=0)
    assert len(files(store)) <= 2


def test_what_a_killed_compaction_left_is_put_right(tmp_path: Path) -> None:
    """A file that was moved aside comes back if it is newer than what was compacted; rows without a list go."""
    store = filled(str(tmp_path))
    compact(store, grace_s=3600)
    write_rows(store, "epochs", "run-1", rows_of_version("run-1", 80))
    for part in ("run-1", "run-2"):
        os.rename(tmp_path / f"tables/epochs/{part}.parquet", tmp_path / f"compact/epochs/{part}.aside")
    store.put_bytes("compact/epochs/000007-feed.parquet", b"begun")
    compact(store, grace_s=3600)
    assert store.exists("tables/epochs/run-1.parquet") and not store.exists("tables/epochs/run-2.parquet")
    assert [row["lr"] for row in read_rows(store, "epochs", "run-1")] == [80.0] * 3 and len(seen(store)["parts"]) == 6
    compact(store, grace_s=0)
    assert len([path for path in store.list("compact") if not path.endswith((".json", ".parquet"))]) == 0
    assert not store.exists("compact/epochs/000007-feed.parquet")


def test_files_that_cannot_be_read_are_left_alone(tmp_path: Path) -> None:
    """They are named, stay where they are, and others are compacted; a compacted one that broke is named as well."""
    store = filled(str(tmp_path))
    store.put_bytes("tables/epochs/bad.parquet", b"PAR1nothing")
    (done,) = compact(store, grace_s=0)
    assert done.skipped == ["tables/epochs/bad.parquet"] and done.parts == 6
    assert store.exists("tables/epochs/bad.parquet")
    store.delete("tables/epochs/bad.parquet")
    path = next(path for path in files(store) if path.startswith("compact/"))
    for breaks in (lambda: store.put_bytes(path, b"PAR1" + b"\xff" * 99 + b"PAR1"), lambda: store.delete(path)):
        breaks()
        with pytest.warns(StoreWarning, match="0 parts are in no other file"):
            assert len(set(open(store.uri).table("epochs")["run_id"].to_pylist())) == 6
        with pytest.raises(StoreError, match="a file of epochs that cannot be read"):
            open(store.uri, strict=True).table("epochs")


def test_a_wrong_byte_is_not_written_on(tmp_path: Path) -> None:
    """Rows of a compacted file that is not what was written stay where they are; others are compacted without them."""
    store = filled(str(tmp_path))
    for _ in range(2):
        compact(store, grace_s=0)
    (path,) = files(store)
    data = store.get_bytes(path)
    wrong = data[: len(data) // 3] + bytes([data[len(data) // 3] ^ 1]) + data[len(data) // 3 + 1 :]
    store.put_bytes(path, wrong)
    write_rows(store, "epochs", "run-9", rows_of_version("run-9", 1))
    for _ in range(2):
        (done,) = compact(store, grace_s=0)
        assert done.skipped == [path]
    assert store.get_bytes(path) == wrong
    assert len(files(store)) == 2
    store.put_bytes(path, data)
    assert len(seen(store)["parts"]) == 7
    compact(store, grace_s=0)
    assert len(seen(store)["parts"]) == 7


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"version": 1, "sha256": "", "parts": []}',
        b'{"version": 1, "sha256": "", "parts": {"run-0": [1, 2]}}',
        b'{"version": 1, "sha256": "", "parts": {"run-0": ["1", 2, 3, 4, ""]}}',
    ],
)
def test_a_list_that_is_none(said: bytes, tmp_path: Path) -> None:
    """What it listed is not seen, and it is named; the rest of the table is read, and compacted."""
    store = filled(str(tmp_path))
    store.put_bytes("compact/epochs/000009-feed.json", said)
    with pytest.warns(StoreWarning, match=r"compact/epochs/000009-feed.json cannot be read"):
        assert len(set(open(store.uri).table("epochs")["run_id"].to_pylist())) == 6
    with pytest.warns(StoreWarning, match=r"000009-feed.json"):
        (done,) = compact(store)
    assert done.parts == 6


def test_other_programs_read_compacted_files(tmp_path: Path) -> None:
    """They hold every row once when nothing waits to be removed, with a column more that says of which part it is."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    store = filled(str(tmp_path))
    for version in (50, 51):
        for _ in range(3):
            compact(store, grace_s=0)
        write_rows(store, "epochs", "run-2", rows_of_version("run-2", version))
        remove_part(store, "epochs", "run-1")
    for _ in range(3):
        compact(store, grace_s=0)
    expected = [(row["run_id"], row["run_id"], row["lr"]) for row in seen(store)["rows"]]
    folder = f"{tmp_path}/compact/epochs"
    found = duckdb.sql(f"select _part, run_id, lr from '{folder}/*.parquet'").fetchall()
    assert sorted(found) == expected
    columns = ["_part", "run_id", "lr"]
    # The lists of what is in them lie beside them.
    names = sorted(str(path) for path in Path(folder).glob("*.parquet"))
    for table in (
        pa.concat_tables([pq.read_table(name, columns=columns) for name in names]),
        pa.Table.from_pandas(pandas.concat([pandas.read_parquet(name, columns=columns) for name in names])),
        polars.read_parquet(f"{folder}/*.parquet", columns=columns).to_arrow(),
    ):
        assert sorted(tuple(row[name] for name in columns) for row in table.to_pylist()) == expected


def test_on_s3(port: int) -> None:
    """On a bucket, too: what is older than some seconds, and own files go when their job is done."""
    store = filled(make_bucket(port, "compacted"))
    before = seen(store)
    (done,) = compact(store, grace_s=0)
    assert (done.parts, done.waiting) == (0, 0) and seen(store) == before
    time.sleep(compaction.SETTLED_S + 1)
    (done,) = compact(store, grace_s=0)
    assert (done.parts, done.waiting) == (6, 6) and seen(store) == before
    store.put_json("jobs/run-1/outcome.json", {"figures": {}})
    write_rows(store, "epochs", "run-2", rows_of_version("run-2", 50))
    remove_part(store, "epochs", "run-3")
    now = seen(store)
    time.sleep(compaction.SETTLED_S + 1)
    for _ in range(2):
        compact(store, grace_s=0)
        assert seen(store) == now and now["parts"] == ["run-0", "run-1", "run-2", "run-4", "run-5"]
    assert not store.exists("tables/epochs/run-1.parquet") and store.exists("tables/epochs/run-0.parquet")
    assert len(look_at(store, "epochs").compacted) == 1

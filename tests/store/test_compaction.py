"""Compaction: the same rows for every reader, whatever happens beside it."""

from __future__ import annotations

import hashlib
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

import raysurf as rs
import raysurf.store.compaction as compaction
from raysurf.errors import StoreError, StoreWarning
from raysurf.results import SCHEMAS, open
from raysurf.store.compaction import compact, remove_part, tidy
from raysurf.store.lease import Lease
from raysurf.store.store import Store
from raysurf.store.tables import look_at, part_names, parts_of_run, read_rows, write_rows
from tests.support.cases import tiny_sgd
from tests.support.compacted_stores import compact_for_ever, write_for_ever
from tests.support.s3_server import make_bucket
from tests.support.stores import end, epoch, files, filled, rows_of_version, seen, trial

PROCESSES = multiprocessing.get_context("spawn")


def compacted(store: Store, **options: Any) -> compaction.Compaction:
    """What comes of compacting ``epochs``."""
    (done,) = compact(store, ["epochs"], **options)
    return done


def test_readers_see_the_same_rows_at_every_step(tmp_path: Path) -> None:
    """Before compaction, after it, beside replaced files that wait, and after merging; in the written schema."""
    store = filled(str(tmp_path))
    write_rows(store, "epochs", "run-9.4", rows_of_version("run-9.4", 4))
    end(store, "run-9")
    before = seen(store)
    done = compacted(store)
    assert (done.parts, done.rows, done.removed, done.waiting) == (7, sum(map(len, before.values())), 7, 0)
    assert len(files(store)) == 1 and seen(store) == before and parts_of_run(store, "epochs", "run-9") == ["run-9.4"]
    write_rows(store, "epochs", "run-7", rows_of_version("run-7", 1))
    end(store, "run-7")
    after = seen(store)
    assert (compacted(store).waiting, len(files(store))) == (1, 2) and seen(store) == after
    assert (compacted(store, grace_s=0).removed, len(files(store))) == (1, 1) and seen(store) == after
    schema = pq.read_schema(tmp_path / files(store)[0])
    assert schema.field("lr").metadata[b"meaning"] == b"learning rate of the epoch's last step"
    assert open(store.uri).table("epochs").schema.equals(SCHEMAS["epochs"])


def test_what_runs_is_left_alone(tmp_path: Path) -> None:
    """Rows of runs and trials that have not ended, and those that are not asked for, stay as they are."""
    store = filled(str(tmp_path))
    write_rows(store, "epochs", "run-9", [epoch("run-9")])
    for number, state in enumerate(("done", "running", "failed")):
        write_rows(store, "trials", f"s-{number:06d}", [trial("s", number, state=state)])
    compact(store, includes=lambda table, part: part not in ("run-1", "run-4"))
    assert [path.rpartition("/")[2][:-8] for path in files(store, "tables")] == ["run-1", "run-4", "run-9"]
    assert len(seen(store)) == 7
    assert store.list("tables/trials") == ["tables/trials/s-000001.parquet"]
    assert open(store.uri).table("trials", ["state"]).to_pylist() == [
        {"state": s} for s in ("running", "done", "failed")
    ]


@pytest.mark.parametrize("grace_s", [0.0, 3600.0])
def test_newer_versions_win(grace_s: float, tmp_path: Path) -> None:
    """A part that is written again after it was compacted, or is removed, is seen as it is now, at every step after."""
    store = filled(str(tmp_path))
    compacted(store, grace_s=grace_s)
    write_rows(store, "epochs", "run-2", rows_of_version("run-2", 50))
    for part in ("run-3", "never"):
        remove_part(store, "epochs", part)
    for number in range(4):
        now = seen(store)
        assert list(now) == ["run-0", "run-1", "run-2", "run-4", "run-5"] and now["run-2"] == [50.0] * 3
        assert read_rows(store, "epochs", "run-3") == []
        assert number == 0 or part_names(store, "epochs") == list(now)
        compacted(store, grace_s=grace_s)
    write_rows(store, "epochs", "run-3", rows_of_version("run-3", 7))
    for _ in range(3):
        assert seen(store)["run-3"] == [7.0, 7.0] and len(seen(store)) == 6
        compacted(store, grace_s=grace_s)


def test_stores_of_the_second_version(tmp_path: Path) -> None:
    """Compacted files whose lists say versions of own files, which may still be there, are read and compacted."""
    store = filled(str(tmp_path))
    marks = store.versions("tables/epochs")
    own = {path: store.get_bytes(path) for path in store.list("tables/epochs")}
    compacted(store)
    (path,) = (path for path in store.list("compact") if path.endswith(".json"))
    said = store.get_json(path)
    parts = {
        part: [*marks[f"{part}.parquet"], rows, hashlib.sha256(own[f"tables/epochs/{part}.parquet"]).hexdigest()]
        for part, rows in said["parts"].items()
    }
    store.put_json(path, said | {"version": 2, "parts": parts | {"run-8": [1, 2, 3, 0, ""]}})
    expected = {f"run-{number}": [float(number)] * (1 + number % 3) for number in range(6)}
    assert seen(store) == expected and "run-8" not in part_names(store, "epochs")
    # Two of them wait to be removed, another has been written again since.
    for part in ("run-1", "run-2"):
        store.put_bytes(f"tables/epochs/{part}.parquet", own[f"tables/epochs/{part}.parquet"])
    write_rows(store, "epochs", "run-4", rows_of_version("run-4", 60))
    expected["run-4"] = [60.0]
    for _ in range(2):
        assert seen(store) == expected
        compacted(store, grace_s=0)
    assert len(files(store)) == 1 and seen(store) == expected


def test_row_groups_and_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few stale rows of a large file are left out; a large table becomes several files, and full ones stay."""
    monkeypatch.setattr(compaction, "ROW_GROUP", 4)
    store = filled(str(tmp_path / "groups"), 20)
    compacted(store)
    assert pq.ParquetFile(tmp_path / "groups" / files(store)[0]).num_row_groups > 5
    write_rows(store, "epochs", "run-11", rows_of_version("run-11", 90))
    assert len(seen(store)) == 20 and seen(store)["run-11"] == [90.0]
    monkeypatch.setattr(compaction, "MOST_ROWS", 6)
    store = filled(str(tmp_path / "sizes"), 12)
    before = seen(store)
    compacted(store)
    full = files(store)
    assert len(full) == 4 and seen(store) == before
    write_rows(store, "epochs", "run-99", rows_of_version("run-99", 0))
    end(store, "run-99")
    compacted(store)
    assert set(full) < set(files(store)) and len(files(store)) == 5 and len(seen(store)) == 13


def test_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second compaction says who is at it; a first one that was frozen meanwhile gives up, and nothing is lost."""
    store = filled(str(tmp_path))
    before = seen(store)
    with Lease(store, "compact.epochs", "somebody") as lease:
        assert lease.take() is None
        assert "somebody" in compacted(store).held_by and not store.list("compact")

    def frozen(self: Any, path: str, num_rows: int) -> None:
        # As a process does that sleeps here for longer than leases live: its lease is gone, another one compacts.
        monkeypatch.undo()
        for claim in store.list("claims"):
            store.delete(claim)
        compact(Store(store.uri), grace_s=0)

    monkeypatch.setattr(compaction._Compactor, "_require_rows", frozen)
    with pytest.raises(StoreError, match="a second compaction of epochs"):
        compacted(store)
    compacted(store)
    assert seen(store) == before and len(files(store)) == 1


def test_a_part_that_is_written_while_it_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written between the last look at a file and its removal stays, and what is written after that wins."""
    store, moved, again = filled(str(tmp_path)), os.rename, iter((True, False))

    def rename(path: str, aside: str) -> None:
        if "run-2" in path:
            write_rows(store, "epochs", "run-2", rows_of_version("run-2", 70))
        moved(path, aside)
        if "run-2" in path and next(again):
            write_rows(store, "epochs", "run-2", rows_of_version("run-2", 71))

    monkeypatch.setattr(os, "rename", rename)
    for expected in (71.0, 70.0):
        compacted(store, grace_s=0)
        assert set(seen(store)["run-2"]) == {expected} and len(seen(store)) == 6


def test_writers_compactions_and_readers_at_once(tmp_path: Path) -> None:
    """While three write, two compact and some are killed, readers see whole versions, and at the end the last."""
    root = str(tmp_path)
    store = filled(root, 3)
    end(store, *(f"{name}-{at}" for name in "abc" for at in range(5)))
    # Without a lock, which a killed writer would keep.
    counts = {name: PROCESSES.RawArray("i", 2 * 5) for name in "abc"}

    def start(target: Callable[..., None], *arguments: Any) -> Any:
        process = PROCESSES.Process(target=target, args=(root, *arguments))
        process.start()
        return process

    def lists(rows: list[dict[str, Any]], run: str) -> list[tuple[int, float]]:
        return sorted((row["epoch"], row["lr"]) for row in rows if row["run_id"] == run)

    writers = {name: start(write_for_ever, name, counts[name]) for name in counts}
    compactors = [start(compact_for_ever, 0.05) for _ in range(2)]
    try:
        deadline = time.monotonic() + 60
        while len(part_names(store, "epochs")) < 12 or not store.list("compact"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for number in range(1, 31):
            rows = open(root).table("epochs", ["run_id", "epoch", "lr"]).to_pylist()
            held = {row["run_id"]: row["lr"] for row in rows}
            assert {f"run-{i}" for i in range(3)} <= held.keys()
            for run, version in held.items():
                assert lists(rows, run) == lists(rows_of_version(run, int(version)), run)
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
        by_part = {part: read_rows(store, "epochs", part) for part in part_names(store, "epochs")}
        for name, times in counts.items():
            for part, begun, done in ((f"{name}-{at}", times[2 * at], times[2 * at + 1]) for at in range(5)):
                if begun == abs(done):
                    rows = [] if done < 0 else rows_of_version(part, done)
                    assert lists(by_part.get(part, []), part) == lists(rows, part), (part, done)
        seen(store)
        compacted(store, grace_s=0)
    assert len(files(store)) <= 2


def test_what_a_killed_compaction_left_is_put_right(tmp_path: Path) -> None:
    """A file that was moved aside comes back, unless a newer one has come; rows without a list go."""
    store = filled(str(tmp_path))
    own = store.get_bytes("tables/epochs/run-2.parquet")
    compacted(store)
    write_rows(store, "epochs", "run-1", rows_of_version("run-1", 80))
    store.put_bytes("compact/epochs/run-2.aside", own)
    store.put_bytes("compact/epochs/run-1.aside", own)
    store.put_bytes("compact/epochs/000007-feed.parquet", b"begun")
    compacted(store, includes=lambda table, part: False)
    assert store.get_bytes("tables/epochs/run-2.parquet") == own
    assert seen(store)["run-1"] == [80.0] * 3 and len(seen(store)) == 6
    compacted(store, grace_s=0)
    assert [path.rpartition(".")[2] for path in store.list("compact/epochs")] == ["json", "parquet"]


def test_files_that_cannot_be_read_are_left_alone(tmp_path: Path) -> None:
    """They are named, stay where they are, and others are compacted; a compacted one that broke is named as well."""
    store = filled(str(tmp_path))
    end(store, "bad")
    store.put_bytes("tables/epochs/bad.parquet", b"PAR1nothing")
    done = compacted(store)
    assert done.skipped == ["tables/epochs/bad.parquet"] and done.parts == 6
    store.delete("tables/epochs/bad.parquet")
    (path,) = files(store)
    data = store.get_bytes(path)
    wrong = data[: len(data) // 3] + bytes([data[len(data) // 3] ^ 1]) + data[len(data) // 3 + 1 :]
    store.put_bytes(path, wrong)
    write_rows(store, "epochs", "run-9", rows_of_version("run-9", 1))
    end(store, "run-9")
    for _ in range(2):
        assert compacted(store, grace_s=0).skipped == [path]
    assert store.get_bytes(path) == wrong and len(files(store)) == 2
    for breaks in (lambda: store.put_bytes(path, b"PAR1" + b"\xff" * 99 + b"PAR1"), lambda: store.delete(path)):
        breaks()
        with pytest.warns(StoreWarning, match="6 parts are in no other file"):
            assert open(store.uri).table("epochs")["run_id"].unique().to_pylist() == ["run-9"]
        with pytest.raises(StoreError, match="a file of epochs that cannot be read"):
            open(store.uri, strict=True).table("epochs")
    store.put_bytes(path, data)
    for _ in range(2):
        assert len(seen(store)) == 7
        compacted(store)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"version": 1, "sha256": "", "parts": []}',
        b'{"version": 1, "sha256": "", "parts": {"run-0": [1, 2]}}',
        b'{"version": 1, "sha256": "", "parts": {"run-0": [1, 2, 3, "4", ""]}}',
        b'{"version": 1, "sha256": "", "parts": {"run-0": "4"}}',
    ],
)
def test_a_list_that_is_none(said: bytes, tmp_path: Path) -> None:
    """What it listed is not seen, and it is named; the rest of the table is read, and compacted."""
    store = filled(str(tmp_path))
    store.put_bytes("compact/epochs/000009-feed.json", said)
    with pytest.warns(StoreWarning, match=r"compact/epochs/000009-feed.json cannot be read"):
        assert len(set(open(store.uri).table("epochs")["run_id"].to_pylist())) == 6
    with pytest.warns(StoreWarning, match=r"000009-feed.json"):
        assert compacted(store).parts == 6


def test_other_programs_read_compacted_files(tmp_path: Path) -> None:
    """They hold every row once when nothing waits to be removed, with a column more that says of which part it is."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    store = filled(str(tmp_path))
    for version in (50, 51):
        compacted(store, grace_s=0)
        write_rows(store, "epochs", "run-2", rows_of_version("run-2", version))
        remove_part(store, "epochs", "run-1")
    compacted(store, grace_s=0)
    expected = sorted((run, run, lr) for run, rates in seen(store).items() for lr in rates)
    folder, columns = f"{tmp_path}/compact/epochs", ["_part", "run_id", "lr"]
    assert sorted(duckdb.sql(f"select _part, run_id, lr from '{folder}/*.parquet'").fetchall()) == expected
    # The lists of what is in them lie beside them.
    names = sorted(str(path) for path in Path(folder).glob("*.parquet"))
    for table in (
        pa.concat_tables([pq.read_table(name, columns=columns) for name in names]),
        pa.Table.from_pandas(pandas.concat([pandas.read_parquet(name, columns=columns) for name in names])),
        polars.read_parquet(f"{folder}/*.parquet", columns=columns).to_arrow(),
    ):
        assert sorted(tuple(row[name] for name in columns) for row in table.to_pylist()) == expected


def test_on_s3(port: int) -> None:
    """On a bucket own files of done runs go, and of trials whose sweep nobody runs; others stay as they are."""
    store = filled(make_bucket(port, "compacted"))
    write_rows(store, "epochs", "run-9", [epoch("run-9")])
    for sweep in ("ended", "runs"):
        write_rows(store, "trials", f"{sweep}-000000", [trial(sweep)])
    before = seen(store)
    with Lease(store, "sweep.runs", "") as lease:
        assert lease.take() is None
        compact(store, ["epochs", "trials"])
    assert seen(store) == before
    assert store.list("tables/trials") == ["tables/trials/runs-000000.parquet"]
    assert files(store, "tables") == ["tables/epochs/run-9.parquet"]
    write_rows(store, "epochs", "run-2", rows_of_version("run-2", 50))
    remove_part(store, "epochs", "run-3")
    now = seen(store)
    for _ in range(2):
        compacted(store, grace_s=0)
        assert seen(store) == now and list(now) == ["run-0", "run-1", "run-2", "run-4", "run-5", "run-9"]
    assert not store.exists("tables/epochs/run-2.parquet")
    assert len(look_at(store, "epochs").compacted) == 1


def test_tables_of_many_files_are_tidied(tmp_path: Path) -> None:
    """Only those, and unless somebody else is at it; a store that cannot be compacted is told of, and whole."""
    store, notices = filled(str(tmp_path), 4), list[str]()
    tidy(store, notices.append, many=4)
    with Lease(store, "compact.epochs", "another") as lease:
        assert lease.take() is None
        tidy(store, notices.append, many=3)
    assert not notices and not store.list("compact/epochs")
    (tmp_path / "compact" / "epochs").write_text("in the way")
    tidy(store, notices.append, many=3)
    assert len(notices) == 1 and notices[0].endswith("later: raysurf compact") and len(seen(store)) == 4
    (tmp_path / "compact" / "epochs").unlink()
    tidy(store, notices.append, many=3)
    assert len(notices) == 1 and len(store.list("compact/epochs")) == 2 and len(seen(store)) == 4


def test_a_run_leaves_its_store_tidy(tmp_path: Path) -> None:
    """In a store of hundreds of runs a sweep ends with few files; run again, it does nothing."""
    store = filled(str(tmp_path), 260)
    sweep = rs.Sweep(tiny_sgd(epochs=1), name="tidy")
    assert rs.run(sweep, store.uri, executor="inline").failed == 0
    assert len(files(store)) == 1
    epochs = open(store.uri).table("epochs")
    assert len({*epochs["run_id"].to_pylist()}) == 261
    rs.run(sweep, store.uri, executor="inline")
    assert open(store.uri).table("epochs").equals(epochs)

"""The store: whole files or none, one schema for every reader."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raysurf.errors import StoreError, UnknownNameError
from raysurf.results import SCHEMAS, open
from raysurf.store.store import Store
from raysurf.store.tables import part_names, read_rows, write_rows
from tests.support.stores import epoch


def test_nothing_is_made_before_the_first_write(tmp_path: Path) -> None:
    """Opening, checking and reading a store leave no trace."""
    store = Store(str(tmp_path / "a" / "b"))
    store.check_writable()
    assert read_rows(store, "epochs", "x") == []
    assert part_names(store, "epochs") == store.list() == []
    assert not list(tmp_path.iterdir())


def test_a_part_is_replaced_whole(tmp_path: Path) -> None:
    """Writing a part again leaves its new rows alone; other parts stay."""
    store = Store(str(tmp_path))
    write_rows(store, "epochs", "a", [epoch("a", i) for i in range(3)])
    write_rows(store, "epochs", "b", [epoch("b")])
    write_rows(store, "epochs", "a", [epoch("a", 7, test_nll=0.5)])
    assert [row["epoch"] for row in read_rows(store, "epochs", "a")] == [7]
    assert part_names(store, "epochs") == ["a", "b"]
    assert not os.listdir(tmp_path / "_tmp")


def test_a_replaced_part_is_read_anew(tmp_path: Path) -> None:
    """SQL in one process sees a part's rows as they are, however often it is replaced and whatever its time."""
    store, results = Store(str(tmp_path)), None
    for number in range(1, 40):
        write_rows(store, "epochs", "a", [epoch("a", number + i) for i in range(1 + number % 3)])
        if number % 2:
            long_ago = time.time() - 3600 + number
            os.utime(tmp_path / "tables" / "epochs" / "a.parquet", (long_ago, long_ago))
        results = results or open(str(tmp_path))
        for _ in range(2):
            rows = results.sql("select min(epoch) as first, count(*) as rows from epochs").to_pylist()
            assert rows == [{"first": number, "rows": 1 + number % 3}]


def test_every_reader_sees_the_same_rows(tmp_path: Path) -> None:
    """pyarrow, DuckDB, pandas and our own query agree, with the written schema."""
    store = Store(str(tmp_path))
    for i in range(5):
        write_rows(store, "epochs", f"r-{i}", [epoch(f"r-{i}", n, validation_nll=n / 7) for n in range(4)])
    ours = open(str(tmp_path)).table("epochs").sort_by([("run_id", "ascending"), ("epoch", "ascending")])
    plain = pq.read_table(tmp_path / "tables" / "epochs").sort_by([("run_id", "ascending"), ("epoch", "ascending")])
    assert ours.schema.equals(SCHEMAS["epochs"])
    assert plain.to_pylist() == ours.to_pylist()
    files = f"{tmp_path}/tables/epochs/*.parquet"
    by_duckdb = duckdb.sql(f"select * from read_parquet('{files}', union_by_name=true) order by run_id, epoch")
    assert by_duckdb.to_arrow_table().to_pylist() == ours.to_pylist()
    assert open(str(tmp_path)).to_pandas("epochs")["validation_nll"].sum() == pytest.approx(5 * 6 / 7)


def test_older_files_give_nulls(tmp_path: Path) -> None:
    """A file that lacks a column reads as null in it, and one of more columns does not break the reader."""
    folder = tmp_path / "tables" / "epochs"
    folder.mkdir(parents=True)
    write_rows(Store(str(tmp_path)), "epochs", "new", [epoch("new", test_nll=0.5)])
    old = pa.Table.from_pylist([epoch("old")]).cast(pa.schema([SCHEMAS["epochs"].field(n) for n in epoch("old")]))
    pq.write_table(old, folder / "old.parquet")
    got = {row["run_id"]: row["test_nll"] for row in open(str(tmp_path)).table("epochs").to_pylist()}
    assert got == {"new": 0.5, "old": None}


def _write_for_ever(root: str) -> None:
    store = Store(root)
    for i in range(100000):
        write_rows(store, "epochs", f"r-{i % 20}", [epoch(f"r-{i % 20}", n) for n in range(i % 50 + 1)])


def test_killed_writer_leaves_no_torn_file(tmp_path: Path) -> None:
    """After SIGKILLs in mid-write every file in the tables can be read, by others too."""
    for _ in range(8):
        writer = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(str(tmp_path),))
        writer.start()
        while not (tmp_path / "tables" / "epochs").exists():
            time.sleep(0.01)
        time.sleep(0.05)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert pq.read_table(tmp_path / "tables" / "epochs").num_rows > 0
        assert duckdb.sql(f"select count(*) from '{tmp_path}/tables/epochs/*.parquet'").fetchall()[0][0] > 0


def test_old_leftovers_are_swept(tmp_path: Path) -> None:
    """What a killed writer left more than an hour ago is removed at the first write; newer things stay."""
    (tmp_path / "_tmp").mkdir()
    for name, age in (("old", 7200), ("new", 60)):
        (tmp_path / "_tmp" / name).write_text("x")
        os.utime(tmp_path / "_tmp" / name, (time.time() - age,) * 2)
    Store(str(tmp_path)).put_bytes("a", b"")
    assert os.listdir(tmp_path / "_tmp") == ["new"]


def test_files_in_flight_outlive_a_fast_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is two hours ahead of the disk's leaves alone what others write just now."""
    (tmp_path / "_tmp").mkdir()
    (tmp_path / "_tmp" / "anothers").write_text("x")
    ahead = time.time() + 7200
    monkeypatch.setattr("time.time", lambda: ahead)
    Store(str(tmp_path)).put_bytes("a", b"")
    assert os.listdir(tmp_path / "_tmp") == ["anothers"]


@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        (
            lambda s: write_rows(s, "epochs", "a", [{"run_id": "a"}]),
            StoreError,
            "no \\['epoch', 'epoch_s', 'lr', 'weights'\\]",
        ),
        (
            lambda s: write_rows(s, "epochs", "a", [epoch("a", foo=1)]),
            StoreError,
            "unknown \\['foo'\\]; expected columns run_id",
        ),
        (lambda s: write_rows(s, "epochs", "a", [epoch("a", "x")]), StoreError, "values of the table's schema"),
        (lambda s: write_rows(s, "epoch", "a", []), UnknownNameError, "did you mean 'epochs'"),
        (lambda s: s.get_bytes("nope"), StoreError, "no nope"),
        (lambda s: s.put_bytes("", b"x"), StoreError, "a path within the store"),
        (lambda s: s.put_bytes("a/../../x", b"x"), StoreError, "a path within the store"),
        (lambda s: open(s.uri), StoreError, "no tables; expected a store that a sweep has written"),
    ],
)
def test_bad_use_is_refused(act: Any, kind: type[Exception], said: str, tmp_path: Path) -> None:
    """Each mistake names what was got and what was expected."""
    with pytest.raises(kind, match=said):
        act(Store(str(tmp_path)))


def test_unwritable_place_is_told(tmp_path: Path) -> None:
    """A file where the folder should be is an error at once."""
    (tmp_path / "file").write_text("x")
    for place in ("file", "file/below"):
        with pytest.raises(StoreError, match="a folder"):
            Store(str(tmp_path / place)).check_writable()
    with pytest.raises(StoreError, match="expected a folder, or an address"):
        Store("gopher://x")


def test_queries_name_what_there_is(tmp_path: Path) -> None:
    """A wrong column, table, condition or sweep is answered with the existing ones; SQL cannot reach files."""
    write_rows(Store(str(tmp_path)), "epochs", "a", [epoch("a")])
    results = open(str(tmp_path))
    assert results.tables() == ["epochs"]
    assert results.table("runs").num_rows == 0
    assert results.table("epochs", ["lr"], "epoch = 1").to_pylist() == [{"lr": 0.1}]
    assert results.sql("select count(*) as n from epochs join runs using (run_id)").to_pylist() == [{"n": 0}]
    with pytest.raises(StoreError, match="no column 'foo' in epochs; expected one of run_id, epoch"):
        results.table("epochs", ["foo"])
    with pytest.raises(StoreError, match=r"SQL over runs; trials; epochs"):
        results.sql("select * from nothing")
    with pytest.raises(UnknownNameError, match="unknown sweep: got 'x'; expected one of none yet"):
        results.best("x")
    with pytest.raises(StoreError, match="disabled"):
        results.sql(f"copy epochs to '{tmp_path}/stolen.csv'")


def test_every_column_has_a_meaning() -> None:
    """Each field of each schema says what it means, and each schema its version."""
    for name, schema in SCHEMAS.items():
        assert schema.metadata[b"raysurf.table"].decode() == name
        assert all(field.metadata and field.metadata[b"meaning"] for field in schema)


def test_a_wrong_byte_is_never_a_wrong_value(tmp_path: Path) -> None:
    """Wherever a byte before the footer is another, the file is refused or says what it said."""
    store, path = Store(str(tmp_path)), "tables/epochs/a.parquet"
    write_rows(store, "epochs", "a", [epoch("a") | {"epoch": number, "lr": 0.1 * number} for number in range(20)])
    data, rows = store.get_bytes(path), read_rows(store, "epochs", "a")
    refused = 0
    for at in range(4, len(data) - 8 - int.from_bytes(data[-8:-4], "little")):
        store.put_bytes(path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            assert read_rows(store, "epochs", "a") == rows, at
        except StoreError:
            refused += 1
    assert refused > len(rows) * 8


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("select count(*) as n from epochs;", 3),
        ("from epochs select count(*) as n", 3),
        ("-- how many\nselect count(*) as n from epochs", 3),
        ("with a as (select lr from epochs) select count(*) as n from a", 3),
        ("WITH a as (select 1 as n), epochs as (select 7 as n) select epochs.n from epochs, a", 7),
        ("with recursive a(n) as (select 1 union all select n + 1 from a where n < 5) select max(n) as n from a", 5),
        ("with recursive a(n) as (select 1), b as (select epoch from epochs) select sum(epoch) as n from b, a", 6),
        ("select count(*) as n from epochs a join epochs b on a.epoch < b.epoch", 3),
        ("select 1 as n; select count(*) as n from epochs", 3),
        ("select (select count(*) from epochs) as n from runs union all select 4 as n", 4),
    ],
)
def test_sql_of_any_shape(query: str, answer: int, tmp_path: Path) -> None:
    """Tables are there by name in a query that begins, ends or names its parts as it likes."""
    write_rows(Store(str(tmp_path)), "epochs", "a", [epoch("a", number) for number in (1, 2, 3)])
    assert open(str(tmp_path)).sql(query).to_pylist() == [{"n": answer}]

"""Versions of a store: a newer one is refused, an older one is read, and written anew by compaction."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raysurf.errors import StoreError
from raysurf.results import SCHEMAS, open
from raysurf.store.compaction import compact
from raysurf.store.schemas import VERSION
from raysurf.store.store import Store
from raysurf.store.tables import read_rows, write_rows
from tests.support.stores import end, epoch, trial

TRIAL = trial("s", 3, run_ids=["sgd-1"], metric="validation/nll", mode="min", value=0.25)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """Opening it, writing to it and compacting it are one clear error, and nothing is changed."""
    store = Store(str(tmp_path))
    write_rows(store, "epochs", "a", [epoch("a")])
    assert store.get_json("version.json") == {"version": VERSION}
    store.put_json("version.json", {"version": VERSION + 1})
    before = {path: store.get_bytes(path) for path in store.list()}
    for act in (
        lambda: open(store.uri),
        lambda: write_rows(Store(store.uri), "epochs", "b", [epoch("b")]),
        lambda: compact(Store(store.uri)),
    ):
        with pytest.raises(StoreError, match=f"of version {VERSION + 1}; expected version {VERSION} or older .*update"):
            act()
    assert {path: store.get_bytes(path) for path in store.list() if not path.startswith("claims/")} == before


@pytest.mark.parametrize("said", [b"{}", b'{"version": "2"}', b"[]", b"nothing"])
def test_a_version_that_is_none_is_told(said: bytes, tmp_path: Path) -> None:
    """What stands in version.json is named."""
    store = Store(str(tmp_path))
    write_rows(store, "epochs", "a", [epoch("a")])
    store.put_bytes("version.json", said)
    with pytest.raises(StoreError, match=r"version.json"):
        open(store.uri)


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """A file of a newer version in a store that does not say so is an error to who reads it whole."""
    schema = SCHEMAS["epochs"].with_metadata({b"raysurf.version": b"77"})
    (tmp_path / "tables" / "epochs").mkdir(parents=True)
    rows = pa.Table.from_pylist([epoch("a")], schema=SCHEMAS["epochs"]).cast(schema)
    pq.write_table(rows, tmp_path / "tables" / "epochs" / "a.parquet")
    with pytest.raises(StoreError, match=r"tables/epochs/a.parquet of version 77"):
        read_rows(Store(str(tmp_path)), "epochs", "a")
    end(Store(str(tmp_path)), "a")
    with pytest.raises(StoreError, match="of version 77"):
        compact(Store(str(tmp_path)))


def old_store(root: Path) -> Store:
    """A store as the first version wrote it: no version.json, and trials that say ``value`` alone."""
    fields = [SCHEMAS["trials"].field(name) for name in TRIAL]
    schema = pa.schema(fields, {"raysurf.table": "trials", "raysurf.version": "1"})
    (root / "tables" / "trials").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([TRIAL], schema=schema), root / "tables" / "trials" / "s-000003.parquet")
    return Store(str(root))


def test_an_older_store_is_read_and_migrated(tmp_path: Path) -> None:
    """Columns that it lacks are null; what changed is as it is written now to who reads a part, or after compaction."""
    store = old_store(tmp_path)
    (row,) = open(store.uri).table("trials").to_pylist()
    assert (row["value"], row["values"], row["retried"]) == (0.25, None, None)
    (row,) = read_rows(store, "trials", "s-000003")
    assert (row["value"], row["values"]) == (0.25, [0.25])
    compact(store)
    (row,) = open(store.uri).table("trials").to_pylist()
    assert (row["value"], row["values"], row["retried"]) == (0.25, [0.25], None)
    assert not store.list("tables") and store.get_json("version.json") == {"version": VERSION}
    path = next(path for path in store.list("compact") if path.endswith(".parquet"))
    assert pq.read_metadata(tmp_path / path).metadata[b"raysurf.version"] == str(VERSION).encode()


def test_compacted_files_of_an_older_version_are_written_anew(tmp_path: Path) -> None:
    """Alone as they are, without anything to merge them with."""
    store = old_store(tmp_path)
    compact(store)
    path = next(path for path in store.list("compact") if path.endswith(".json"))
    store.put_json(path, {**store.get_json(path), "version": 1})
    compact(Store(store.uri), grace_s=0)
    lists = [path for path in store.list("compact") if path.endswith(".json")]
    assert [store.get_json(other)["version"] for other in lists if other != path] == [VERSION]
    assert [row["values"] for row in open(store.uri).table("trials").to_pylist()] == [[0.25]]

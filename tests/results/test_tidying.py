"""Tables of many small files are compacted when a run ends, and never at its cost."""

from __future__ import annotations

from pathlib import Path

import raysurf as rs
from raysurf.store.lease import Claim
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from raysurf.store.tidying import tidy
from tests.cases import tiny_sgd


def filled(root: str, parts: int) -> Store:
    """A store of some runs of one epoch."""
    store, epoch = Store(root), {"epoch": 1, "weights": "iterate", "lr": 0.1, "epoch_s": 1.0}
    for number in range(parts):
        write_rows(store, "epochs", f"run-{number}", [epoch | {"run_id": f"run-{number}"}])
    return store


def test_only_tables_of_many_files_are(tmp_path: Path) -> None:
    store, told = filled(str(tmp_path), 4), list[str]()
    tidy(store, told.append, many=4)
    assert not store.list("compact")
    tidy(store, told.append, many=3)
    assert len(store.list("compact")) == 2 and not told
    assert sorted(rs.results.open(store.uri).table("epochs")["run_id"].to_pylist()) == [f"run-{i}" for i in range(4)]


def test_a_store_that_cannot_be_compacted_is_told_of(tmp_path: Path) -> None:
    store, told = filled(str(tmp_path), 4), list[str]()
    (tmp_path / "compact").write_text("in the way")
    tidy(store, told.append, many=3)
    assert len(told) == 1 and told[0].endswith("later: raysurf compact")
    assert len(rs.results.open(store.uri).table("epochs")) == 4


def test_another_that_compacts_is_left_to_it(tmp_path: Path) -> None:
    store, told = filled(str(tmp_path), 4), list[str]()
    with Claim(store, "compact.epochs", "another") as claim:
        assert claim.take() is None
        tidy(store, told.append, many=3)
    assert not store.list("compact") and not told


def test_a_run_leaves_its_store_tidy(tmp_path: Path) -> None:
    """In a store of hundreds of runs a sweep ends with few files; run again, it does nothing."""
    store = filled(str(tmp_path), 300)
    sweep = rs.Sweep(tiny_sgd(epochs=1), name="tidy")
    assert rs.run(sweep, store.uri, executor="inline").failed == 0
    assert [path for path in store.list("compact") if path.endswith(".json")]
    epochs = rs.results.open(store.uri).table("epochs")
    assert len(epochs) == 301
    rs.run(sweep, store.uri, executor="inline")
    assert rs.results.open(store.uri).table("epochs").equals(epochs)

"""Looking a store over, on the results of real sweeps."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raysurf.errors import StoreError
from raysurf.maintenance.fsck import fsck, remove_garbage
from raysurf.store.compaction import compact
from raysurf.store.lease import Holder, Lease
from raysurf.store.store import Store
from raysurf.store.tables import read_rows, write_rows
from tests.support.kept_stores import contents, flipped, rows, run_ids, settle, sweep, trained


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_whole_store_has_nothing_to_tell(is_compacted: bool, store: Store) -> None:
    """Neither as a sweep leaves it nor after compaction; nothing is changed by looking."""
    if is_compacted:
        settle(store)
    before = contents(store)
    report = fsck(store)
    assert (report.findings, report.running) == ((), ())
    assert report.files == len(before)
    assert contents(store) == before


def test_what_is_broken_or_left_over_is_found(store: Store) -> None:
    """Each with what it is; only what nothing can need is garbage, is removed when asked, and is not found again."""
    root = Path(store.root)
    runs = sorted(run_ids(store, "first"))
    states = sorted(path for path in store.list("trajectories") if path.endswith(".safetensors"))
    store.put_bytes(f"tables/epochs/{runs[0]}.parquet", store.get_bytes(f"tables/epochs/{runs[0]}.parquet")[:-9])
    store.put_bytes("tables/runs/sgd-broken.parquet", b"no table")
    write_rows(store, "epochs", f"{runs[1]}x", read_rows(store, "epochs", runs[1]))
    store.put_bytes(states[0], flipped(store.get_bytes(states[0])))
    store.put_bytes("trajectories/x/7.safetensors", b"begun")
    store.put_bytes("trajectories/x/8.json", b"{}")
    cut = store.get_bytes(f"jobs/{runs[2]}/weights.safetensors")[:-9]
    store.put_bytes(f"jobs/{runs[2]}/weights.safetensors", cut)
    store.put_bytes("compact/epochs/000009-feed.parquet", b"begun")
    dead = Holder.here("somebody", (0, 1)).__dict__ | {"pid": 2**22 + 1, "beat": 0}
    store.put_json("claims/sweep.gone.0123456789abcdef.json", dead)
    (root / "_tmp" / "old").write_text("x")
    for path in ("_tmp/old", "compact/epochs/000009-feed.parquet"):
        os.utime(root / path, (time.time() - 7200,) * 2)
    report = fsck(Store(store.uri))
    garbage = {
        f"tables/epochs/{runs[0]}.parquet": "truncated",
        states[0]: "not what was written",
        states[0].replace(".safetensors", ".json"): "the note of that training state",
        "trajectories/x/7.safetensors": "without its note",
        "trajectories/x/8.json": "not there",
        "compact/epochs/000009-feed.parquet": "whose compaction was killed",
        "claims/sweep.gone.0123456789abcdef.json": "a process that has ended",
        "_tmp/old": "whose writer was killed",
    }
    others = {
        "tables/runs/sgd-broken.parquet": "cannot be read",
        f"tables/epochs/{runs[1]}x.parquet": f"rows of {runs[1]} under another's name",
        f"{runs[1]}x": "rows of a run without a row in runs",
        "trajectories/x": "states of a run that was broken off",
        f"jobs/{runs[2]}/outcome.json": f"without all of jobs/{runs[2]}/weights.safetensors",
    }
    said = {finding.path: finding for finding in report.findings}
    assert len(said) == len(report.findings)
    assert {path for path, finding in said.items() if finding.is_garbage} == garbage.keys()
    assert {path for path, finding in said.items() if not finding.is_garbage} == others.keys()
    for path, text in (garbage | others).items():
        assert text in said[path].what, path
    before = set(store.list())
    assert remove_garbage(store, report) == len(garbage)
    assert before - set(store.list()) == garbage.keys()
    left = {finding.path for finding in fsck(store).findings}
    # The run whose rows were truncated is done, and has none.
    assert left == (others.keys() - {"trajectories/x"}) | {f"jobs/{runs[0]}/outcome.json"}


def test_what_is_broken_in_compacted_files_is_found(store: Store) -> None:
    """A byte that is another, rows or a list that are gone: told with what it means. Their runs can be done again."""
    settle(store)
    tables = rows(store)
    path = next(path for path in store.list("compact/epochs") if path.endswith(".parquet"))
    note = path.replace(".parquet", ".json")
    whole, listed = store.get_bytes(path), store.get_bytes(note)
    for data in (flipped(whole), whole[:-7], None):
        store.delete(path) if data is None else store.put_bytes(path, data)
        (finding,) = fsck(Store(store.uri)).findings
        assert finding.path == path
        assert f"4 parts are in no other file; remove it and {note}" in finding.meaning
        assert not finding.is_garbage
    store.put_bytes(path, whole)
    store.put_bytes(note, b"{}")
    said = {finding.path: finding.what for finding in fsck(Store(store.uri)).findings}
    assert said.pop(note) == "a list that cannot be read"
    assert all("without all of tables/epochs/" in what for what in said.values())
    assert len(said) == 4
    store.put_bytes(note, listed)
    assert fsck(Store(store.uri)).findings == ()
    for file in (path, note):
        store.delete(file)
    again = Store(store.uri)
    assert len(trained(sweep("first", 1, 2), again) | trained(sweep("second", 2, 3), again)) == 4
    assert rows(again) == tables


def test_an_orphan_is_told_of_once(store: Store) -> None:
    """However many files and tables it has rows in, and whether these are compacted or not."""
    (run,) = run_ids(store, "second")
    for table, piece in itertools.product(("epochs", "predictions"), ("", ".1", ".2")):
        orphans = [row | {"run_id": "swa-orphan"} for row in read_rows(store, table, run)]
        write_rows(store, table, f"swa-orphan{piece}", orphans)
    store.put_bytes("jobs/swa-orphan/weights.safetensors", b"weights")
    what = "rows, weights of a run without a row in runs"
    for grace_s in (3600, 3600, 0, 0):
        (finding,) = fsck(store).findings
        assert (finding.path, finding.what) == ("swa-orphan", what)
        compact(store, grace_s=grace_s)
    write_rows(store, "epochs", "swa-orphan.1", [])
    assert [finding.path for finding in fsck(store).findings] == ["swa-orphan"]


def test_two_look_at_once(store: Store) -> None:
    """Neither is in the other's way."""
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: fsck(Store(store.uri)), range(8)))
    assert {report.findings for report in reports} == {()}


def test_a_store_that_cannot_be_written_is_looked_at(store: Store) -> None:
    """Then ages go by this machine's clock."""
    shutil.rmtree(Path(store.root, "_tmp"))
    with pytest.raises(StoreError, match="while asking for its clock"):
        store.now_ns()
    store.put_bytes("compact/epochs/000009-feed.parquet", b"begun")
    shutil.rmtree(Path(store.root, "_tmp"))
    assert fsck(store).findings == ()
    os.utime(Path(store.root, "compact/epochs/000009-feed.parquet"), (time.time() - 7200,) * 2)
    assert len(fsck(store).findings) == 1
    assert not Path(store.root, "_tmp").exists()


def test_a_sweep_that_runs_is_let_be(store: Store) -> None:
    """What has no row in runs may be somebody's who works on the store now: none is told of, none removed."""
    (run,) = run_ids(store, "second")
    store.put_bytes("trajectories/x/7.safetensors", b"begun")
    write_rows(store, "epochs", "sgd-new", [row | {"run_id": "sgd-new"} for row in read_rows(store, "epochs", run)])
    with Lease(store, "sweep.first", "somebody") as lease:
        assert lease.take() is None
        report = fsck(store)
        assert report.findings == ()
        assert "somebody" in report.running[0]
    assert {finding.path for finding in fsck(store).findings} == {
        "sgd-new",
        "trajectories/x",
        "trajectories/x/7.safetensors",
    }


def test_garbage_in_an_outcome(store: Store) -> None:
    """One that is no outcome of ours is told of, a truncated one is garbage."""
    one, other = sorted(run_ids(store, "first"))[:2]
    store.put_bytes(f"jobs/{one}/outcome.json", json.dumps([1]).encode())
    store.put_bytes(f"jobs/{other}/outcome.json", b'{"figures": {')
    said = {finding.path: finding.is_garbage for finding in fsck(store).findings}
    assert said == {f"jobs/{one}/outcome.json": False, f"jobs/{other}/outcome.json": True}


def test_a_kept_lock_of_a_study_is_garbage(store: Store) -> None:
    """The lock of a killed driver is found and removed, also where the store was moved and it leads out of it."""
    lock = Path(store.root, "studies", "s.journal.lock")
    lock.parent.mkdir()
    lock.symlink_to("/elsewhere/studies/s.journal")
    (finding,) = [finding for finding in fsck(store).findings if finding.path == "studies/s.journal.lock"]
    assert finding.is_garbage
    remove_garbage(store, fsck(store))
    assert not lock.is_symlink()

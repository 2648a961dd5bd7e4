"""A store's room by sweep, the removal of sweeps, and going on after compaction, on the results of real ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import raysurf.maintenance.removal as removal
from raysurf.errors import StoreError, UnknownNameError
from raysurf.maintenance.fsck import fsck, remove_garbage
from raysurf.maintenance.inventory import disk_use, sizes
from raysurf.maintenance.removal import planned_removal, remove_sweep
from raysurf.store.compaction import compact, remove_part
from raysurf.store.lease import Holder, Lease
from raysurf.store.store import Store
from tests.support.kept_stores import contents, flipped, rows, run_ids, settle, sweep, trained
from tests.support.s3_server import make_bucket


@pytest.mark.parametrize("is_compacted", [False, True])
def test_every_byte_is_some_sweeps(is_compacted: bool, store: Store) -> None:
    """Room by sweep adds up to all there is, to the byte; a run counts for the sweep that ran it first."""
    if is_compacted:
        settle(store)
    by_sweep = {use.sweep: use for use in disk_use(store)}
    assert set(by_sweep) == {"first", "second", ""}
    assert (by_sweep["first"].runs, by_sweep["second"].runs) == (3, 1)
    there = sizes(store)
    assert sum(use.total for use in by_sweep.values()) == sum(there.values())
    (mine,) = run_ids(store, "second")
    weights = sum(size for path, size in there.items() if mine in path and path.endswith(".safetensors"))
    assert by_sweep["second"].bytes["weights"] == weights > 0
    states = sum(size for path, size in there.items() if path.startswith("trajectories/"))
    assert sum(use.bytes["checkpoints"] for use in by_sweep.values()) == states > 0
    assert all(by_sweep[name].bytes["tables"] > 0 for name in ("first", "second"))


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_sweep_goes_and_what_others_need_stays(is_compacted: bool, store: Store) -> None:
    """What the other sweep shares stays, and no more; run again it has its rows; without both the store is empty."""
    if is_compacted:
        settle(store)
    first, second, before = run_ids(store, "first"), run_ids(store, "second"), contents(store)
    planned = planned_removal(store, "first")
    assert len(planned.runs) == 1
    assert planned.trials == 2
    assert len(planned.kept) == 2
    assert "a trial of second" in planned.kept.values()
    assert contents(store) == before
    tables = rows(store)
    assert remove_sweep(store, "first") == planned
    (gone,) = planned.runs
    assert not [path for path in store.list() if gone in path]
    now = rows(store)
    assert {row["sweep"] for row in now["trials"]} == {"second"}
    assert {row["run_id"] for row in now["runs"]} == (first | second) - {gone}
    for table in ("runs", "epochs", "predictions"):
        assert now[table] == [row for row in tables[table] if row["run_id"] != gone]
    assert fsck(store).findings == ()
    assert trained(sweep("second", 2, 3), store) == set()
    assert trained(sweep("first", 1, 2), store) == {gone}
    assert rows(store) == tables
    remove_sweep(store, "second")
    remove_sweep(store, "first")
    assert not any(rows(store).values())
    settle(store)
    assert {path.partition("/")[0] for path in store.list()} <= {"version.json", "compact"}
    with pytest.raises(UnknownNameError, match="unknown sweep: got 'first'"):
        remove_sweep(store, "first")


def test_on_s3(original: Path, port: int) -> None:
    """Of a bucket the same is told, and the same goes."""
    disk, store = Store(str(original)), Store(make_bucket(port, "kept"))
    for path, data in contents(disk).items():
        store.put_bytes(path, data)
    assert disk_use(store) == disk_use(disk)
    assert fsck(store).findings == ()
    planned = planned_removal(disk, "first")
    assert remove_sweep(store, "first") == planned
    assert disk.list() == sorted({*store.list(), *(file.path for file in planned.files)})
    assert fsck(store).findings == ()
    store.put_bytes("jobs/sgd-x/weights.safetensors", b"weights")
    state = next(path for path in store.list("trajectories") if path.endswith(".safetensors"))
    store.put_bytes(state, flipped(store.get_bytes(state)))
    report = fsck(store)
    assert len(report.findings) == 3
    assert remove_garbage(store, report) == 2
    assert [finding.path for finding in fsck(store).findings] == ["sgd-x"]


def test_wandb_folders_go_with_their_runs(store: Store, tmp_path: Path) -> None:
    """With the links to its logs that W&B makes in them; what these lead to is none of the store's."""
    (tmp_path / "core.log").write_text("of another run, too")
    runs = sorted(run_ids(store, "first"))
    folders = {run: Path(store.root, "wandb", f"offline-run-20260102_030405-{run}-0a1b2c") for run in runs}
    for folder in folders.values():
        (folder / "logs").mkdir(parents=True)
        (folder / "run.wandb").write_bytes(b"12345")
        (folder / "logs" / "debug-core.log").symlink_to(tmp_path / "core.log")
    assert {use.sweep: use.bytes["wandb"] for use in disk_use(store)} == {"first": 15, "second": 0, "": 0}
    assert fsck(store).findings == ()
    removal = remove_sweep(store, "first")
    assert removal.bytes["wandb"] == 5
    assert {run for run, folder in folders.items() if folder.exists()} == removal.kept.keys()
    assert (tmp_path / "core.log").exists()
    store.delete("version.json")
    Path(store.root, "version.json").symlink_to(tmp_path / "core.log")
    with pytest.raises(StoreError, match=r"a link to .*core.log"):
        disk_use(store)


def test_a_sweep_that_is_none(store: Store) -> None:
    """Those that there are are named."""
    with pytest.raises(UnknownNameError, match="got 'third'; expected one of first, second"):
        planned_removal(store, "third")


def test_nothing_is_run_again_after_compaction(store: Store) -> None:
    """Nothing of a compacted sweep is run again, no row is doubled; another goes on from it, and both are read."""
    before = rows(store)
    compact(store)
    assert not store.list("tables")
    for repeated in (sweep("first", 1, 2), sweep("second", 2, 3)):
        assert trained(repeated, store) == set()
    assert rows(store) == before
    assert len(trained(sweep("third", 1, 4), store)) == 1
    now = rows(store)
    assert {table: len(now[table]) - len(before[table]) for table in ("runs", "trials")} == {"runs": 1, "trials": 2}
    settle(store)
    assert rows(store) == now
    assert fsck(store).findings == ()


@pytest.mark.parametrize("name", ["sweep.first", "sweep.second", "sweep.first.0123"])
def test_nothing_goes_while_a_sweep_runs(name: str, store: Store) -> None:
    """Whoever runs one is named; what a dead process left does not count."""
    before = {path: store.get_bytes(path) for path in store.list()}
    with Lease(store, name, "somebody") as lease:
        assert lease.take() is None
        with pytest.raises(StoreError, match=r"being run by somebody, pid \d+"):
            remove_sweep(store, "first")
    assert {path: store.get_bytes(path) for path in store.list()} == before
    dead = Holder.here("somebody", (0, 1)).__dict__ | {"pid": 2**22 + 1, "beat": 0}
    store.put_json(f"claims/{name}.0123456789abcdef.json", dead)
    assert remove_sweep(store, "first").trials == 2


@pytest.mark.parametrize("steps", [0, 1, 2, 4])
@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_removal_that_was_broken_off_goes_on(
    is_compacted: bool, steps: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was broken off, asking for it again ends with the same store."""
    if is_compacted:
        settle(store)
    calls = itertools.count()

    def remove(store: Store, table: str, part: str) -> None:
        if next(calls) == steps:
            raise KeyboardInterrupt
        remove_part(store, table, part)

    with monkeypatch.context() as patch:
        patch.setattr(removal, "remove_part", remove)
        with pytest.raises(KeyboardInterrupt):
            remove_sweep(store, "first")
    remove_sweep(store, "first")
    now = rows(store)
    assert {row["sweep"] for row in now["trials"]} == {"second"}
    runs = {row["run_id"] for row in now["runs"]}
    assert len(runs) == 3
    assert {row["run_id"] for table in ("epochs", "predictions") for row in now[table]} == runs
    assert fsck(store).findings == ()

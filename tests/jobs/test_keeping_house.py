"""A store's room by sweep, its looking over, and the removal of sweeps, on the results of real ones."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
import raysurf.jobs.removal as removal
from raysurf.errors import StoreError, UnknownNameError
from raysurf.jobs.belongings import sizes
from raysurf.jobs.checkup import check_up, remove_garbage
from raysurf.jobs.disk_use import disk_use
from raysurf.jobs.removal import planned_removal, remove_sweep
from raysurf.results import SCHEMAS
from raysurf.results.claims import Claim, Holder
from raysurf.results.compaction import compact, remove_part
from raysurf.results.store import Store
from raysurf.results.store_clock import now_ns
from tests.jobs.kept_stores import flipped, run_two_sweeps, settle, sweep


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two sweeps."""
    run_two_sweeps(root := tmp_path_factory.mktemp("original") / "results")
    return root


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Store:
    """A copy of it."""
    shutil.copytree(original, tmp_path / "results")
    return Store(str(tmp_path / "results"))


def rows(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, in one order, without times."""
    found = rs.results.Results(store)
    times = ("started_at", "ended_at", "wall_s", "device_s", "epoch_s")
    every = {table: found.table(table).to_pylist() for table in SCHEMAS}
    kept = {table: [{k: v for k, v in row.items() if k not in times} for row in each] for table, each in every.items()}
    return {table: sorted(each, key=repr) for table, each in kept.items()}


def contents(store: Store) -> dict[str, bytes]:
    """Every file."""
    return {path: store.get_bytes(path) for path in store.list()}


def trained(each: rs.Sweep, store: Store) -> set[str]:
    """Jobs that are run when a sweep is run now."""

    def outcomes() -> dict[str, Any]:
        return {path.parent.name: path.stat().st_mtime_ns for path in Path(store.root).glob("jobs/*/outcome.json")}

    before = outcomes()
    assert rs.run(each, store.uri, executor="inline").failed == 0
    return {run for run, _ in outcomes().items() - before.items()}


def run_ids(store: Store, name: str) -> set[str]:
    """Runs that a sweep ran first."""
    return {row["run_id"] for row in rs.results.open(store.uri).table("runs").to_pylist() if row["sweep"] == name}


@pytest.mark.parametrize("is_compacted", [False, True])
def test_every_byte_is_some_sweeps(is_compacted: bool, store: Store) -> None:
    """Room by sweep adds up to all there is, to the byte; a run counts for the sweep that ran it first."""
    if is_compacted:
        settle(store)
    found = {use.sweep: use for use in disk_use(store)}
    assert set(found) == {"first", "second", ""}
    assert (found["first"].runs, found["second"].runs) == (3, 1)
    there = sizes(store)
    assert sum(use.total for use in found.values()) == sum(there.values())
    (mine,) = run_ids(store, "second")
    weights = sum(size for path, size in there.items() if mine in path and path.endswith(".safetensors"))
    assert found["second"].bytes["weights"] == weights > 0
    states = sum(size for path, size in there.items() if path.startswith("trajectories/"))
    assert sum(use.bytes["checkpoints"] for use in found.values()) == states > 0
    assert all(found[name].bytes["tables"] > 0 for name in ("first", "second"))


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_sweep_goes_and_what_others_need_stays(is_compacted: bool, store: Store) -> None:
    """Of ``first`` the network and the shared average stay, ``second`` has all that it had, and nothing is left over.

    Run again, ``first`` has the rows that it had. When both are removed the store is empty.
    """
    if is_compacted:
        settle(store)
    first, second, before = run_ids(store, "first"), run_ids(store, "second"), contents(store)
    planned = planned_removal(store, "first")
    assert len(planned.runs) == 1
    assert planned.trials == 2
    assert len(planned.kept) == 2
    assert "a trial of second" in planned.kept.values()
    assert contents(store) == before
    figures = rows(store)
    assert remove_sweep(store, "first") == planned
    (gone,) = planned.runs
    left = {path for path in store.list() if gone in path}
    # What was compacted is replaced by files without rows, which say so until the next compaction.
    assert all(path.startswith("tables/") for path in left)
    assert bool(left) == is_compacted
    now = rows(store)
    assert {row["sweep"] for row in now["trials"]} == {"second"}
    assert {row["run_id"] for row in now["runs"]} == (first | second) - {gone}
    for table in ("runs", "epochs", "predictions"):
        assert now[table] == [row for row in figures[table] if row["run_id"] != gone]
    assert check_up(store).findings == ()
    assert trained(sweep("second", 2, 3), store) == set()
    assert trained(sweep("first", 1, 2), store) == {gone}
    assert rows(store) == figures
    remove_sweep(store, "second")
    remove_sweep(store, "first")
    assert not any(rows(store).values())
    settle(store)
    assert {path.partition("/")[0] for path in store.list()} <= {"version.json", "compact"}
    with pytest.raises(UnknownNameError, match="unknown sweep: got 'first'"):
        remove_sweep(store, "first")


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
    assert check_up(store).findings == ()
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


@pytest.mark.parametrize("is_settled", [False, True])
def test_nothing_is_run_again_after_compaction(is_settled: bool, store: Store) -> None:
    """Of a sweep whose rows are compacted, its parts' files being gone or not, nothing is run and no row is doubled.

    Another one goes on from what it left, and both are read as one.
    """
    figures = rows(store)
    compact(store, grace_s=3600)
    if is_settled:
        settle(store)
    assert bool(store.list("tables")) == (not is_settled)
    for each in (sweep("first", 1, 2), sweep("second", 2, 3)):
        assert trained(each, store) == set()
    assert rows(store) == figures
    assert len(trained(sweep("third", 1, 4), store)) == 1
    now = rows(store)
    assert {table: len(now[table]) - len(figures[table]) for table in ("runs", "trials")} == {"runs": 1, "trials": 2}
    settle(store)
    assert rows(store) == now
    assert check_up(store).findings == ()


@pytest.mark.parametrize("name", ["sweep.first", "sweep.second", "sweep.first.0123"])
def test_nothing_goes_while_a_sweep_runs(name: str, store: Store) -> None:
    """Whoever runs one is named; what a dead process left does not count."""
    before = {path: store.get_bytes(path) for path in store.list()}
    with Claim(store, name, "somebody") as claim:
        assert claim.take() is None
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
    assert check_up(store).findings == ()


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_whole_store_has_nothing_to_tell(is_compacted: bool, store: Store) -> None:
    """Neither as a sweep leaves it nor after compaction; nothing is changed by looking."""
    if is_compacted:
        settle(store)
    before = contents(store)
    found = check_up(store)
    assert (found.findings, found.running) == ((), ())
    assert found.files == len(before)
    assert contents(store) == before


def test_what_is_broken_or_left_over_is_found(store: Store) -> None:
    """Each with what it is; only what nothing can need is garbage, is removed when asked, and is not found again."""
    root = Path(store.root)
    runs = sorted(run_ids(store, "first"))
    states = sorted(path for path in store.list("trajectories") if path.endswith(".safetensors"))
    store.put_bytes(f"tables/epochs/{runs[0]}.parquet", store.get_bytes(f"tables/epochs/{runs[0]}.parquet")[:-9])
    store.put_bytes("tables/runs/sgd-broken.parquet", b"no table")
    store.write_rows("epochs", f"{runs[1]}x", store.read_rows("epochs", runs[1]))
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
    found = check_up(Store(store.uri))
    garbage = {
        f"tables/epochs/{runs[0]}.parquet": "cut short",
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
    said = {finding.path: finding for finding in found.findings}
    assert len(said) == len(found.findings)
    assert {path for path, finding in said.items() if finding.is_garbage} == garbage.keys()
    assert {path for path, finding in said.items() if not finding.is_garbage} == others.keys()
    for path, text in (garbage | others).items():
        assert text in said[path].what, path
    before = set(store.list())
    assert remove_garbage(store, found) == len(garbage)
    assert before - set(store.list()) == garbage.keys()
    left = {finding.path for finding in check_up(store).findings}
    # The run whose rows were cut short is done, and has none.
    assert left == (others.keys() - {"trajectories/x"}) | {f"jobs/{runs[0]}/outcome.json"}


def test_what_is_broken_in_compacted_files_is_found(store: Store) -> None:
    """A byte that is another, rows or a list that are gone: told with what it means. Their runs can be done again."""
    settle(store)
    figures = rows(store)
    path = next(path for path in store.list("compact/epochs") if path.endswith(".parquet"))
    note = path.replace(".parquet", ".json")
    whole, listed = store.get_bytes(path), store.get_bytes(note)
    for data in (flipped(whole), whole[:-7], None):
        store.delete(path) if data is None else store.put_bytes(path, data)
        (finding,) = check_up(Store(store.uri)).findings
        assert finding.path == path
        assert f"4 parts are in no other file; remove it and {note}" in finding.meaning
        assert not finding.is_garbage
    store.put_bytes(path, whole)
    store.put_bytes(note, b"{}")
    said = {finding.path: finding.what for finding in check_up(Store(store.uri)).findings}
    assert said.pop(note) == "a list that cannot be read"
    assert all("without all of tables/epochs/" in what for what in said.values())
    assert len(said) == 4
    store.put_bytes(note, listed)
    assert check_up(Store(store.uri)).findings == ()
    for each in (path, note):
        store.delete(each)
    again = Store(store.uri)
    assert len(trained(sweep("first", 1, 2), again) | trained(sweep("second", 2, 3), again)) == 4
    assert rows(again) == figures


def test_an_orphan_is_told_of_once(store: Store) -> None:
    """However many files and tables it has rows in, and whether these are compacted or not."""
    (run,) = run_ids(store, "second")
    for table, piece in itertools.product(("epochs", "predictions"), ("", ".1", ".2")):
        found = [row | {"run_id": "swa-orphan"} for row in store.read_rows(table, run)]
        store.write_rows(table, f"swa-orphan{piece}", found)
    store.put_bytes("jobs/swa-orphan/weights.safetensors", b"weights")
    told = "rows, weights of a run without a row in runs"
    for grace_s in (3600, 3600, 0, 0):
        (finding,) = check_up(store).findings
        assert (finding.path, finding.what) == ("swa-orphan", told)
        compact(store, grace_s=grace_s)
    store.write_rows("epochs", "swa-orphan.1", [])
    assert [finding.path for finding in check_up(store).findings] == ["swa-orphan"]


def test_two_look_at_once(store: Store) -> None:
    """Neither is in the other's way."""
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: check_up(Store(store.uri)), range(8)))
    assert {each.findings for each in found} == {()}


def test_a_store_that_cannot_be_written_is_looked_at(store: Store) -> None:
    """Then ages go by this machine's clock."""
    shutil.rmtree(Path(store.root, "_tmp"))
    with pytest.raises(StoreError, match="while asking for its clock"):
        now_ns(store)
    store.put_bytes("compact/epochs/000009-feed.parquet", b"begun")
    shutil.rmtree(Path(store.root, "_tmp"))
    assert check_up(store).findings == ()
    os.utime(Path(store.root, "compact/epochs/000009-feed.parquet"), (time.time() - 7200,) * 2)
    assert len(check_up(store).findings) == 1
    assert not Path(store.root, "_tmp").exists()


def test_a_sweep_that_runs_is_let_be(store: Store) -> None:
    """What has no row in runs may be somebody's who works on the store now: none is told of, none removed."""
    (run,) = run_ids(store, "second")
    store.put_bytes("trajectories/x/7.safetensors", b"begun")
    store.write_rows("epochs", "sgd-new", [row | {"run_id": "sgd-new"} for row in store.read_rows("epochs", run)])
    with Claim(store, "sweep.first", "somebody") as claim:
        assert claim.take() is None
        found = check_up(store)
        assert found.findings == ()
        assert "somebody" in found.running[0]
    assert {finding.path for finding in check_up(store).findings} == {
        "sgd-new",
        "trajectories/x",
        "trajectories/x/7.safetensors",
    }


def test_garbage_in_an_outcome(store: Store) -> None:
    """One that is no outcome of ours is told of, one that was cut short is garbage."""
    one, other = sorted(run_ids(store, "first"))[:2]
    store.put_bytes(f"jobs/{one}/outcome.json", json.dumps([1]).encode())
    store.put_bytes(f"jobs/{other}/outcome.json", b'{"figures": {')
    said = {finding.path: finding.is_garbage for finding in check_up(store).findings}
    assert said == {f"jobs/{one}/outcome.json": False, f"jobs/{other}/outcome.json": True}

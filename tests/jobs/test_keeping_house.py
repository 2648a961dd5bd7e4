"""A store's room by sweep, its looking over, and the removal of sweeps, on the results of real ones."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.errors import StoreError, UnknownNameError
from raysurf.jobs.belongings import sizes
from raysurf.jobs.checkup import check_up, remove_garbage
from raysurf.jobs.disk_use import disk_use
from raysurf.jobs.removal import planned_removal, remove_sweep
from raysurf.results import SCHEMAS
from raysurf.results.claims import Claim, Holder
from raysurf.results.compaction import compact
from raysurf.results.store import Store
from tests.cases import tiny_sgd


def sweep(name: str, *epochs: int) -> rs.Sweep:
    """Averages of some lengths from one network, which every such sweep shares."""
    job = rs.SWA(start=tiny_sgd(epochs=1), epochs=1, cycle_epochs=1, lr=0.05)
    return rs.Sweep(job.with_holes(epochs=rs.Each(epochs)), name=name)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the sweep ``first`` trained a network that ``second`` uses too; both ran one average."""
    root = tmp_path_factory.mktemp("original") / "results"
    for each in (sweep("first", 1, 2), sweep("second", 2, 3)):
        assert rs.run(each, str(root), executor="inline").failed == 0
    return root


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Store:
    """A copy of it."""
    shutil.copytree(original, tmp_path / "results")
    return Store(str(tmp_path / "results"))


def run_ids(store: Store, name: str) -> set[str]:
    """Runs that a sweep ran first."""
    return {row["run_id"] for row in rs.results.open(store.uri).table("runs").to_pylist() if row["sweep"] == name}


@pytest.mark.parametrize("is_compacted", [False, True])
def test_every_byte_is_some_sweeps(is_compacted: bool, store: Store) -> None:
    """Room by sweep adds up to all there is, with tables, weights and states of each."""
    for _ in range(2 * is_compacted):
        compact(store, grace_s=0)
    found = {use.sweep: use for use in disk_use(store)}
    assert set(found) == {"first", "second", ""} and (found["first"].runs, found["second"].runs) == (3, 1)
    rounding = len([path for path in store.list("compact")])
    assert abs(sum(use.total for use in found.values()) - sum(sizes(store).values())) <= rounding
    for name in ("first", "second"):
        assert all(found[name].bytes[kind] > 0 for kind in ("tables", "weights", "checkpoints"))
    weights = sizes(store, "jobs")
    mine = sum(size for path, size in weights.items() if path.split("/")[1] in run_ids(store, "second"))
    assert (
        found["second"].bytes["weights"]
        == mine - sizes(store)[f"jobs/{next(iter(run_ids(store, 'second')))}/outcome.json"]
    )


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_sweep_goes_and_what_others_need_stays(is_compacted: bool, store: Store) -> None:
    """Of ``first`` the network and the shared average stay, and ``second`` has all that it had; then that goes, too."""
    for _ in range(2 * is_compacted):
        compact(store, grace_s=0)
    first, second, before = run_ids(store, "first"), run_ids(store, "second"), set(store.list())
    planned = planned_removal(store, "first")
    assert set(store.list()) == before
    assert len(planned.runs) == 1 and len(planned.kept) == 2 and planned.trials == 2
    assert set(planned.kept.values()) >= {"a trial of second"}
    assert remove_sweep(store, "first") == planned
    (gone,) = planned.runs
    assert not [path for path in store.list() if gone in path and "/runs/" not in path and "/epochs/" not in path]
    results = rs.results.open(store.uri)
    for table in SCHEMAS:
        rows = results.table(table).to_pylist()
        assert not [row for row in rows if row.get("run_id") == gone]
        assert table != "trials" or {row["sweep"] for row in rows} == {"second"}
    assert {row["run_id"] for row in results.table("runs").to_pylist()} == (first | second) - {gone}
    heard: list[object] = []
    assert rs.run(sweep("second", 2, 3), store.uri, executor="inline", listener=heard.append).failed == 0
    assert not [event for event in heard if type(event).__name__ == "RunProgressed"]
    remove_sweep(store, "second")
    remove_sweep(store, "first")
    for _ in range(3):
        compact(store, grace_s=0)
    assert all(rs.results.open(store.uri).table(table).num_rows == 0 for table in ("runs", "trials", "epochs"))
    assert not store.list("jobs") and not store.list("trajectories")
    with pytest.raises(UnknownNameError, match="unknown sweep: got 'first'"):
        remove_sweep(store, "first")


def test_a_sweep_goes_from_s3_as_well(original: Path) -> None:
    """Names that are none are told with those that there are."""
    with pytest.raises(UnknownNameError, match="expected one of first, second"):
        planned_removal(Store(str(original)), "third")


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


def test_a_removal_that_was_broken_off_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it was broken off, asking for it again ends with the same store."""
    import raysurf.jobs.removal as removal

    removed, calls = removal.remove_part, iter(range(99))

    def remove(store: Store, table: str, part: str) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        removed(store, table, part)

    monkeypatch.setattr(removal, "remove_part", remove)
    with pytest.raises(KeyboardInterrupt):
        remove_sweep(store, "first")
    monkeypatch.undo()
    remove_sweep(store, "first")
    results = rs.results.open(store.uri)
    assert {row["sweep"] for row in results.table("trials").to_pylist()} == {"second"}
    assert results.table("runs").num_rows == 3
    assert results.sql(
        "select count(*) as n from epochs where run_id not in (select run_id from runs)"
    ).to_pylist() == [{"n": 0}]


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_whole_store_has_nothing_to_tell(is_compacted: bool, store: Store) -> None:
    """Neither as a sweep leaves it nor after compaction."""
    for _ in range(2 * is_compacted):
        compact(store, grace_s=0)
    found = check_up(store)
    assert found.findings == () and found.running == () and found.files > 20


def test_what_is_broken_or_left_over_is_found(store: Store) -> None:
    """Each with what it is; only what nothing can need is garbage, is removed when asked, and is not found again."""
    root = Path(store.root)
    runs = sorted(run_ids(store, "first"))
    states = sorted(path for path in store.list("trajectories") if path.endswith(".safetensors"))
    store.put_bytes(f"tables/epochs/{runs[0]}.parquet", store.get_bytes(f"tables/epochs/{runs[0]}.parquet")[:-9])
    store.put_bytes(f"tables/runs/{runs[1]}x.parquet", b"PAR1 but no more PAR1")
    store.write_rows(
        "epochs", "sgd-orphan", [row | {"run_id": "sgd-orphan"} for row in store.read_rows("epochs", runs[1])]
    )
    store.put_bytes(states[0], store.get_bytes(states[0])[::-1])
    store.put_bytes("trajectories/x/7.safetensors", b"begun")
    store.delete(f"jobs/{runs[2]}/weights.safetensors")
    store.put_bytes("compact/epochs/000009-feed.parquet", b"begun")
    dead = Holder.here("somebody", (0, 1)).__dict__ | {"pid": 2**22 + 1, "beat": 0}
    store.put_json("claims/sweep.gone.0123456789abcdef.json", dead)
    (root / "_tmp" / "old").write_text("x")
    for path in ("_tmp/old", "compact/epochs/000009-feed.parquet"):
        os.utime(root / path, (time.time() - 7200,) * 2)
    found = check_up(store)
    said = {finding.path: finding for finding in found.findings}
    garbage = {
        f"tables/epochs/{runs[0]}.parquet": "cut short",
        states[0]: "not what was written",
        "trajectories/x/7.safetensors": "without its note",
        "compact/epochs/000009-feed.parquet": "whose compaction was killed",
        "claims/sweep.gone.0123456789abcdef.json": "a process that has ended",
        "_tmp/old": "whose writer was killed",
    }
    others = {
        f"tables/runs/{runs[1]}x.parquet": "cannot be read",
        "tables/epochs/sgd-orphan.parquet": "no row of runs",
        f"jobs/{runs[2]}/outcome.json": f"without jobs/{runs[2]}/weights.safetensors",
        f"jobs/{runs[0]}/outcome.json": None,
    }
    for path, text in garbage.items():
        assert text in said[path].what and said[path].is_garbage, path
    for path, text in others.items():
        assert text is None or (text in said[path].what and not said[path].is_garbage), path
    before = set(store.list())
    assert remove_garbage(store, found) == len(garbage)
    assert before - set(store.list()) == set(garbage)
    assert not {finding.path for finding in check_up(store).findings} & garbage.keys()


def test_a_sweep_that_runs_is_let_be(store: Store) -> None:
    """What has no row in runs may be somebody's who works on the store now: none is told of, none removed."""
    store.put_bytes("trajectories/x/7.safetensors", b"begun")
    store.write_rows(
        "epochs",
        "sgd-new",
        [row | {"run_id": "sgd-new"} for row in store.read_rows("epochs", next(iter(run_ids(store, "first"))))],
    )
    with Claim(store, "sweep.first", "somebody") as claim:
        assert claim.take() is None
        found = check_up(store)
        assert found.findings == () and "somebody" in found.running[0]
    assert len(check_up(store).findings) >= 2


def test_garbage_in_an_outcome(store: Store) -> None:
    """One that is no outcome of ours is told of, one that was cut short is garbage."""
    one, other = sorted(run_ids(store, "first"))[:2]
    store.put_bytes(f"jobs/{one}/outcome.json", json.dumps([1]).encode())
    store.put_bytes(f"jobs/{other}/outcome.json", b'{"figures": {')
    said = {finding.path: finding for finding in check_up(store).findings}
    assert not said[f"jobs/{one}/outcome.json"].is_garbage and said[f"jobs/{other}/outcome.json"].is_garbage

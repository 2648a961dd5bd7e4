"""A store that commit 5eebad1 wrote is read, compacted and gone on with, and its killed search is finished."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.jobs.parse import parse_job
from raysurf.maintenance.fsck import fsck
from raysurf.results.progress import progress
from raysurf.store import lease
from raysurf.store.store import Store
from tests.support.cases import ROOT
from tests.support.command import raysurf
from tests.support.kept_stores import rows, settle, trained

OLD = ROOT / "tests" / "stores" / "5eebad1"
SEARCHES = OLD / "search.yaml"
PLACE = "raysurf/training/epoch.py:99"
EPOCH_S = 0.08815767199985203
# Its search: validation NLL by run. Four had ended and the fifth was killed, which commit 5eebad1 would have brought to
# this value; the last three are what later commits suggest after these.
SEARCH = {
    "sgd-4b04bf6091ef1d65": 1.2468712798097117,
    "sgd-3155e31d2aaffa07": 1.2782048485696516,
    "sgd-c3da3f56c73789a9": 1.5196816578055874,
    "sgd-e6d5d1ddf7491efc": 1.2607135854235,
    "sgd-febc2ee8a4681d45": 1.6274523504222633,
    "sgd-108ddb783f1f037d": 1.4761640616639295,
    "sgd-d6336590ed701176": 1.3323204337747812,
    "sgd-8ba5613449865dae": 1.7218694911661372,
}
IDS = list(SEARCH)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A copy of it, on the machine on which it was broken off."""
    shutil.unpack_archive(OLD / "results.tar.xz", tmp_path, filter="data")
    for file in (tmp_path / "results" / "claims").iterdir():
        file.write_text(json.dumps(json.loads(file.read_text()) | {"place": lease.place()}))
    return Store(str(tmp_path / "results"))


def test_old_store_is_read(store: Store) -> None:
    """Every row is there, and so are the best trial, a comparison, the progress, the failures, weights and jobs."""
    results = rs.results.open(store.uri)
    sizes = {name: len(results.table(name)) for name in results.tables()}
    measured = {"surface": 57, "landmarks": 3, "layers": 2, "activations": 80}
    assert {name: size for name, size in sizes.items() if size} == {
        "runs": 25, "trials": 11, "epochs": 83, "predictions": 75, **measured
    }  # fmt: skip
    best = results.best("search")
    assert (best["run_ids"], best["value"]) == (IDS[:1], SEARCH[IDS[0]])
    (swa,) = results.compare("budgets", ["averages"]).to_pylist()
    assert (swa["figure"], swa["mean"], swa["num_seeds"]) == ("swa 1.25 accuracy", pytest.approx(0.426), 2)
    assert {view.sweep: dict(view.counts) for view in progress(results)} == {
        "averages": {"done": 1, "failed": 1},
        "surfaces": {"done": 2},
        "noise": {"done": 2},
        "search": {"done": 4, "running": 1},
    }
    diverged, blocked = results.failures().groups
    assert (diverged.what.error, diverged.what.place, len(diverged.runs)) == ("DivergedError", PLACE, 2)
    assert (blocked.what.error, len(blocked.runs)) == ("", 2)
    assert results.weights(IDS[0]).point["11.weight"].shape == (10, 64)
    for run in results.table("runs", where="status = 'done'").to_pylist():
        assert parse_job(results.spec(run["run_id"])).id == run["run_id"]


def test_commands_read_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that ask for results answer, and fsck finds what was killed, and nothing wrong."""
    monkeypatch.chdir(Path(store.root).parent)
    for command in ("status", "why", "best search", "compare budgets", "table runs", "du", f"check {SEARCHES}"):
        assert raysurf(command).code == 0, command
    killed = ["a lease of a process that has ended"] * 2 + ["states of a run that was broken off"]
    assert [finding.what for finding in fsck(store).findings] == killed


def test_finished_sweeps_are_not_run_again(store: Store) -> None:
    """No run that is done is run again; the inputs that failed are tried, and fail with their trial."""
    done = _done(store)
    finished = rs.run(rs.load(OLD / "kinds.yaml"), store.uri, executor="inline")
    assert (finished.trials, finished.failed) == (6, 3)
    assert _done(store) == done


@pytest.mark.parametrize("is_compacted", [False, True])
def test_broken_off_search_is_finished(store: Store, is_compacted: bool) -> None:
    """The run that was killed goes on from its state, those before stay, and compaction loses no row."""
    before, first = rows(store), _done(store)
    if is_compacted:
        settle(store)
        assert rows(store) == before
    (search,) = rs.load(SEARCHES)
    assert trained(search, store) == set(IDS[4:])
    results = rs.results.open(store.uri)
    trials = results.table("trials", where="sweep = 'search'").to_pylist()
    assert {row["run_ids"][0]: row["value"] for row in trials} == pytest.approx(SEARCH, rel=1e-6)
    assert [row["run_ids"][0] for row in trials] == IDS
    assert _done(store).items() >= first.items()
    # The first epoch's row was in the state that the killed process kept.
    (kept,) = results.table("epochs", where=f"run_id = '{IDS[4]}' and epoch = 1").to_pylist()
    assert kept["epoch_s"] == EPOCH_S
    assert not fsck(store).findings
    after = rows(store)
    settle(store)
    assert rows(store) == after


def _done(store: Store) -> dict[str, datetime]:
    """When the runs that are done began."""
    table = rs.results.open(store.uri).table("runs", where="status = 'done'")
    return {row["run_id"]: row["started_at"] for row in table.to_pylist()}

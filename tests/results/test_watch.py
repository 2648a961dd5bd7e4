"""A sweep is watched from its rows alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.cluster.launch import PlanRecord
from raysurf.errors import UnknownNameError
from raysurf.results.api import open as open_results
from raysurf.results.plans import plan_path
from raysurf.results.progress import progress
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.cases import tiny_sgd
from tests.support.command import raysurf

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def trial(store: Store, number: int, state: str, **said: Any) -> None:
    row = {"sweep": "s", "trial": number, "definition": "d", "arm": f"sgd lr={number}", "params": "{}", "run_ids": []}
    row |= {"seeds": [], "metric": "validation/nll", "mode": "min", "state": state}
    write_rows(store, "trials", f"s-{number}", [row | {"started_at": NOW - timedelta(minutes=2)} | said])


def test_time_left_counts_those_at_work(tmp_path: Path) -> None:
    """Of eight trials of 10 min two are done and two run since 2 min: two places have 20 and 8 min to go."""
    store = Store(str(tmp_path))
    for number, value in enumerate((0.5, 0.25)):
        trial(store, number, "done", value=value, wall_s=600.0)
    for number in (2, 3):
        trial(store, number, "running")
    (view,) = progress(open_results(str(tmp_path)), now=NOW)
    assert (view.total, view.left_s, view.per_hour) == (None, None, 12)
    store.put_json(plan_path("s"), {"sweep": "s", "definition": "d", "inputs": 0, "trials": 8})
    (view,) = progress(open_results(str(tmp_path)), ["s"], NOW)
    assert view.left_s == (4 * 600 + 2 * 480) / 2
    assert (view.best, view.best_of) == (0.25, "sgd lr=1")
    assert not view.is_over
    for number in (2, 3):
        trial(store, number, "stopped")
    (view,) = progress(open_results(str(tmp_path)), now=NOW)
    assert (view.left_s, view.counts["stopped"]) == (None, 2), "nothing runs, so nobody knows"
    with pytest.raises(UnknownNameError, match="got 'z'"):
        progress(open_results(str(tmp_path)), ["z"])


def test_the_best_of_one_configuration_is_a_trial(tmp_path: Path) -> None:
    """Where there is one configuration, the best is named by its trial."""
    store = Store(str(tmp_path))
    for number, value in enumerate((0.5, 0.25)):
        trial(store, number, "done", value=value, wall_s=600.0, arm="swa")
    (view,) = progress(open_results(str(tmp_path)), now=NOW)
    assert view.best_of == "trial 1"


def test_a_run_that_stays_behind_is_told(tmp_path: Path) -> None:
    """A run that has rows and no end is at work, with its last epoch and how long ago it wrote."""
    store = Store(str(tmp_path))
    epoch = {"run_id": "sgd-1", "weights": "iterate", "lr": 0.1, "epoch_s": 1.0}
    write_rows(store, "epochs", "sgd-1", [{**epoch, "epoch": n} for n in (1, 2)])
    trial(store, 0, "running", run_ids=["sgd-1"])
    later = datetime.now(UTC) + timedelta(hours=1)
    ((run,),) = (view.running for view in progress(open_results(str(tmp_path)), now=later))
    assert (run.label, run.place) == ("sgd-1", "epoch 2")
    assert 3590 < run.silent_s < 3700


def test_watching_ends_with_the_sweep(tmp_path: Path) -> None:
    """What ran is told with its failures, and the watch ends by itself, since the plan says that nothing is left."""
    sweep = rs.Sweep(tiny_sgd(epochs=1).with_holes(lr=rs.Each((0.1, 1e9))), name="s")
    rs.run(sweep, str(tmp_path), executor="inline", listener=PlanRecord(Store(str(tmp_path))))
    once = raysurf(f"status --results {tmp_path}").out.splitlines()
    assert once[0] == "s trials: 1 done, 0 running, 1 failed of 2"
    assert once[1].startswith("  1 failed: DivergedError the loss is not finite")
    watched = raysurf(f"status --watch --results {tmp_path}")
    assert watched.code == 0
    assert watched.out.splitlines() == [f"s: {once[1].strip()}", once[0]]

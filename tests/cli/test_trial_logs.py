"""``raysurf logs`` of trials and runs, from the tables alone."""

from __future__ import annotations

import json
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.store.tables import read_rows, write_rows
from tests.support.cases import tiny_sgd
from tests.support.command import raysurf
from tests.support.failed_runs import HERE, USERS, FailedStore
from tests.support.stores import epoch

AVERAGE = rs.SWA(start=tiny_sgd(lr=0.2), epochs=2, lr=0.1)


@pytest.fixture
def store() -> FailedStore:
    """A trial that failed after two epochs, with an input of its own, and one that has begun."""
    store = FailedStore(Path("results"))
    store.run(AVERAGE.ancestors[0], role="input", trial=4, device="cpu (x86_64)")
    store.run(AVERAGE, USERS, trial=4, params={"start.lr": 0.2, "momentum": 0.9}, device="cpu (x86_64)")
    store.trial(4, AVERAGE, error=USERS)
    store.trial(5, tiny_sgd(seed=9))
    write_rows(store.store, "epochs", AVERAGE.id, [epoch(AVERAGE.id, number) for number in (2, 1)])
    (row,) = read_rows(store.store, "runs", AVERAGE.id)
    began = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    write_rows(store.store, "runs", AVERAGE.id, [row | {"started_at": began, "wall_s": 12.34, "workers": 2}])
    return store


def test_a_trial_is_told_whole(store: FailedStore) -> None:
    """State, params, ids, times, machine, commit, versions, command, a line an epoch in order, and the traceback."""
    text = raysurf("logs s/4").out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "trial s/4 failed"
    assert "error RuntimeError: shape is invalid" in lines
    first, second = (lines.index(f"run {run_id}") for run_id in (f"{AVERAGE.start.id} done", f"{AVERAGE.id} failed"))
    assert first < second
    for part in (
        "of s/4, as trial",
        "params momentum=0.9, start.lr=0.2",
        "began 2026-05-04 03:02:01 UTC, 12.3 s",
        "machine cpu (x86_64), 2 workers",
        f"commit {HERE.git_commit}",
        "versions python 3.11.8, torch 2.6.0",
        "command raysurf run faults.yaml --wandb off",
    ):
        assert part in lines[second:], part
    heads = [line.split()[0] for line in lines[second:] if line[:2] in ("1 ", "2 ")]
    assert heads == ["1", "2"]
    assert textwrap.indent(USERS.rstrip(), "  ") in text


def test_a_run_and_what_has_no_rows_yet(store: FailedStore) -> None:
    """A run is found by its id, a trial without rows says that it has none, and JSON has the rows as they are."""
    alone = raysurf(f"logs {AVERAGE.id}").out
    assert alone.startswith(f"run        {AVERAGE.id}  failed") and AVERAGE.start.id not in alone
    assert f"{tiny_sgd(seed=9).id}  not begun" in raysurf("logs s/5").out
    logs = json.loads(raysurf("logs s/4 --format json").out)
    assert logs["trial"]["trial"] == 4
    assert [run["run_id"] for run in logs["runs"]] == [AVERAGE.start.id, AVERAGE.id]
    assert [row["epoch"] for row in logs["runs"][1]["epochs"]] == [1, 2]

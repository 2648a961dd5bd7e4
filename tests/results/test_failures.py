"""Grouping what failed."""

from __future__ import annotations

from pathlib import Path

import pytest

import raysurf as rs
from raysurf.errors import StoreError, UnknownNameError
from raysurf.results.runs import one_run
from tests.support.cases import tiny_sgd
from tests.support.failed_runs import DIVERGED, USERS, FailedStore


def test_failures_are_grouped_by_exception_and_line(tmp_path: Path) -> None:
    """Runs with one exception at one line are one group, with configurations, seeds, trials and the first traceback."""
    store = FailedStore(tmp_path)
    for number, (seed, lr, error) in enumerate(
        ((1, 9.0, DIVERGED), (2, 8.0, DIVERGED), (1, 0.1, USERS), (1, 0.2, None))
    ):
        job = tiny_sgd(lr=lr, seed=seed)
        store.run(job, error, trial=number, arm=f"sgd lr={lr}")
        store.trial(number, job, error=error and "short", arm=f"sgd lr={lr}")
    failures = store.open().failures()
    assert (failures.num_failed, failures.num_runs) == (3, 4)
    first, second = failures.groups
    assert (first.what.error, first.what.place, first.what.kind) == (
        "DivergedError",
        "raysurf/training/loop.py:166",
        "diverged",
    )
    assert (first.of("trial"), first.of("seed"), first.of("arm")) == ([0, 1], [1, 2], ["sgd lr=9.0", "sgd lr=8.0"])
    assert first.traceback == DIVERGED.strip("\n")
    assert (second.what.error, second.what.place, second.what.kind) == (
        "RuntimeError",
        "/home/ada/nets.py:12",
        "user_code",
    )
    assert second.run_ids == [tiny_sgd(lr=0.1, seed=1).id]


def test_blocked_trials_follow_what_blocked_them(tmp_path: Path) -> None:
    """A failed input, shared or a trial's own, is the cause; trials blocked by it are a group after it."""
    store = FailedStore(tmp_path)
    shared, own = tiny_sgd(lr=9.0), tiny_sgd(lr=8.0)
    store.run(shared, DIVERGED, role="input")
    for number in (0, 1, 2):
        job = rs.SWA(start=shared, epochs=number + 1, lr=0.1)
        error = f"its input {shared.id} failed: DivergedError: the loss"
        store.run(job, error, trial=number)
        store.trial(number, job, error=error)
    job = rs.SWA(start=own, epochs=1, lr=0.1)
    store.run(own, DIVERGED, role="input", trial=3)
    store.run(job, "DivergedError: the loss is not finite", trial=3)
    store.trial(3, job, error="DivergedError: the loss is not finite")
    cause, blocked, alone = store.open().failures("s").groups
    assert [len(group.runs) for group in (cause, blocked, alone)] == [2, 3, 1]
    assert [group.what.kind for group in (cause, blocked, alone)] == ["diverged", "blocked", "blocked"]
    assert own.id in alone.what.message


def test_trials_without_runs_and_stale_runs(tmp_path: Path) -> None:
    """A trial whose values make no job is counted; a run of a definition that is gone, or done since, is not."""
    store = FailedStore(tmp_path)
    store.trial(0, error="SpecError: job.lr: got 0; expected more than 0")
    store.run(tiny_sgd(lr=7.0), DIVERGED, trial=1)
    done = tiny_sgd(lr=6.0)
    store.run(done, DIVERGED, trial=2)
    store.run(done, trial=2)
    store.trial(2, done)
    failures = store.open().failures()
    assert (failures.num_failed, failures.num_runs) == (1, 2)
    assert (failures.groups[0].what.kind, failures.groups[0].run_ids) == ("mistake", [])


def test_sweeps_are_told_apart(tmp_path: Path) -> None:
    """A run that two sweeps share is in both; an unknown sweep is answered with the known ones."""
    store = FailedStore(tmp_path)
    shared, other = tiny_sgd(lr=9.0), tiny_sgd(lr=8.0)
    store.run(shared, DIVERGED, sweep="a", trial=0)
    store.run(other, DIVERGED, sweep="b", trial=1)
    store.trial(0, shared, error="x", sweep="a")
    store.trial(0, shared, error="x", sweep="b", arm="shared")
    store.trial(1, other, error="x", sweep="b")
    assert store.open().failures("a").groups[0].run_ids == [shared.id]
    (group,) = store.open().failures("b").groups
    assert sorted(group.run_ids) == sorted([shared.id, other.id])
    assert {(run.sweep, run.trial, run.arm) for run in group.runs} == {("b", 0, "shared"), ("b", 1, "sgd")}
    assert store.open().failures().num_failed == 2
    with pytest.raises(UnknownNameError, match="unknown sweep: got 'c'; expected one of a, b"):
        store.open().failures("c")


def test_a_run_is_found_by_a_beginning(tmp_path: Path) -> None:
    """An id may be cut short, its kind left out; what is ambiguous or unknown names what there is."""
    store = FailedStore(tmp_path)
    jobs = [tiny_sgd(lr=lr) for lr in (0.1, 0.2)]
    for job in jobs:
        store.run(job, sweep="s")
    results = store.open()
    for text in (jobs[0].id, jobs[0].id[:-3], jobs[0].id.removeprefix("sgd-")[:9]):
        assert one_run(results, text)["run_id"] == jobs[0].id
    with pytest.raises(StoreError, match=rf"'sgd', which 2 runs begin with; expected one of .*{jobs[1].id}.*seed 0"):
        one_run(results, "sgd")
    with pytest.raises(UnknownNameError, match="unknown run: got 'swa-1'; expected one of sgd-"):
        one_run(results, "swa-1")

"""One Ray Train group does trial after trial; what brings it down costs only the trial in flight."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from tests.support.cases import tiny_sgd

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]
TWO = rs.Resources(workers=2)


def linear(log: Path, epochs: int) -> rs.SGD:
    """Some epochs of a network that writes into a log."""
    model = rs.ModelSpec(name="tests.support.grouped:net", options={"log": str(log), "fault": ""})
    return tiny_sgd(model=model, epochs=epochs, data=rs.DataSpec(name="digits", share=0.3))


def incarnations(log: Path, fault: str = "") -> list[str]:
    """Processes of rank 0 in the order in which they built a network, of one fault or of all."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [pid for name, rank, pid in lines if rank == "0" and (name == fault or not fault)]


def test_short_trials_run_on_every_core(tmp_path: Path) -> None:
    """Though each takes less time than a process needs to start, two processes share them, through every batch."""
    log = tmp_path / "log"
    tree = linear(log, 1).with_holes(lr=rs.Float(0.01, 0.2))
    search = rs.Search(metric="validation/nll", trials=12, seed=0, batch=4)
    assert rs.run(rs.Sweep(tree, search, name="short"), str(tmp_path / "r")).failed == 0
    assert len(incarnations(log)) == 12
    assert len(set(incarnations(log))) == 2


def of_faults(log: Path, *faults: str, **settings: Any) -> rs.Sweep:
    """A trial for every fault."""
    tree = linear(log, 2).with_holes({"model.options.fault": rs.Each(faults)})
    return rs.Sweep(tree, name="faults", **settings)


def test_a_group_does_trial_after_trial(tmp_path: Path) -> None:
    """A bug costs its trial, early stopping costs the group nothing, and trials have the rows of one process."""
    log = tmp_path / "log"
    stopped = linear(log, 5).with_holes(lr=rs.Choice((0.1, 1e-6, 2e-6, 3e-6)))
    rule = rs.Stopping(grace_epochs=1, reduction=2)
    search = rs.Search(metric="validation/accuracy", sampler="grid", stopping=rule)
    sweeps = [of_faults(log, "first", "bug", "last", resources=TWO), rs.Sweep(stopped, search, "asha", resources=TWO)]
    assert rs.run(sweeps, str(tmp_path / "two")).failed == 1
    results = rs.results.open(str(tmp_path / "two"))
    rows = results.sql("select sweep, state, error from trials order by sweep desc, trial").to_pylist()
    assert [row["state"] for row in rows[:4]] == ["done", "failed", "done", "done"]
    assert "KeyError: 'layer7'" in rows[1]["error"]
    assert "stopped" in [row["state"] for row in rows if row["sweep"] == "asha"]
    # The group was started, and started again by the bug; by nothing else.
    assert incarnations(log, "first") == incarnations(log, "bug")
    assert list(dict.fromkeys(incarnations(log))) == incarnations(log, "first") + incarnations(log, "last")
    rs.run(of_faults(log, "first", "last"), str(tmp_path / "one"), executor="inline")
    query = "select train_nll, validation_loss from epochs join runs using (run_id)"
    query += " where sweep = 'faults' and status = 'done' order by arm, epoch, weights"
    ours, theirs = (part.sql(query).to_pylist() for part in (results, rs.results.open(str(tmp_path / "one"))))
    assert len(ours) == 2 * 2
    assert ours == [pytest.approx(row, rel=1e-4) for row in theirs]


@pytest.mark.fault
def test_a_killed_rank_costs_another_try_of_its_trial(tmp_path: Path) -> None:
    """A killed rank costs another try of its trial, a bug its trial; early stopping costs the group nothing."""
    log, two = tmp_path / "log", rs.Resources(workers=2)
    tree = linear(log, 2).with_holes({"model.options.fault": rs.Each(("first", "kill", "bug", "last"))})
    stopped = linear(log, 9).with_holes(lr=rs.Choice((0.1, 1e-6, 2e-6, 3e-6, 4e-6)))
    rule = rs.Stopping(grace_epochs=1, reduction=2)
    search = rs.Search(metric="validation/accuracy", sampler="grid", stopping=rule)
    sweeps = [rs.Sweep(tree, name="faults", resources=two), rs.Sweep(stopped, search, name="asha", resources=two)]
    assert rs.run(sweeps, str(tmp_path / "two")).failed == 1
    results = rs.results.open(str(tmp_path / "two"))
    rows = results.sql("select sweep, trial, state, error from trials order by sweep, trial").to_pylist()
    states = {name: [row["state"] for row in rows if row["sweep"] == name] for name in ("faults", "asha")}
    assert states["faults"] == ["done", "done", "failed", "done"]
    assert "KeyError: 'layer7'" in rows[7]["error"]
    assert states["asha"][0] == "done"
    assert "stopped" in states["asha"]

    tries = {fault: len(incarnations(log, fault)) for fault in ("first", "kill", "bug", "last")}
    assert tries == {"first": 1, "kill": 2, "bug": 1, "last": 1}
    # The group was started, and started again by the killed rank and by the bug; by nothing else.
    assert list(dict.fromkeys(incarnations(log))) == [
        *incarnations(log, "first"),
        *incarnations(log, "bug"),
        *incarnations(log, "last"),
    ]

    log.unlink()
    never = rs.Sweep(
        linear(log, 2).with_holes({"model.options.fault": rs.Each(("kill",))}), name="never", resources=two
    )
    never = dataclasses.replace(never, failures=rs.Failures(retries=0))
    assert rs.run(never, str(tmp_path / "never")).failed == 1
    for table in ("runs", "trials"):
        (row,) = rs.results.open(str(tmp_path / "never")).table(table).to_pylist()
        assert (row["error_kind"], row["error_message"]) == (
            "lost",
            "the worker process was lost: at its last of 1 tries",
        )

    log.unlink()
    kept = rs.Sweep(linear(log, 2).with_holes({"model.options.fault": rs.Each(("first", "kill", "last"))}), name="one")
    rs.run(kept, str(tmp_path / "one"), executor="inline")
    query = "select arm, epoch, weights, train_nll, validation_loss from epochs join runs using (run_id)"
    query += " where {} order by all"
    ours = results.sql(query.format("sweep = 'faults' and status = 'done'")).to_pylist()
    theirs = rs.results.open(str(tmp_path / "one")).sql(query.format("true")).to_pylist()
    assert len(ours) == len(theirs) == 3 * 2
    for a, b in zip(ours, theirs, strict=True):
        assert {key: a[key] for key in ("arm", "epoch", "weights")} == {
            key: b[key] for key in ("arm", "epoch", "weights")
        }
        assert (a["train_nll"], a["validation_loss"]) == pytest.approx((b["train_nll"], b["validation_loss"]), rel=1e-4)

"""Trials in Ray that hang, raise, leave their process or run out of memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import raysurf as rs
from tests.support.flaky import linear
from tests.support.stored_rows import check_undisturbed, table_rows

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.usefixtures("ray_cluster")]


def test_failures_are_told_apart_and_tried_again(tmp_path: Path) -> None:
    """A hung process is killed, a lost one and a lack of memory are retried, what raises is a row; all others go on."""
    mended = tmp_path / "mended"
    until = str(mended)
    hangs = rs.Sweep(linear(fault="hang", until=until), name="hangs")
    limited = dataclasses.replace(hangs, failures=rs.Failures(time_limit_s=2.0))
    logs = {name: tmp_path / name for name in ("lost_once", "memory_once", "lost")}
    cases = (
        {"fault": "exit", "log": str(logs["lost_once"]), "fails": 1},
        {"fault": "memory", "log": str(logs["memory_once"]), "fails": 1},
        {"fault": "exit", "log": str(logs["lost"]), "until": until},
        {"fault": "bug", "until": until},
        {"fault": ""},
    )
    tree = linear().with_holes({"model.options": rs.Each(cases)})
    faults = rs.Sweep(tree, name="faults", failures=rs.Failures(retries=1))
    uri = str(tmp_path / "r")
    assert rs.run([limited, faults], uri).failed == 3
    states = {(row["sweep"], row["trial"]): row["state"] for row in table_rows(tmp_path / "r")}
    assert [states["faults", number] for number in range(5)] == ["done", "done", "failed", "failed", "done"]
    groups = rs.results.open(uri).failures().groups
    kinds = {(run.sweep, run.trial): group.what.kind for group in groups for run in group.runs}
    assert kinds == {("hangs", 0): "time_limit", ("faults", 2): "lost", ("faults", 3): "user_code"}
    columns = {
        (row["sweep"], row["trial"]): row for row in table_rows(tmp_path / "r", "runs") if row["status"] == "failed"
    }
    assert {key: (row["error_kind"], row["error_class"]) for key, row in columns.items()} == {
        ("hangs", 0): ("time_limit", "TimeLimitError"),
        ("faults", 2): ("lost", "ActorDiedError"),
        ("faults", 3): ("user_code", "KeyError"),
    }
    assert columns["faults", 2]["error_message"].startswith("the worker process was lost: The actor died")
    assert columns["faults", 3]["error_place"].rpartition(":")[0].endswith("tests/support/flaky.py")
    (raised,) = [group for group in groups if group.what.kind == "user_code"]
    assert "KeyError: 'layer7'" in raised.traceback and "flaky.py" in raised.traceback
    assert {row["status"] for row in table_rows(tmp_path / "r", "runs")} == {"done", "failed"}
    assert [len(path.read_text().splitlines()) for path in logs.values()] == [2, 2, 2]
    mended.touch()
    assert rs.run([hangs, faults], uri, executor="inline", retry_failed=True).failed == 0
    rs.run([hangs, faults], str(tmp_path / "calm"), executor="inline")
    check_undisturbed(uri, str(tmp_path / "calm"))

"""``raysurf status --watch`` beside a store that fills: it waits, tells what changes, and ends with the sweep."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from raysurf.cli.progress_text import line, lines
from raysurf.results.plans import plan_path
from raysurf.results.progress import SweepProgress
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support import stores
from tests.support.cases import ROOT
from tests.support.large_sweep import DIVERGED
from tests.support.measured_rows import run, run_id

COUNTS = Counter({"done": 5, "running": 2, "failed": 1})
VIEW = SweepProgress("s", 8, COUNTS, Counter({"done": 1}), 2, "test/nll", 0.25, "trial 3", 1234.5, 75.0)


def watching(place: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "raysurf.cli.main", "status", "--watch", "--every", "0.1", "--results", str(place)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def trial(store: Store, number: int, state: str, **said: Any) -> None:
    row = stores.trial("s", number, run_ids=[run_id("sgd", number)], metric="validation/nll", mode="min", state=state)
    write_rows(store, "trials", f"s-{number}", [row | {"started_at": datetime.now(UTC)} | said])


def test_watching_a_store_that_fills(tmp_path: Path) -> None:
    """It says that it waits; then trials, the best and a failure with its reason, as they come; then it ends with 0."""
    watch = watching(tmp_path / "r")
    assert watch.stdout and watch.stderr
    try:
        assert watch.stderr.readline().strip() == f"{tmp_path / 'r'}: nothing has begun yet; waiting for it"
        store = Store(str(tmp_path / "r"))
        store.put_json(plan_path("s"), {"sweep": "s", "definition": "d", "inputs": 0, "trials": 2})
        trial(store, 0, "running")
        assert watch.stdout.readline().strip() == "s trials: 0 done, 1 running, 0 failed of 2"
        trial(store, 0, "done", value=0.5, wall_s=3.0)
        best = "best validation/nll 0.5000 (trial 0)"
        assert watch.stdout.readline().strip() == f"s trials: 1 done, 0 running, 0 failed of 2; {best}"
        name = run_id("sgd", 1)
        write_rows(store, "runs", name, [run(name, sweep="s", trial=1, status="failed", error=DIVERGED)])
        trial(store, 1, "failed", wall_s=1.0)
        out, err = watch.communicate(timeout=60)
        assert out.splitlines()[0].startswith("s: 1 failed: DivergedError the loss is not finite at epoch 1")
        assert out.splitlines()[-1] == f"s trials: 1 done, 0 running, 1 failed of 2; {best}"
        assert (watch.returncode, err) == (0, "")
    finally:
        watch.kill()


@pytest.mark.parametrize(
    ("inputs", "total", "done", "said"),
    [
        ({"done": 1, "failed": 1}, 3, 5, ["s inputs: 1 done, 1 failed of 3"]),
        ({}, 2, 5, ["s inputs: 0 done of 2"]),
        ({"done": 8}, 2, 5, ["s inputs: 8 done"]),
        ({}, 2, 8, []),
    ],
    ids=["some", "none yet", "more than all trials share", "run by another sweep"],
)
def test_inputs(inputs: dict[str, int], total: int, done: int, said: list[str]) -> None:
    """They are of as many as the plan has, unless trials have some by themselves; over and none run, none are told."""
    assert lines([SweepProgress("s", 8, Counter(done=done), Counter(inputs), total)])[:-1] == said


def test_lines_fit_a_terminal() -> None:
    """Counts stand in one line, best, rate and time left in the next, so that 80 columns show them whole."""
    assert lines([VIEW]) == [
        "s inputs: 1 done of 2",
        "s trials: 5 done, 2 running, 1 failed of 8",
        "  best test/nll 0.2500 (trial 3); 1,234 an hour; about 75 s left",
    ]
    assert line(VIEW) == "; ".join(text.strip() for text in lines([VIEW])[1:])

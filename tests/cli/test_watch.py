"""``raysurf status --watch`` beside a store that fills: it waits, tells what changes, and ends with the sweep."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pytest

from raysurf.cli.display import line, lines
from raysurf.results.progress import SweepView, plan_path
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.cases import ROOT
from tests.support.command import raysurf
from tests.support.large_sweep import DIVERGED
from tests.support.measured_rows import run, run_id

VIEW = SweepView(
    "s", 8, {"done": 5, "running": 2, "failed": 1}, {"done": 1, "total": 2}, "test/nll", 0.25, "trial 3", 1234.5, 75.0
)


def watching(place: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "raysurf.cli.main", "status", "--watch", "--every", "0.1", "--results", str(place)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(stream: IO[str] | None) -> str:
    """The next line, when it comes."""
    assert stream is not None
    return stream.readline().rstrip("\n")


def trial(store: Store, number: int, state: str, **said: Any) -> None:
    row = {"sweep": "s", "trial": number, "definition": "d", "arm": "sgd", "params": "{}", "seeds": []}
    row |= {"run_ids": [run_id("sgd", number)], "metric": "validation/nll", "mode": "min", "state": state}
    write_rows(store, "trials", f"s-{number}", [row | {"started_at": datetime.now(UTC)} | said])


def test_watching_a_store_that_fills(tmp_path: Path) -> None:
    """It says that it waits; then trials, the best and a failure with its reason, as they come; then it ends with 0."""
    watch = watching(tmp_path / "r")
    try:
        assert told(watch.stderr) == f"{tmp_path / 'r'}: nothing has begun yet; waiting for it"
        store = Store(str(tmp_path / "r"))
        store.put_json(plan_path("s"), {"sweep": "s", "definition": "d", "inputs": 0, "trials": 2})
        trial(store, 0, "running")
        assert told(watch.stdout) == "s trials: 0 done, 1 running, 0 failed of 2"
        trial(store, 0, "done", value=0.5, wall_s=3.0)
        assert told(watch.stdout) == "s trials: 1 done, 0 running, 0 failed of 2; best validation/nll 0.5000 (trial 0)"
        name = run_id("sgd", 1)
        write_rows(store, "runs", name, [run(name, sweep="s", trial=1, status="failed", error=DIVERGED)])
        trial(store, 1, "failed", wall_s=1.0)
        out, err = watch.communicate(timeout=60)
        assert out.splitlines()[0].startswith("s: 1 failed: DivergedError the loss is not finite at epoch 1")
        assert (
            out.splitlines()[-1] == "s trials: 1 done, 0 running, 1 failed of 2; best validation/nll 0.5000 (trial 0)"
        )
        assert (watch.returncode, err) == (0, "")
    finally:
        watch.kill()


@pytest.mark.parametrize("options", [(), ("--watch",)], ids=["once", "watch"])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_watching_what_is_no_store(tmp_path: Path, what: str, options: tuple[str, ...]) -> None:
    """A file, or a folder of other things, is one error, whether one looks once or on and on."""
    place = tmp_path / "other"
    if what == "folder":
        place.mkdir()
    (place / "notes.txt" if what == "folder" else place).write_text("x")
    done = raysurf("status", *options, "--results", str(place))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: results '{place}': got no tables; expected a store")
    assert done.stderr.count("\n") == 1


def test_an_empty_store(tmp_path: Path) -> None:
    """A look at an empty folder is an error; nothing is written there."""
    done = raysurf("status", "--results", str(tmp_path))
    assert done.returncode == 2 and "got no tables" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("inputs", "done", "said"),
    [
        ({"done": 1, "failed": 1, "total": 3}, 5, ["s inputs: 1 done, 1 failed of 3"]),
        ({"total": 2}, 5, ["s inputs: 0 done of 2"]),
        ({"done": 8, "total": 2}, 5, ["s inputs: 8 done"]),
        ({"total": 2}, 8, []),
    ],
    ids=["some", "none yet", "more than all trials share", "run by another sweep"],
)
def test_inputs(inputs: dict[str, int], done: int, said: list[str]) -> None:
    """They are of as many as the plan has, unless trials have some by themselves; over and none run, none are told."""
    assert lines([SweepView("s", 8, {"done": done}, inputs)])[:-1] == said


def test_lines_fit_a_terminal() -> None:
    """Counts stand in one line, best, rate and time left in the next, so that 80 columns show them whole."""
    assert lines([VIEW]) == [
        "s inputs: 1 done of 2",
        "s trials: 5 done, 2 running, 1 failed of 8",
        "  best test/nll 0.2500 (trial 3); 1,234 an hour; about 75 s left",
    ]
    assert line(VIEW) == "; ".join(text.strip() for text in lines([VIEW])[1:])

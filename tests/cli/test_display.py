"""What ``check`` says of a search, and a run while it goes on, in a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import raysurf as rs
from raysurf.cli.display import Display
from raysurf.cli.run import plan_lines
from raysurf.cluster.capacity import Capacity
from raysurf.cluster.launch import plan_sweeps
from raysurf.results.progress import SweepProgress
from raysurf.store.store import Store
from raysurf.sweep.plan import make_plan
from tests.support.cases import tiny_sgd


def test_lines_of_a_run(tmp_path: Path) -> None:
    """A line a change with counts and the best so far, failures with their reason; what is reused is said once."""
    tree = tiny_sgd(epochs=1).with_holes(lr=rs.Each((0.1, 1e9)), batch_size=rs.Int(32, 64))
    sweep = rs.Sweep(tree, rs.Search(metric="validation/nll", trials=1, seed=0), name="digits")
    said = []
    for _ in range(2):
        stream = io.StringIO()
        with Display(plan_sweeps([sweep], Store(str(tmp_path))), stream) as display:
            rs.run(sweep, str(tmp_path), executor="inline", listener=display)
        said.append(stream.getvalue().splitlines())
    first, second = said
    assert first[0] == "digits trials: 0 done, 0 running, 0 failed of 2; workers are starting"
    assert first[1].startswith("digits trials: 0 done, 1 running, 0 failed of 2; trial 0 begins (lr=0.1, batch_size=")
    assert any("1 done, 0 running, 0 failed of 2; best validation/nll" in line for line in first)
    assert any(line.startswith("trial 1 failed: DivergedError: the loss is not finite") for line in first)
    assert second[-2] == "digits trials: 1 of 2 were done already and are reused"
    assert second[-1] == "digits trials: 1 of 2 failed before (--retry-failed tries again)"


def test_a_long_name_leaves_the_best_and_the_time_on_the_screen(tmp_path: Path) -> None:
    """On a terminal of 80 columns counts are in the first line, all else in the next; at first it starts."""
    name = "a-name-of-a-sweep-that-is-34-long-"
    sweep = rs.Sweep(tiny_sgd(epochs=1).with_holes(lr=rs.Each((0.1, 0.2))), name=name + "x")
    display = Display(plan_sweeps([sweep], Store(str(tmp_path))), io.StringIO())
    assert display._screen().plain == "starting"
    display.state.stage = "trials"
    display.state.progress = SweepProgress(name, 2, metric="validation/nll", best=0.25, best_of="trial 0")
    first, second = display._screen().plain.splitlines()
    assert first == f"{name} trials: 0 done, 0 running, 0 failed of 2"
    assert second == "  workers are starting; best validation/nll 0.2500 (trial 0)"


def test_search_is_told_in_full() -> None:
    """Sampler, metrics, points, what is learnt from, stopping and budget stand in the plan."""
    job = tiny_sgd().with_holes(lr=rs.Float(0.01, 0.2))
    search = rs.Search(
        metric=["validation/error"],  # type: ignore[arg-type]
        trials=4,
        points=[{"lr": 0.05}],  # type: ignore[arg-type]
        warm_start=["coarse"],  # type: ignore[arg-type]
        stopping=rs.Stopping(kind="median", grace_epochs=2),
    )
    several = rs.Search(metric=("validation/accuracy", "validation/nll"), trials=4, seed=0)
    plan = make_plan(
        [
            rs.Sweep(job, search, name="one", budget=rs.Budget(trials=3, wall_hours=0.5)),
            rs.Sweep(job, several, name="two"),
        ],
        [],
        {},
    )
    text = "\n".join(plan_lines(plan, Capacity(2, 0, "this machine"), "x.yaml", "r"))
    for said in (
        "tpe for the min of validation/error, not reproducible",
        "first lr = 0.05",
        "learns first from finished trials of coarse",
        "median after 2 epochs",
        "at most 3 trials and 0.5 wall hours; no trial begins that could pass it",
        "tpe for the max of validation/accuracy and the min of validation/nll, seed 0",
    ):
        assert said in text

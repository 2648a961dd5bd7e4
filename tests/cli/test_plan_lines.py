"""What ``raysurf check`` says of a search."""

from __future__ import annotations

import raysurf as rs
from raysurf.cli.run import plan_lines
from raysurf.cluster.capacity import Capacity
from raysurf.sweep.plan import make_plan
from tests.support.cases import tiny_sgd


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

"""Ids of jobs, written down: they name folders of every store, so no change of the program may change one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from raysurf import plugs
from raysurf.jobs.parse import parse_job
from tests.support.cases import tiny_sgd

WRITTEN: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("job_ids.yaml").read_text())


@pytest.mark.parametrize("written", WRITTEN["jobs"])
def test_id_is_the_one_written_down(written: str) -> None:
    """A job has the id, the trajectory and the group that it has had; so has what its own tree is read as."""
    job = parse_job(WRITTEN["jobs"][written], look_up=False)
    trains = job.kind in ("sgd", "swa", "swag")
    for same in (job, parse_job(job.tree, look_up=False)):
        assert same.id == written
        assert same.trajectory == WRITTEN["trajectories"].get(written, written if trains else None)
        assert same.group == WRITTEN["groups"].get(written, written)


def test_no_plug_is_missing() -> None:
    """Every kind of job, place, schedule, objective, noise and initial deviation has an id written down."""

    def kinds(tree: Any) -> set[str]:
        inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
        own = {tree["kind"]} if isinstance(tree, dict) and "kind" in tree else set()
        return own.union(*map(kinds, inner))

    groups = ("jobs", "places", "schedules", "objectives", "noise", "initial")
    assert {name for group in groups for name in plugs.GROUPS[group].own} <= kinds(WRITTEN["jobs"])


@pytest.mark.parametrize(
    "same", [{"batch_size": 64}, {"seed": 0}, {"evaluate_every": 1}, {"objective": None}, {"schedule": None}]
)
def test_stated_default_changes_no_id(same: dict[str, object]) -> None:
    """A field that is stated as it is anyway is no part of an id."""
    assert tiny_sgd(**same).id == tiny_sgd().id

"""From a tree of plain mappings to a job, finding every fault on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from raysurf.errors import SpecError
from raysurf.jobs.job import Job
from raysurf.values import LOOK_UP, Path, PathFault, faults_of


def parse_job(tree: Mapping[str, Any], look_up: bool = True) -> Job:
    """Build a job from a tree.

    Args:
        tree: As in YAML: ``kind`` and the fields of that kind, inputs nested.
        look_up: Whether the networks and data that it names must be there; a network's module is imported for it.

    Raises:
        SpecError: With every fault of the tree.
    """
    job, faults = parse(tree, (), look_up)
    if job is None:
        raise SpecError([fault for _, fault in faults])
    return job


def parse(tree: Any, path: Path, look_up: bool = True) -> tuple[Job | None, list[PathFault]]:
    """Build a job from a tree that stands at a path of a document.

    Returns:
        The job, or None if it has faults; and the faults, each with its path.
    """
    try:
        return Job.model_validate(tree, context={LOOK_UP: look_up}), []
    except ValidationError as error:
        return None, faults_of(Job, error, path)

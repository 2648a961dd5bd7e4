"""Lineages: a trial of a population goes on from another one, and its assignment says all values on the way to it.

An assignment with a lineage has, beside its own values, a list under ``lineage``: the values of the generations before
it, oldest first. It stands for a chain of jobs, each of which starts from the one before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raysurf.errors import Fault, SpecError
from raysurf.jobs.job import Job
from raysurf.jobs.sources import WeightsJob
from raysurf.jobs.training_job import TrainingJob
from raysurf.store.parts import LINEAGE
from raysurf.sweep.space import Params
from raysurf.values import kinds, shown

# How a training begins: fields that the first generation alone has.
BEGINNING = ("model", "init", "kl_warmup")
# What a generation cannot change: where it starts, and how long it is.
FIXED = (*BEGINNING, "start", "origin", "epochs", "until", "base_epochs")


def kinds_that_go_on() -> tuple[str, ...]:
    """Kinds of training jobs whose weights can be the start of another one of the kind."""
    every = kinds(WeightsJob).items()
    return tuple(kind for kind, cls in every if issubclass(cls, TrainingJob) and "start" in cls.model_fields)


def own_values(params: Mapping[str, Any]) -> Params:
    """The values of an assignment itself, without those of earlier generations."""
    return {name: value for name, value in params.items() if name != LINEAGE}


def earlier_values(params: Mapping[str, Any]) -> list[Params]:
    """The values of the generations before an assignment's own, oldest first.

    Raises:
        SpecError: If the lineage is something else than a list of assignments.
    """
    earlier = params.get(LINEAGE, [])
    if not isinstance(earlier, list) or not all(isinstance(generation, Mapping) for generation in earlier):
        raise SpecError([Fault(LINEAGE, shown(earlier), "a list of assignments, one for every generation before")])
    return [dict(generation) for generation in earlier]


def going_on_from(before: Job, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of the generation after a job: it starts from that job's weights, and draws what is random anew."""
    assert isinstance(before, TrainingJob)
    kept = {name: value for name, value in tree.items() if name not in BEGINNING}
    return {**kept, "start": before, "origin": before.origin + before.epochs_to_train}


def earlier_generations(job: Job, params: Mapping[str, Any]) -> list[Job]:
    """The jobs of a lineage before its last one, newest first."""
    jobs: list[Job] = []
    for _ in earlier_values(params):
        job = job.start  # type: ignore[attr-defined]
        jobs.append(job)
    return jobs


def history(params: Mapping[str, Any], name: str) -> Sequence[Any]:
    """A hole's value in every generation of a lineage, oldest first; None where the hole was not come upon."""
    return [values.get(name) for values in (*earlier_values(params), params)]

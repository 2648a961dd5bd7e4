"""What a sweep calls a run, and the ``runs`` row that comes of it. Importing it imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raysurf.jobs.geometry import seed_of
from raysurf.jobs.job import Job
from raysurf.jobs.outcome import Figures
from raysurf.jobs.provenance import Provenance
from raysurf.redaction import redact


@dataclass(frozen=True)
class Labels:
    """What a sweep calls a run: the columns of its ``runs`` row that the job itself does not know."""

    sweep: str
    role: str
    arm: str
    provenance: Provenance
    trial: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def as_input(self) -> Labels:
        """The labels of an input that is run within this one's trial."""
        return Labels(self.sweep, "input", self.arm, self.provenance, self.trial)


def describe(job: Job, labels: Labels, status: str, figures: Figures, error: str | None) -> dict[str, Any]:
    """The columns of a ``runs`` row that do not depend on where the job ran."""
    return {
        "run_id": job.id,
        "sweep": labels.sweep,
        "trial": labels.trial,
        "role": labels.role,
        "kind": job.kind,
        "arm": labels.arm,
        "group": job.group,
        "model": job.model_spec.name,
        "data": job.data_spec.shown,
        "seed": seed_of(job),
        "budget": job.budget_spent,
        "epochs": float(job.epochs_to_train),
        "params": json.dumps(dict(labels.params), sort_keys=True),
        "spec": json.dumps(job.tree, sort_keys=True),
        "inputs": [needed.id for needed in job.inputs],
        "status": status,
        "error": None if error is None else redact(error),
        "metrics": json.dumps(figures, sort_keys=True),
        **labels.provenance.as_columns(),
    }

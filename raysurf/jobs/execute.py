"""Run a job: its missing inputs first, its rows and outcome kept, its failure recorded."""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from raysurf.jobs.context import Context, Progress
from raysurf.jobs.job import Job
from raysurf.jobs.outcome import Figures, figures_of, outcome_path
from raysurf.jobs.provenance import Provenance, device_name
from raysurf.results.store import Store
from raysurf.training.workers import Workers


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


def execute(
    job: Job, store: Store, workers: Workers, progress: Callable[[Progress], None], labels: Labels
) -> Figures:
    """Run a job unless it is done already; every worker of a group calls it.

    Args:
        job: What to run.
        store: Where outcomes and rows are.
        workers: This process's place in its group.
        progress: Told of every epoch and point; it may stop the job by raising.
        labels: What the sweep calls it.

    Returns:
        The job's figures.

    Raises:
        Exception: Whatever the job raised, after a ``runs`` row that says so.
    """
    for needed in job.ancestors:
        if figures_of(store, needed.id) is None:
            _run(needed, store, workers, progress, labels.as_input())
    found = figures_of(store, job.id)
    return _run(job, store, workers, progress, labels) if found is None else found


def _run(job: Job, store: Store, workers: Workers, progress: Callable[[Progress], None], labels: Labels) -> Figures:
    context = Context(job, store, workers, progress)
    started, began = datetime.now(UTC), time.perf_counter()

    def record(status: str, figures: Figures, error: str | None) -> None:
        if workers.rank == 0:
            wall_s = time.perf_counter() - began
            row = describe(job, labels, status, figures, error) | {
                "started_at": started,
                "wall_s": wall_s,
                "device_s": wall_s * workers.size,
                "workers": workers.size,
                "device": device_name(workers.device),
            }
            store.write_rows("runs", job.id, [row])

    try:
        figures = job.run(context)
        wrong = [name for name, value in figures.items() if not math.isfinite(value)]
        if wrong:
            raise ArithmeticError(f"not finite: {', '.join(wrong)}")
    except Exception as error:
        context.flush()
        record("failed", {}, "".join(traceback.format_exception(error)))
        raise
    context.flush()
    record("done", figures, None)
    if workers.rank == 0:
        store.put_json(outcome_path(job.id), {"figures": figures, "job": job.tree})
        context.checkpoints.clear()
    workers.barrier()
    return figures


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
        "data": job.data_spec.name,
        "seed": next((j.seed for j in (job, *reversed(job.ancestors)) if hasattr(j, "seed")), 0),
        "budget": job.budget,
        "epochs": float(job.epochs_to_train),
        "params": json.dumps(dict(labels.params), sort_keys=True),
        "spec": json.dumps(job.tree, sort_keys=True),
        "inputs": [needed.id for needed in job.inputs],
        "status": status,
        "error": error,
        "metrics": json.dumps(figures, sort_keys=True),
        **labels.provenance.as_columns(),
    }

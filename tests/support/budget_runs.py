"""Stores of SGD, FGE and SWA runs, their rows made of real jobs and written by the real store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import raysurf as rs
from raysurf.jobs.job import Job
from raysurf.jobs.provenance import Labels, Provenance, describe
from raysurf.results.api import Results, open
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.stores import prediction

PROVENANCE = Provenance(None, None, "raysurf run budgets.yaml", {})
# What a job's metric is read from, and what lies beside it.
PREDICTIONS = {
    "sgd": {("final", "deterministic", 1): 0.0},
    "weights": {("final", "deterministic", 1): 0.0},
    "swa": {("average", "deterministic", 1): 0.0, ("last", "deterministic", 1): -0.3},
    "fge": {
        ("members", "ensemble", 1): -0.3,
        ("members", "ensemble", 3): 0.0,
        ("members", "ensemble", 2): -0.2,
        ("average", "deterministic", 1): -0.4,
    },
}


def sgd(model: str = "vgg16", data: str = "cifar100", epochs: int = 200, **changes: Any) -> rs.SGD:
    """The talk's SGD."""
    return rs.SGD(**{"model": model, "data": data, "epochs": epochs, "lr": 0.05, **changes})


def swa(start: Job, epochs: int, **changes: Any) -> rs.SWA:
    """SWA from there."""
    return rs.SWA(**{"start": start, "epochs": epochs, "lr": 0.01, **changes})


def fge(start: Job, epochs: int, **changes: Any) -> rs.FGE:
    """FGE from there."""
    return rs.FGE(**{"start": start, "epochs": epochs, "schedule": rs.Triangle(high=0.05, low=5e-4), **changes})


def weights(model: str = "resnet50", data: str = "imagenet") -> rs.Weights:
    """Pretrained weights."""
    return rs.Weights(model=model, data=data, pretrained="IMAGENET1K_V1")


class BudgetStore:
    """A store in a folder, filled a run at a time."""

    def __init__(self, root: Path) -> None:
        self.store = Store(str(root))

    def run(self, job: Job, *accuracies: float | None, status: str = "done", sweep: str = "budgets") -> None:
        """Write a job's runs, one a seed from 0, and their predictions, worse ones of other weights beside them.

        Args:
            job: What was run.
            *accuracies: Of its outcome on test, a seed; None for a run without predictions.
            status: How the runs ended.
            sweep: What ran them.
        """
        for seed, accuracy in enumerate(accuracies):
            seeded = job.with_seed(seed)
            labels = Labels(sweep, "trial", job.kind, PROVENANCE)
            write_rows(self.store, "runs", seeded.id, [describe(seeded, labels, status, {}, None)])
            if accuracy is not None:
                rows = [
                    prediction(seeded.id, scheme, count, accuracy + less, weights=weights, batchnorm="reestimate")
                    for (weights, scheme, count), less in PREDICTIONS[job.kind].items()
                ]
                wrong = [row | {"split": "validation", "num_samples": 9, "accuracy": 0.01} for row in rows]
                write_rows(self.store, "predictions", seeded.id, rows + wrong)

    def open(self) -> Results:
        """The store, for reading."""
        return open(self.store.uri)

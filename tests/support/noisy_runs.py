"""Stores of noisy networks' runs, written by the real store, that comparisons read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raysurf.results.api import Results, open
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.stores import Row, prediction, run, trial

LAYER = {"kind": "variational_dropout", "layers": "dense1", "sharing": "layer"}
WEIGHT = {"kind": "variational_dropout", "layers": "dense1"}  # The default sharing is left out of a job's JSON.
DROPOUT = {"kind": "dropout", "layers": "dense1"}
VARIANCE = {"kind": "variance", "layers": "dense1"}


class NoisyStore:
    """A store in a folder, filled a run at a time."""

    def __init__(self, root: Path) -> None:
        self.store = Store(str(root))
        self.count = 0

    def run(
        self,
        noise: Row | Sequence[Row],
        accuracies: Mapping[str, float] | None = None,
        elbo: float | None = None,
        setting: Row | None = None,
        **columns: Any,
    ) -> str:
        """Write a run and its predictions.

        Args:
            noise: The job's noise.
            accuracies: Test accuracy by scheme; of the ensemble that of 10 samples, beside worse ones of fewer.
            elbo: Its metric ``train/elbo``.
            setting: Further fields of the job; what they are decides the run's group.
            **columns: Columns of its row; ``model`` and ``data`` are named in the job too.

        Returns:
            Its id.
        """
        self.count += 1
        run_id = f"{columns.get('kind', 'variational')}-{self.count:016x}"
        model, data = columns.get("model", "lenet5_bn"), columns.get("data", "mnist")
        noises = [noise] if isinstance(noise, dict) else list(noise)
        spec = {"kind": "variational", "model": {"name": model}, "data": {"name": data}, "noise": noises}
        spec |= setting or {}
        seed = columns.get("seed", 0)
        row = run(run_id, spec | {"seed": seed}, sweep="noisy", kind="variational", arm="variational", trial=None)
        row |= {"group": json.dumps(spec), "model": model, "data": data, "epochs": 30.0, "budget": None}
        row |= {
            "metrics": json.dumps({} if elbo is None else {"train/elbo": elbo}),
            "command": "raysurf run noisy.yaml",
        }
        write_rows(self.store, "runs", run_id, [row | columns])
        predictions = []
        for scheme, accuracy in (accuracies or {}).items():
            samples = {1: 0.3, 10: 0.0, 2: 0.2} if scheme == "ensemble" else {1: 0.0}
            predictions += [prediction(run_id, scheme, n, accuracy - less) for n, less in samples.items()]
            predictions.append(prediction(run_id, scheme, 100, 0.5) | {"split": "validation"})
            predictions.append(prediction(run_id, scheme, 100, 0.5) | {"weights": "last"})
        write_rows(self.store, "predictions", run_id, predictions)
        return run_id

    def trial(self, sweep: str, run_ids: Sequence[str], arm: str, params: Row | None = None, number: int = 0) -> None:
        """Write a trial of a sweep, of runs that another sweep may have run."""
        row = trial(sweep, number, arm=arm, params=json.dumps(params or {}), run_ids=list(run_ids))
        write_rows(self.store, "trials", f"{sweep}-{number}", [row])

    def open(self) -> Results:
        """The store, for reading."""
        return open(self.store.uri)


def schemes(stochastic: float, deterministic: float, ensemble: float) -> dict[str, float]:
    """Accuracies by scheme."""
    return {"stochastic": stochastic, "deterministic": deterministic, "ensemble": ensemble}

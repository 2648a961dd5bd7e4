"""Stores of runs that failed, written by the real store with the text of their errors alone, as older versions did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raysurf.jobs.job import Job
from raysurf.jobs.provenance import Labels, Provenance, describe
from raysurf.results.api import Results, open
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.stores import trial

HERE = Provenance("0123abcd" * 5, False, "raysurf run faults.yaml --wandb off", {"python": "3.11.8", "torch": "2.6.0"})
LOOP = 'Traceback (most recent call last):\n  File "/x/raysurf/training/loop.py", line 166, in fit\n    raise\n'
DIVERGED = f"{LOOP}raysurf.errors.DivergedError: the loss is not finite at epoch 1, step 3; it never was\n"
USERS = f'{LOOP}  File "/home/ada/nets.py", line 12, in forward\n    x.view(3)\nRuntimeError: shape is invalid\n'


class FailedStore:
    """A store in a folder, filled a trial at a time."""

    def __init__(self, root: Path) -> None:
        self.store = Store(str(root))

    def run(self, job: Job, error: str | None = None, provenance: Provenance = HERE, **labels: Any) -> None:
        """Write a run's row; one with an error has failed."""
        given: dict[str, Any] = {"sweep": "s", "role": "trial", "arm": job.kind, "trial": None, **labels}
        metrics = given.pop("metrics", {})
        more = {key: given.pop(key) for key in ("device", "data_fingerprint") if key in given}
        row = describe(job, Labels(provenance=provenance, **given), "failed" if error else "done", metrics, None)
        write_rows(self.store, "runs", job.id, [row | more | {"error": error}])

    def trial(self, number: int, *jobs: Job, error: str | None = None, sweep: str = "s", arm: str = "sgd") -> None:
        """Write a trial's row; one with an error has failed."""
        ids, state = [job.id for job in jobs], "failed" if error else "done"
        row = trial(sweep, number, arm=arm, run_ids=ids, state=state, error=error)
        write_rows(self.store, "trials", f"{sweep}-{number:06d}", [row])

    def open(self) -> Results:
        """The store, for reading."""
        return open(self.store.uri)

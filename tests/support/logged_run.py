"""A run of a few epochs that is logged to W&B; it imports little, so that processes that use it start soon."""

from __future__ import annotations

from typing import Any

from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from raysurf.tracking.wandb_runs import TrackedRun, WandbSink

CONFIG = {"start.lr": 0.1, "arm": "swa lr=0.1", "group": "swa-abc"}


def epochs(count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for n in range(1, count + 1):
        base = {"run_id": "swa-1", "epoch": n, "lr": 0.1, "epoch_s": 1.0}
        rows.append({**base, "weights": "iterate", "train_loss": 1 / n, "validation_error": 0.5})
        rows.append({**base, "weights": "average", "validation_error": 0.5 / n})
    return rows


def log(sink: WandbSink, store: Store, count: int = 3) -> None:
    sink.open_run(TrackedRun("swa-1", name="trial 0", job_type="swa", tags=["trial"], config=CONFIG, follow=["swa-1"]))
    for n in range(1, count + 1):
        write_rows(store, "epochs", "swa-1", epochs(n))
        sink.rows_changed("swa-1")

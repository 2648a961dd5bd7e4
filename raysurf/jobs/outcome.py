"""What a finished job leaves behind that others look at: its metrics. Importing it imports no torch."""

from __future__ import annotations

from raysurf.errors import StoreError
from raysurf.store.store import Store

Metrics = dict[str, float]


def outcome_path(run_id: str) -> str:
    """Where a job's outcome stands in the store; it is there if and only if the job is done."""
    return f"jobs/{run_id}/outcome.json"


def metrics_of(store: Store, run_id: str) -> Metrics | None:
    """The metrics of a finished job, or None if it is not done."""
    path = outcome_path(run_id)
    try:
        if not store.exists(path):
            return None
        metrics = dict(store.get_json(path)["figures"])
        if wrong := [name for name, value in metrics.items() if type(value) not in (int, float)]:
            raise ValueError(f"{wrong[0]} is no number")
        return metrics
    except StoreError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            store.uri, f"{path}: {error}", "an outcome that raysurf wrote (remove it to run again)"
        ) from error

"""What a finished job leaves behind that others look at: its figures. Importing it imports no torch."""

from __future__ import annotations

from raysurf.errors import StoreError
from raysurf.results.store import Store

Figures = dict[str, float]


def outcome_path(run_id: str) -> str:
    """Where a job's outcome stands in the store; it is there if and only if the job is done."""
    return f"jobs/{run_id}/outcome.json"


def figures_of(store: Store, run_id: str) -> Figures | None:
    """The figures of a finished job, or None if it is not done."""
    path = outcome_path(run_id)
    try:
        return dict(store.get_json(path)["figures"]) if store.exists(path) else None
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            store.uri, f"{path}: {error}", "an outcome that raysurf wrote (remove it to run again)"
        ) from error

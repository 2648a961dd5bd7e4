"""Plans of sweeps, as they are kept in the store beside the tables."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from raysurf.store.store import Store


def plan_path(sweep: str) -> str:
    """Where a sweep's plan is kept in its store."""
    return f"sweeps/{quote(sweep, safe='')}.json"


def plan_of(store: Store, sweep: str) -> dict[str, Any]:
    """A sweep's plan; empty if none is kept, as of a sweep that was run from a program."""
    plan = store.get_json(path) if store.exists(path := plan_path(sweep)) else None
    return plan if isinstance(plan, dict) else {}


def planned_baselines(store: Store, sweep: str) -> list[str]:
    """Ids of the runs that a sweep's plan has as baselines, whichever sweep ran them first."""
    baselines = plan_of(store, sweep).get("baselines")
    return [str(run_id) for run_id in baselines] if isinstance(baselines, list) else []

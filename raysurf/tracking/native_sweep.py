"""Sweeps of W&B's own, which give runs a page with parallel coordinates and parameter importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raysurf.store.parts import WHOLE
from raysurf.tracking.login import server_address
from raysurf.tracking.run_contents import keep_ids, known_ids

KNOWN = "raysurf-sweeps.json"


def param_key(name: str) -> str:
    """What a searched value is called in a run's config. A dot would be a level there, which panels do not find."""
    return "param/" + (name or WHOLE).replace(".", "/")


def native_config(
    sweep: str, parameters: Mapping[str, Mapping[str, Any]], metric: str, mode: str
) -> dict[str, Any] | None:
    """Config of W&B's own sweep, which no agent of W&B's ever runs; None without parameters, which W&B would refuse.

    Args:
        sweep: Its name.
        parameters: Ranges (``min``, ``max``) or ``values`` by the parameter's name.
        metric: The searched metric, which is the metric ``objective`` of the runs; empty if there is none.
        mode: max or min.
    """
    if not parameters:
        return None
    is_grid = all("values" in given for given in parameters.values())
    goal = {"metric": {"name": "objective", "goal": f"{mode}imize"}} if metric else {}
    return {
        "name": sweep,
        "description": f"raysurf sweep {sweep}" + (f", {mode} {metric}" if metric else ""),
        "method": "grid" if is_grid else "random",
        **goal,
        "parameters": {param_key(name): dict(given) for name, given in parameters.items()},
    }


def parameters_seen(assignments: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Ranges of numbers and values of all else, of parameters of which only the values that were tried are known."""
    values: dict[str, list[Any]] = {}
    for params in assignments:
        for name, value in params.items():
            if value not in values.setdefault(name, []):
                values[name].append(value)
    ranges: dict[str, dict[str, Any]] = {}
    for name, tried in values.items():
        is_range = len(tried) > 1 and set(map(type, tried)) <= {int, float}
        ranges[name] = {"min": min(tried), "max": max(tried)} if is_range else {"values": tried}
    return ranges


def make_native_sweep(
    directory: Path, project: str, config: Mapping[str, Any], runs: Sequence[str] = ()
) -> tuple[str, bool]:
    """The id of a sweep in W&B, which is made once, and whether it was made now.

    The folder's ``wandb/`` subfolder keeps the ids that W&B has given. ``runs`` are ids in W&B of runs that exist
    already and belong to it.
    """
    known = known_ids(directory, KNOWN)
    key = f"{server_address()}/{project}/{config['name']}"
    if key in known:
        return str(known[key]), False
    keep_ids(directory, KNOWN, {**known, key: (made := _upsert(project, config, runs))})
    return made, True


def _upsert(project: str, config: Mapping[str, Any], runs: Sequence[str]) -> str:
    import wandb

    # wandb.sweep would do, but prints on the standard output, which is the user's.
    from wandb.apis.public.sweeps import _upsert_sweep

    made, _ = _upsert_sweep(wandb.Api(), dict(config), project=project, prior_runs=list(runs) or None)
    return str(made["name"])

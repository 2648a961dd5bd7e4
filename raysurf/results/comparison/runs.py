"""The runs of a comparison with their metrics, selected by kind and sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysurf.results.plans import planned_baselines
from raysurf.results.reader import Reader
from raysurf.results.sql import quoted_list
from raysurf.results.trials import require_known
from raysurf.store.parts import job_in, mapping_in, values_in


@dataclass(frozen=True)
class ComparedRun:
    """A run with its metrics.

    Args:
        run_id: Its id.
        group: The id with seeds left out: the same for all replicates.
        kind: Kind of its job.
        model: Network.
        data: Data set.
        budget: Epochs spent, inputs counted once, over those of the first full schedule; None if there is none.
        epochs: Epochs that it trained itself.
        arm: Readable name of its configuration.
        params: The searched values.
        spec: The whole job.
        status: Such as ``done``.
        metrics: Its metrics, by ``split/name``.
        accuracies: Test accuracy with the most samples, and their number, by weights and prediction scheme.
    """

    run_id: str
    group: str
    kind: str
    model: str
    data: str
    budget: float | None
    epochs: float
    arm: str
    params: Mapping[str, Any]
    spec: Mapping[str, Any]
    status: str
    metrics: Mapping[str, float]
    accuracies: Mapping[tuple[str, str], tuple[float, int]]


def compared_runs(results: Reader, kinds: Sequence[str], sweeps: Sequence[str] = ()) -> list[ComparedRun]:
    """Ended runs of some kinds, in order of start.

    Args:
        results: The store.
        kinds: Kinds of jobs.
        sweeps: Only the runs of these sweeps and their inputs, whichever sweep ran them first; named as in the first
            of these sweeps that has them.
    """
    chosen, called = members(results, sweeps), _names(results, sweeps)
    baselines = {run_id for sweep in sweeps for run_id in planned_baselines(results.store, sweep)}
    accuracies: dict[str, dict[tuple[str, str], tuple[float, int]]] = {}
    query = """select run_id, weights, scheme, arg_max(accuracy, num_samples) as accuracy, max(num_samples) as most
        from predictions where split = 'test' group by all"""
    for row in results.sql(query).to_pylist():
        of_run = accuracies.setdefault(row["run_id"], {})
        of_run[row["weights"], row["scheme"]] = (row["accuracy"], row["most"])
    query = f"""select run_id, "group", kind, model, data, budget, epochs, role, arm, params, spec, status, metrics
        from runs where kind in {quoted_list(kinds)} order by started_at nulls last, trial nulls last, seed, run_id"""
    runs = []
    for row in results.sql(query).to_pylist():
        run_id, role = row["run_id"], row.pop("role")
        if chosen is not None and run_id not in chosen:
            continue
        if role == "input" and run_id not in baselines:
            row["arm"] = f"input of {row['arm']}"
        row |= called.get(run_id, {})
        read: dict[str, Any] = {"spec": job_in(row.pop("spec"), results.store.uri, run_id)}
        read["metrics"] = mapping_in(row.pop("metrics"), results.store.uri, run_id)
        read["params"] = values_in(row.pop("params"), results.store.uri, run_id)
        runs.append(ComparedRun(**row, **read, accuracies=accuracies.get(run_id, {})))
    return runs


def members(results: Reader, sweeps: Sequence[str]) -> set[str] | None:
    """Ids of the runs of some sweeps and of all their inputs; None means all runs."""
    if not sweeps:
        return None
    runs = results.table("runs", ["run_id", "sweep", "inputs"]).to_pylist()
    trials = results.table("trials", ["sweep", "run_ids"]).to_pylist()
    require_known(sweeps, (*runs, *trials))
    inputs = {row["run_id"]: row["inputs"] for row in runs}
    left = [row["run_id"] for row in runs if row["sweep"] in sweeps]
    left += [run_id for sweep in sweeps for run_id in planned_baselines(results.store, sweep)]
    left += [run_id for row in trials if row["sweep"] in sweeps for run_id in row["run_ids"]]
    members: set[str] = set()
    while left:
        run_id = left.pop()
        if run_id not in members:
            members.add(run_id)
            left += inputs.get(run_id, [])
    return members


def _names(results: Reader, sweeps: Sequence[str]) -> dict[str, dict[str, str]]:
    """``arm`` and ``params`` (JSON) of the runs of some sweeps' trials, as those sweeps name them."""
    names: dict[str, dict[str, str]] = {}
    trials = results.table("trials", ["sweep", "trial", "arm", "params", "run_ids"]).to_pylist() if sweeps else []
    mine = [row for row in trials if row["sweep"] in sweeps]
    for row in sorted(mine, key=lambda row: (sweeps.index(row["sweep"]), row["trial"])):
        for run_id in row["run_ids"]:
            names.setdefault(run_id, {"arm": row["arm"], "params": row["params"]})
    return names

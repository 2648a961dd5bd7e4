"""Trials of sweeps: their searched values, the best of them, and Pareto fronts."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa

from raysurf.errors import StoreError, UnknownNameError
from raysurf.results.reader import Reader
from raysurf.store import Row
from raysurf.store.parts import values_in
from raysurf.store.schemas import SCHEMAS


def front(points: Sequence[Sequence[float]], modes: Sequence[str]) -> list[int]:
    """Indices of the points on the Pareto front, best first value first; equal points are all kept."""
    signs = [-1.0 if mode == "max" else 1.0 for mode in modes]
    signed = [tuple(sign * value for sign, value in zip(signs, point, strict=True)) for point in points]
    on_front: list[int] = []
    for number in sorted(range(len(signed)), key=lambda i: (signed[i], i)):
        # Sorted by the first value, only an earlier point can be better in everything.
        if not any(_dominates(signed[other], signed[number]) for other in on_front):
            on_front.append(number)
    return on_front


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def values_of(trial: Row) -> list[float | None]:
    """A trial's values of the searched metrics; older rows have ``value`` alone."""
    return trial["values"] or [trial["value"]]


def pareto_rows(trials: Iterable[Row]) -> list[Row]:
    """The finished trials of one sweep that are on its Pareto front."""
    done = (row for row in trials if row["state"] == "done")
    rows = [row for row in done if all(value is not None and math.isfinite(value) for value in values_of(row))]
    modes = rows[0]["mode"].split(", ") if rows else []
    return [rows[number] for number in front([values_of(row) for row in rows], modes)]  # type: ignore[misc]


def best_rows(trials: Iterable[Row]) -> list[Row]:
    """The finished trials of one sweep, best first, without a value last; for several metrics the Pareto front."""
    done = [row for row in trials if row["state"] == "done"]
    if done and ", " in done[0]["metric"]:
        return pareto_rows(done)

    def rank(row: Row) -> tuple[bool, float, int]:
        value = row["value"]
        has_value = value is not None and not math.isnan(value)
        sign = -1.0 if row["mode"] == "max" else 1.0
        return not has_value, sign * value if has_value else 0.0, row["trial"]

    return sorted(done, key=rank)


def pareto(results: Reader, sweep: str) -> pa.Table:
    """The rows of a sweep's Pareto front; see ``Results.pareto``."""
    trials = results.table("trials").to_pylist()
    best = pareto_rows(row for row in trials if row["sweep"] == sweep)
    if not best:
        known = sorted({row["sweep"] for row in trials if row["metric"] and row["state"] == "done"})
        expected = f"one of {', '.join(known) or 'none yet'}"
        raise StoreError(results.store.uri, f"no finished trial of a search {sweep!r}", expected)
    names = ("sweep", "trial", "arm", "params", "run_ids")
    columns: dict[str, list[Any]] = {name: [row[name] for row in best] for name in names}
    fields = [SCHEMAS["trials"].field(name) for name in names]
    metrics, modes = best[0]["metric"].split(", "), best[0]["mode"].split(", ")
    for number, (metric, mode) in enumerate(zip(metrics, modes, strict=True)):
        columns[metric] = [values_of(row)[number] for row in best]
        meaning = {"meaning": f"mean over seeds; {mode} is searched"}
        fields.append(pa.field(metric, pa.float64(), False, meaning))
    return pa.table(columns, schema=pa.schema(fields))


def require_known(sweeps: Sequence[str], rows: Iterable[Row]) -> None:
    """Check that every sweep has rows of ``runs`` or ``trials``.

    Raises:
        UnknownNameError: If one has none; the known sweeps are listed.
    """
    known = sorted({row["sweep"] for row in rows})
    for name in sweeps:
        if name not in known:
            raise UnknownNameError("sweep", name, known or ("none yet",))


def trials_of(results: Reader, sweep: str) -> list[Row]:
    """A sweep's rows of ``trials``, by number; none if it has only inputs and baselines."""
    rows = results.table("trials").to_pylist()
    mine = [row for row in rows if row["sweep"] == sweep]
    if not mine:
        require_known([sweep], [*results.table("runs", ["sweep"]).to_pylist(), *rows])
    return sorted(mine, key=lambda row: row["trial"])


def running(results: Reader) -> dict[str, int]:
    """The number of unfinished trials by sweep; see ``Results.running``."""
    rows = results.table("trials", ["sweep", "state"]).to_pylist()
    return dict(sorted(Counter(row["sweep"] for row in rows if row["state"] == "running").items()))


def parts_of_sweeps(results: Reader, sweeps: Sequence[str]) -> Callable[[str, str], bool]:
    """Whether a part of a table is of some sweeps; see ``Results.parts_of_sweeps``."""
    rows = results.table("runs", ["run_id", "sweep"]).to_pylist()
    require_known(sweeps, [*rows, *results.table("trials", ["sweep"]).to_pylist()])
    runs = {row["run_id"] for row in rows if row["sweep"] in sweeps}

    def is_theirs(table: str, part: str) -> bool:
        return part.rpartition("-")[0] in sweeps if table == "trials" else part.partition(".")[0] in runs

    return is_theirs


def best_trial(results: Reader, sweep: str) -> Row:
    """The row of a sweep's best finished trial; see ``Results.best``."""
    rows = trials_of(results, sweep)
    done = [row for row in rows if row["state"] == "done"]
    if not done:
        counts = Counter(row["state"] for row in rows)
        states = ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "it has none yet"
        raise StoreError(
            results.store.uri, f"no finished trial of {sweep!r} ({states})", "a sweep with a finished trial"
        )
    if not done[0]["metric"]:
        expected = "a sweep with search:; the trials of this one are in the table trials"
        raise StoreError(results.store.uri, f"{sweep!r}, which searches nothing", expected)
    if ", " in done[0]["metric"]:
        several = f"{sweep!r}, which searches {done[0]['metric']}"
        raise StoreError(results.store.uri, several, "a sweep that searches one metric; of several see pareto()")
    best = best_rows(done)[0]
    if best["value"] is None or math.isnan(best["value"]):
        expected = "a metric that its jobs report (raysurf logs SWEEP/TRIAL lists those of a run)"
        raise StoreError(results.store.uri, f"no {best['metric']} in any finished trial of {sweep!r}", expected)
    return best


COLUMNS = ("sweep", "trial", "arm", "state")
INT64 = range(-(2**63), 2**63)


def searched_values(results: Reader, sweep: str) -> pa.Table:
    """A row per trial; see ``Results.params``."""
    rows = trials_of(results, sweep)
    schema = SCHEMAS["trials"]
    columns = [(schema.field(name), pa.array([row[name] for row in rows], schema.field(name).type)) for name in COLUMNS]
    columns += _metric_columns(rows)
    if any(row["std"] is not None for row in rows):
        columns.append((schema.field("std"), pa.array([row["std"] for row in rows], pa.float64())))
    values = [values_in(row["params"], results.store.uri, f"trial {row['trial']}") for row in rows]
    taken = {field.name for field, _ in columns}
    for name in dict.fromkeys(name for params in values for name in params):
        column = typed([params.get(name) for params in values])
        meaning = {"meaning": "a searched value; null where the trial has no such parameter"}
        columns.append((pa.field(f"params.{name}" if name in taken else name, column.type, True, meaning), column))
    return pa.Table.from_arrays([column for _, column in columns], schema=pa.schema([field for field, _ in columns]))


def _metric_columns(rows: Sequence[Row]) -> list[tuple[pa.Field, pa.Array]]:
    """A column for every metric that is searched, by its name."""
    metrics = rows[0]["metric"].split(", ") if rows and rows[0]["metric"] else []
    modes = rows[0]["mode"].split(", ") if metrics else []
    columns = []
    for number, (metric, mode) in enumerate(zip(metrics, modes, strict=True)):
        values = [row["values"] or [row["value"]] * len(metrics) for row in rows]
        meaning = {"meaning": f"mean over seeds; {mode} is searched; null until the trial has ended"}
        column = pa.array([of_trial[number] for of_trial in values], pa.float64())
        columns.append((pa.field(metric, pa.float64(), True, meaning), column))
    return columns


def typed(values: Sequence[Any]) -> pa.Array:
    """Values from JSON, None where there is none, as a column of the narrowest type: bool, int64, float64 or string.

    Mixed types, and values that are neither numbers nor text, become JSON text.
    """
    there = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in there):
        return pa.array(values, pa.bool_() if there else pa.string())
    if all(type(value) in (int, float) for value in there):
        whole = all(type(value) is int and value in INT64 for value in there)
        if whole:
            return pa.array(values, pa.int64())
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pa.array(texts, pa.string())

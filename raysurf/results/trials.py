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
from raysurf.store.parts import values_in
from raysurf.store.schemas import SCHEMAS


def front(points: Sequence[Sequence[float]], modes: Sequence[str]) -> list[int]:
    """The numbers of the points that no other is at least as good as in everything and better in something.

    Args:
        points: A figure for every mode, all finite.
        modes: ``max`` or ``min``.

    Returns:
        Best first figure first; of equal points each.
    """
    signs = [-1.0 if mode == "max" else 1.0 for mode in modes]
    signed = [tuple(sign * figure for sign, figure in zip(signs, point, strict=True)) for point in points]
    found: list[int] = []
    for number in sorted(range(len(signed)), key=lambda i: (signed[i], i)):
        # Sorted by the first figure, only an earlier point can be better in everything.
        if not any(_dominates(signed[other], signed[number]) for other in found):
            found.append(number)
    return found


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _is_finite(row: dict[str, Any]) -> bool:
    figures = row["values"] or [row["value"]]
    return all(figure is not None and math.isfinite(figure) for figure in figures)


def pareto(results: Reader, sweep: str) -> pa.Table:
    """The rows of a sweep's Pareto front; see ``Results.pareto``."""
    columns = ("sweep", "trial", "arm", "params", "run_ids", "metric", "mode", "values", "value")
    rows = [row for row in results.table("trials", [*columns, "state"]).to_pylist() if row["state"] == "done"]
    mine = [row for row in rows if row["sweep"] == sweep]
    found = [row | {"values": row["values"] or [row["value"]]} for row in mine if _is_finite(row)]
    if not found:
        known = sorted({row["sweep"] for row in rows if row["metric"]})
        expected = f"one of {', '.join(known) or 'none yet'}"
        raise StoreError(results.store.uri, f"no finished trial of a search {sweep!r}", expected)
    metrics, modes = found[0]["metric"].split(", "), found[0]["mode"].split(", ")
    best = [found[number] for number in front([row["values"] for row in found], modes)]
    told: dict[str, list[Any]] = {name: [row[name] for row in best] for name in columns[:5]}
    schema = SCHEMAS["trials"]
    fields = [schema.field(name) for name in told]
    fields += [
        pa.field(metric, pa.float64(), False, {"meaning": f"mean over seeds; {mode} is searched"})
        for metric, mode in zip(metrics, modes, strict=True)
    ]
    figures = {metric: [row["values"][i] for row in best] for i, metric in enumerate(metrics)}
    return pa.table({**told, **figures}, schema=pa.schema(fields))


def require_known(sweeps: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Check that there are such sweeps.

    Args:
        sweeps: Names that were asked for.
        rows: Of ``runs`` and ``trials``.

    Raises:
        UnknownNameError: For the first that there is not; those that there are are named.
    """
    known = sorted({row["sweep"] for row in rows})
    for name in sweeps:
        if name not in known:
            raise UnknownNameError("sweep", name, known or ("none yet",))


def trials_of(results: Reader, sweep: str) -> list[dict[str, Any]]:
    """The rows of ``trials`` of a sweep, by number; none if all that it has is inputs and baselines.

    Raises:
        UnknownNameError: If there is no such sweep.
    """
    rows = results.table("trials").to_pylist()
    mine = [row for row in rows if row["sweep"] == sweep]
    if not mine:
        require_known([sweep], [*results.table("runs", ["sweep"]).to_pylist(), *rows])
    return sorted(mine, key=lambda row: row["trial"])


def running(results: Reader) -> dict[str, int]:
    """By sweep how many trials have begun and not ended: they run, or were broken off."""
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


def best_trial(results: Reader, sweep: str) -> dict[str, Any]:
    """The row of a sweep's best finished trial; see ``Results.best``."""
    rows = trials_of(results, sweep)
    done = [row for row in rows if row["state"] == "done"]
    if not done:
        counts = Counter(row["state"] for row in rows)
        told = ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "it has none yet"
        raise StoreError(results.store.uri, f"no finished trial of {sweep!r} ({told})", "a sweep with a finished trial")
    if not done[0]["metric"]:
        expected = "a sweep with search:; its settings are in the table trials"
        raise StoreError(results.store.uri, f"{sweep!r}, which searches nothing", expected)
    if ", " in done[0]["metric"]:
        several = f"{sweep!r}, which searches {done[0]['metric']}"
        raise StoreError(results.store.uri, several, "a sweep that searches one metric; of several see pareto()")
    best = ranked(done)[0]
    if best["value"] is None or math.isnan(best["value"]):
        expected = "a metric that its jobs give (raysurf logs SWEEP/TRIAL shows those that a run has)"
        raise StoreError(results.store.uri, f"no {best['metric']} in any finished trial of {sweep!r}", expected)
    return best


def ranked(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``trials`` of one sweep, the best in its figure first; those without one last, in their own order."""

    def rank(row: dict[str, Any]) -> tuple[bool, float, int]:
        value = row["value"]
        is_figure = value is not None and not math.isnan(value)
        sign = -1.0 if row["mode"] == "max" else 1.0
        return not is_figure, sign * value if is_figure else 0.0, row["trial"]

    return sorted(rows, key=rank)


COLUMNS = ("sweep", "trial", "arm", "state")
INT64 = range(-(2**63), 2**63)


def searched_values(results: Reader, sweep: str) -> pa.Table:
    """A row a trial; see ``Results.params``."""
    rows = trials_of(results, sweep)
    schema = SCHEMAS["trials"]
    columns = [(schema.field(name), pa.array([row[name] for row in rows], schema.field(name).type)) for name in COLUMNS]
    columns += _figures(rows)
    if any(row["std"] is not None for row in rows):
        columns.append((schema.field("std"), pa.array([row["std"] for row in rows], pa.float64())))
    values = [values_in(row["params"], results.store.uri, f"trial {row['trial']}") for row in rows]
    taken = {field.name for field, _ in columns}
    for name in dict.fromkeys(name for each in values for name in each):
        column = typed([each.get(name) for each in values])
        meaning = {"meaning": "a searched value; null where the trial has no such parameter"}
        columns.append((pa.field(f"params.{name}" if name in taken else name, column.type, True, meaning), column))
    return pa.Table.from_arrays([column for _, column in columns], schema=pa.schema([field for field, _ in columns]))


def _figures(rows: Sequence[dict[str, Any]]) -> list[tuple[pa.Field, pa.Array]]:
    """A column for every metric that is searched, by its name."""
    metrics = rows[0]["metric"].split(", ") if rows and rows[0]["metric"] else []
    modes = rows[0]["mode"].split(", ") if metrics else []
    found = []
    for number, (metric, mode) in enumerate(zip(metrics, modes, strict=True)):
        values = [(row["values"] or [row["value"]] * (len(metrics) == 1) or [None] * len(metrics)) for row in rows]
        meaning = {"meaning": f"mean over seeds; {mode} is searched; null until the trial has ended"}
        column = pa.array([each[number] for each in values], pa.float64())
        found.append((pa.field(metric, pa.float64(), True, meaning), column))
    return found


def typed(values: Sequence[Any]) -> pa.Array:
    """Values from JSON as a column of the narrowest type that holds them all: bool, int64, float64 or string.

    Args:
        values: None where there is none.

    Returns:
        An array of the same length. What differs in kind, and what is neither number nor text, is told as text.
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

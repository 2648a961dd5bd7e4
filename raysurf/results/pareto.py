"""The Pareto front of a sweep that searches several metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raysurf.errors import StoreError
from raysurf.results.schemas import SCHEMAS

if TYPE_CHECKING:
    from raysurf.results.query import Results


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


def pareto(results: Results, sweep: str) -> pa.Table:
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

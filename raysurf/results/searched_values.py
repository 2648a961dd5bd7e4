"""The trials of a sweep with their searched values as columns of their own types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raysurf.results.parts import values_in
from raysurf.results.schemas import SCHEMAS
from raysurf.results.sweeps import trials_of

if TYPE_CHECKING:
    from raysurf.results.query import Results

COLUMNS = ("sweep", "trial", "arm", "state")
INT64 = range(-(2**63), 2**63)


def searched_values(results: Results, sweep: str) -> pa.Table:
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

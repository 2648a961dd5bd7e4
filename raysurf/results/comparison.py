"""Our figures beside published ones: mean and spread over seeds, a row a setting and figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from raysurf.errors import NothingComparedError, UnknownNameError
from raysurf.results.compared_runs import compared_runs
from raysurf.results.layout import Layout
from raysurf.results.layouts import LAYOUTS
from raysurf.results.parts import made_of_rows
from raysurf.results.setting_rows import Placed, Row, setting_rows

if TYPE_CHECKING:
    from raysurf.results.query import Results


def _field(name: str, kind: pa.DataType, meaning: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable, {"meaning": meaning})


SCHEMA = pa.schema(
    [
        _field("model", pa.string(), "network"),
        _field("data", pa.string(), "data set"),
        _field(
            "method", pa.string(), "row of the published table, under network and data; of budgets the epochs of one"
        ),
        _field("setting", pa.string(), "what tells settings on one row apart; empty if there is but one"),
        _field("group", pa.string(), "the runs' id with seeds left out; null if we have none", True),
        _field("figure", pa.string(), "column of the published table"),
        _field("unit", pa.string(), "unit of mean, std and published"),
        _field("mean", pa.float64(), "ours, mean over seeds", True),
        _field("std", pa.float64(), "its standard deviation over seeds (n - 1); null for fewer than two", True),
        _field("num_seeds", pa.int32(), "runs that have the figure"),
        _field("num_samples", pa.int32(), "samples that the prediction scheme took, the most of the runs", True),
        _field("published", pa.float64(), "the published figure", True),
    ]
)


@dataclass(frozen=True)
class Comparison:
    """A compared table.

    Args:
        layout: What is compared.
        table: Its figures, one a row.
        left_out: Runs that have a place in it but did not end well, by status.
    """

    layout: Layout
    table: pa.Table
    left_out: Mapping[str, int]


def compare(results: Results, name: str, sweeps: Sequence[str] = ()) -> tuple[Comparison, ...]:
    """Set our figures beside published ones.

    Args:
        results: The store.
        name: What is compared, one of ``LAYOUTS``.
        sweeps: Compare the runs of these sweeps and their inputs; of all if not given.

    Returns:
        The tables of that name in which some finished run has a place, with a row a setting and figure: settings of one
        row of the layout follow one another, the best last. Rows that were published for a network and data of which
        we have others are there too.

    Raises:
        UnknownNameError: If there is no such table or sweep.
        NothingComparedError: If no finished run has a place in the tables.
    """
    if name not in LAYOUTS:
        raise UnknownNameError("comparison", name, LAYOUTS)
    kinds = tuple(dict.fromkeys(kind for layout in LAYOUTS[name] for kind in layout.kinds))
    runs = compared_runs(results, kinds, sweeps)
    found, left_out = [], Counter[str]()
    for layout in LAYOUTS[name]:
        with made_of_rows(results.store.uri, f"the comparison {name!r}"):
            placed = [(run, place) for run in runs if (place := layout.place(run))]
        done = [(run, place) for run, place in placed if run.status == "done"]
        not_done = Counter(run.status for run, _ in placed if run.status != "done")
        left_out += not_done
        if done:
            found.append(Comparison(layout, pa.Table.from_pylist(list(_rows(layout, done)), SCHEMA), not_done))
    if not found:
        where = f" in {', '.join(sweeps)}" if sweeps else ""
        others = f" ({counted(left_out)})" if left_out else ""
        jobs = "; ".join(layout.jobs or " or ".join(layout.kinds) for layout in LAYOUTS[name])
        expected = f"a sweep of such jobs that has run: {jobs}"
        if unfit := Counter(run.kind for run in runs if run.status == "done"):
            got = f"no finished run{where} with a place in {name}, of {counted(unfit)}{others}"
            raise NothingComparedError(results.store.uri, got, expected)
        there = sorted(set(results.table("runs", ["kind"])["kind"].to_pylist()))
        got = f"no finished {' or '.join(kinds)} run for {name}{where}{others}"
        raise NothingComparedError(results.store.uri, got, f"{expected} (kinds so far: {', '.join(there) or 'none'})")
    return tuple(found)


def joined(comparisons: Sequence[Comparison]) -> pa.Table:
    """The rows of all the tables, one after the other."""
    return pa.concat_tables([comparison.table for comparison in comparisons])


def counted(left_out: Mapping[str, int]) -> str:
    """Such as "2 failed, 1 stopped"."""
    return ", ".join(f"{number} {what}" for what, number in sorted(left_out.items()))


def _rows(layout: Layout, done: Sequence[Placed]) -> Iterator[Row]:
    """The rows, network by network and data by data, those of the published table first."""
    networks = {(run.model, run.data) for run, _ in done}
    columns = [column.name for column in layout.columns]
    order = {method: number for number, method in enumerate(layout.methods)}
    for model, data in sorted(networks, key=lambda key: (layout.published.place(*key), key)):
        published = layout.published.of(model, data)
        mine = [(run, place) for run, place in done if (run.model, run.data) == (model, data)]
        methods = {place.method for _, place in mine} | published.keys()
        for method in sorted(methods, key=lambda method: (order.get(method, len(order)), _number(method), method)):
            figures = published.get(method, {})
            common = {"model": model, "data": data, "method": method}
            rows = setting_rows(layout, [(run, place) for run, place in mine if place.method == method])
            filled = {row["figure"] for row in rows}
            for column in layout.columns:
                if column.name in figures and column.name not in filled:
                    rows.append({"setting": "", "figure": column.name, "unit": column.unit, "num_seeds": 0})
            if not any(row["setting"] for row in rows):
                rows.sort(key=lambda row: columns.index(row["figure"]))
            yield from (common | row | {"published": figures.get(row["figure"])} for row in rows)


def _number(method: str) -> int:
    """What sorts rows that are named by a number; -1 for others."""
    return int(method) if method.isdigit() else -1

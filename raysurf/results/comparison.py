"""Our figures beside published ones: mean and spread over seeds, a row a setting and figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raysurf.errors import StoreError, UnknownNameError
from raysurf.results.compared_runs import ComparedRun, compared_runs
from raysurf.results.layouts import LAYOUTS, Layout, Place
from raysurf.results.setting_labels import setting_labels

if TYPE_CHECKING:
    from raysurf.results.query import Results

Row = dict[str, Any]


def _field(name: str, kind: pa.DataType, meaning: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable, {"meaning": meaning})


SCHEMA = pa.schema(
    [
        _field("model", pa.string(), "network"),
        _field("data", pa.string(), "data set"),
        _field("method", pa.string(), "row of the published table, under network and data"),
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


def compare(results: Results, name: str, sweeps: Sequence[str] = ()) -> Comparison:
    """Set our figures beside published ones.

    Args:
        results: The store.
        name: Name of the table, one of ``LAYOUTS``.
        sweeps: Compare the runs of these sweeps and their inputs; of all if not given.

    Returns:
        A row a setting and figure: settings of one row of the layout follow one another, the best last. Rows that were
        published for a network and data of which we have others are there too.

    Raises:
        UnknownNameError: If there is no such table or sweep.
        StoreError: If no finished run has a place in the table.
    """
    if name not in LAYOUTS:
        raise UnknownNameError("comparison", name, LAYOUTS)
    layout = LAYOUTS[name]
    placed = [(run, place) for run in compared_runs(results, layout.kinds, sweeps) if (place := layout.place(run))]
    left_out = Counter(run.status for run, _ in placed if run.status != "done")
    done = [(run, place) for run, place in placed if run.status == "done"]
    if not done:
        where = f" in {', '.join(sweeps)}" if sweeps else ""
        others = f" ({counted(left_out)})" if left_out else ""
        kinds = " or ".join(layout.kinds)
        there = sorted(set(results.table("runs", ["kind"])["kind"].to_pylist()))
        raise StoreError(
            results.store.uri,
            f"no finished {kinds} run for {name}{where}{others}",
            f"a sweep of {kinds} jobs that has run (kinds so far: {', '.join(there) or 'none'})",
        )
    return Comparison(layout, pa.Table.from_pylist(list(_rows(layout, done)), SCHEMA), left_out)


def counted(left_out: Mapping[str, int]) -> str:
    """Such as "2 failed, 1 stopped"."""
    return ", ".join(f"{number} {status}" for status, number in sorted(left_out.items()))


def _rows(layout: Layout, done: Sequence[tuple[ComparedRun, Place]]) -> Iterator[Row]:
    """The rows, network by network and data by data, those of the published table first."""
    networks = {(run.model, run.data) for run, _ in done}
    for model, data in sorted(networks, key=lambda key: (layout.published.place(*key), key)):
        published = layout.published.of(model, data)
        mine = [(run, place) for run, place in done if (run.model, run.data) == (model, data)]
        methods = {place.method for _, place in mine} | published.keys()
        order = {method: number for number, method in enumerate(layout.methods)}
        for method in sorted(methods, key=lambda method: (order.get(method, len(order)), method)):
            figures = published.get(method, {})
            common = {"model": model, "data": data, "method": method}
            filled: set[str] = set()
            for place in dict.fromkeys(place for _, place in mine if place.method == method):
                filled |= set(place.columns)
                settings = _settings(layout, place, [run for run, its in mine if its == place])
                yield from (common | row | {"published": figures.get(row["figure"])} for row in settings)
            for column in layout.columns:
                if column.name in figures and column.name not in filled:
                    nothing = {"setting": "", "figure": column.name, "unit": column.unit, "num_seeds": 0}
                    yield common | nothing | {"published": figures[column.name]}


def _settings(layout: Layout, place: Place, runs: Sequence[ComparedRun]) -> list[Row]:
    """Rows of the settings that share a place, the best by the layout's rank last, those without that figure first."""
    groups: dict[str, list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    labels = setting_labels([replicates[0] for replicates in groups.values()])
    settings = []
    for label, (group, replicates) in zip(labels, groups.items(), strict=True):
        rows = _figures(layout, place, replicates)
        rank = next((row["mean"] for row in rows if row["figure"] == layout.rank), None)
        key = (rank is not None, rank or 0.0, label)
        settings.append((key, [row | {"setting": label, "group": group} for row in rows]))
    return [row for _, rows in sorted(settings, key=lambda setting: setting[0]) for row in rows]


def _figures(layout: Layout, place: Place, replicates: Sequence[ComparedRun]) -> list[Row]:
    """Mean and spread of each figure over the replicates of a setting."""
    rows = []
    for column in layout.columns:
        if column.name not in place.columns:
            continue
        readings = [reading for run in replicates if (reading := column.read(run)) is not None]
        values = [value for value, _ in readings]
        rows.append(
            {
                "figure": column.name,
                "unit": column.unit,
                "mean": mean(values) if values else None,
                "std": stdev(values) if len(values) > 1 else None,
                "num_seeds": len(values),
                "num_samples": max((number for _, number in readings if number is not None), default=None),
            }
        )
    return rows

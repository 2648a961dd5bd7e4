"""Our metrics beside published ones: mean and standard deviation over seeds, a row per configuration and metric."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any

import pyarrow as pa

from raysurf.errors import NothingComparedError, UnknownNameError
from raysurf.results.comparison.runs import ComparedRun, compared_runs
from raysurf.results.comparison.tables import LAYOUTS, Layout, Place
from raysurf.results.reader import Reader
from raysurf.results.runs import leaves
from raysurf.store import Row
from raysurf.store.parts import made_of_rows

# Most entries of a job in a label; labels that still coincide get the group's id.
MOST = 3


def setting_labels(runs: Sequence[ComparedRun]) -> list[str]:
    """A distinct label per configuration; empty if there is only one.

    Labels are made of what differs, as far as needed: the configuration's name, the searched values, other fields of
    the job, and at last the group's id.
    """
    labels = [""] * len(runs)
    details: tuple[Callable[[Sequence[ComparedRun]], list[str]], ...] = (
        lambda alike: [run.arm for run in alike],
        lambda alike: _differences([run.params for run in alike]),
        _specs,
        lambda alike: [run.group for run in alike],
    )
    for detail in details:
        alike = defaultdict(list)
        for place, label in enumerate(labels):
            alike[label].append(place)
        for label, places in alike.items():
            said = detail([runs[place] for place in places])
            if len(set(said)) > 1:
                for place, text in zip(places, said, strict=True):
                    labels[place] = ", ".join(part for part in (label, text) if part)
    return labels


def _specs(runs: Sequence[ComparedRun]) -> list[str]:
    trees = [{path: value for path, value in leaves(run.spec) if value not in ({}, [])} for run in runs]
    return _differences([{path: tree[path] for path in tree if path.rpartition(".")[2] != "seed"} for tree in trees])


def _differences(trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each mapping the entries that are not the same in all, outer ones first; what is absent is not said."""
    texts = [{name: json.dumps(value, sort_keys=True) for name, value in tree.items()} for tree in trees]
    names = dict.fromkeys(name for tree in trees for name in tree)
    differing = [name for name in names if len({text.get(name) for text in texts}) > 1]
    differing.sort(key=lambda name: name.count("."))
    listed = [[f"{name} = {_short(tree[name])}" for name in differing if name in tree] for tree in trees]
    return [", ".join([*entries[:MOST], *(["…"] if len(entries) > MOST else [])]) for entries in listed]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


Placed = tuple[ComparedRun, Place]
Group = list[Placed]


def setting_rows(layout: Layout, placed: Sequence[Placed]) -> list[Row]:
    """Rows for one row of a layout, one per configuration and metric.

    Runs of one group are replicates, and groups of one series are one configuration. Kinds of jobs that fill different
    columns have configurations of their own: where a kind has only one, its label is empty.

    Returns:
        Configuration by configuration, sorted by the layout's rank: those without its metrics first, the best last;
        the metrics of each in the order of the columns.
    """
    groups: dict[str, Group] = {}
    for run, place in placed:
        groups.setdefault(run.group, []).append((run, place))
    by_label: dict[str, list[Row]] = {}
    for kind in dict.fromkeys(run.kind for run, _ in placed):
        settings = list(_settings([group for group in groups.values() if group[0][0].kind == kind]))
        for label, alike in zip(setting_labels([run for run, _ in settings]), settings, strict=True):
            rows = by_label.setdefault(label, [])
            for group in alike[1]:
                rows += [row | {"setting": label} for row in _figures(layout, group)]
    order = [column.name for column in layout.columns]

    def rank(setting: tuple[str, list[Row]]) -> tuple[Any, ...]:
        label, rows = setting
        means = {row["figure"]: row["mean"] for row in rows if row["mean"] is not None}
        return [(name in means, means.get(name, 0.0)) for name in layout.rank], label

    ranked = sorted(by_label.items(), key=rank)
    return [row for _, rows in ranked for row in sorted(rows, key=lambda row: order.index(row["figure"]))]


def _settings(groups: Sequence[Group]) -> Iterator[tuple[ComparedRun, list[Group]]]:
    """Settings: a run that stands for each, as it is to be labelled, and its groups, each in columns of its own."""
    series: dict[str, list[Group]] = {}
    for group in groups:
        run, place = group[0]
        series.setdefault(place.series or run.group, []).append(group)
    for alike in series.values():
        run, place = alike[0][0]
        columns = [column for group in alike for column in group[0][1].columns]
        if len(set(columns)) < len(columns):
            # Two in one column, such as SWA of 40 and of 41 epochs at a budget of 1: each must be seen.
            yield from ((replace(group[0][0], arm="", params={}), [group]) for group in alike)
        elif place.series is None:
            yield run, alike
        else:
            # Names and searched values may hold what decides the column, which differs within the configuration.
            yield replace(run, arm="", params={}, spec=json.loads(place.series)), alike


def _figures(layout: Layout, group: Group) -> list[Row]:
    """Mean and standard deviation of each metric over the replicates of a group."""
    rows = []
    for column in layout.columns:
        if column.name not in group[0][1].columns:
            continue
        readings = [reading for run, _ in group if (reading := column.read(run)) is not None]
        values = [value for value, _ in readings]
        rows.append(
            {
                "group": group[0][0].group,
                "figure": column.name,
                "unit": column.unit,
                "mean": mean(values) if values else None,
                "std": stdev(values) if len(values) > 1 else None,
                "num_seeds": len(values),
                "num_samples": max((number for _, number in readings if number is not None), default=None),
            }
        )
    return rows


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
    """A comparison of our metrics with published ones.

    Args:
        layout: Its layout.
        table: Its metrics, one per row.
        left_out: Numbers of its runs that are not done, by status.
    """

    layout: Layout
    table: pa.Table
    left_out: Mapping[str, int]


def compare(results: Reader, name: str, sweeps: Sequence[str] = ()) -> tuple[Comparison, ...]:
    """Compare our metrics with published ones.

    Args:
        results: The store.
        name: The comparison, one of ``LAYOUTS``.
        sweeps: Sweeps whose runs and inputs are compared; all if not given.

    Returns:
        The comparisons of that name that have a finished run, with a row per configuration and metric: configurations
        on one row of the layout follow one another, the best last. All published rows for the networks and data of
        our runs are included.

    Raises:
        UnknownNameError: If there is no such comparison or sweep.
        NothingComparedError: If no finished run belongs to it.
    """
    if name not in LAYOUTS:
        raise UnknownNameError("comparison", name, LAYOUTS)
    kinds = tuple(dict.fromkeys(kind for layout in LAYOUTS[name] for kind in layout.kinds))
    runs = compared_runs(results, kinds, sweeps)
    comparisons, left_out = [], Counter[str]()
    for layout in LAYOUTS[name]:
        with made_of_rows(results.store.uri, f"the comparison {name!r}"):
            placed = [(run, place) for run in runs if (place := layout.place(run))]
        done = [(run, place) for run, place in placed if run.status == "done"]
        not_done = Counter(run.status for run, _ in placed if run.status != "done")
        left_out += not_done
        if done:
            comparisons.append(Comparison(layout, pa.Table.from_pylist(list(_rows(layout, done)), SCHEMA), not_done))
    if not comparisons:
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
    return tuple(comparisons)


def joined(comparisons: Sequence[Comparison]) -> pa.Table:
    """The rows of several comparisons, concatenated."""
    return pa.concat_tables([comparison.table for comparison in comparisons])


def counted(left_out: Mapping[str, int]) -> str:
    """Counts by status as text, such as "2 failed, 1 stopped"."""
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
            values = published.get(method, {})
            common = {"model": model, "data": data, "method": method}
            rows = setting_rows(layout, [(run, place) for run, place in mine if place.method == method])
            filled = {row["figure"] for row in rows}
            for column in layout.columns:
                if column.name in values and column.name not in filled:
                    rows.append({"setting": "", "figure": column.name, "unit": column.unit, "num_seeds": 0})
            if not any(row["setting"] for row in rows):
                rows.sort(key=lambda row: columns.index(row["figure"]))
            yield from (common | row | {"published": values.get(row["figure"])} for row in rows)


def _number(method: str) -> int:
    """What sorts rows that are named by a number; -1 for others."""
    return int(method) if method.isdigit() else -1

"""The settings that share a row of a comparison: which runs are one setting, their label, mean and spread."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

from raysurf.results.compared_runs import ComparedRun
from raysurf.results.layout import Layout, Place
from raysurf.results.setting_labels import setting_labels

Row = dict[str, Any]
Placed = tuple[ComparedRun, Place]
Group = list[Placed]


def setting_rows(layout: Layout, placed: Sequence[Placed]) -> list[Row]:
    """Rows of the settings on one row of a layout, a row a figure.

    Runs of one group are replicates, and groups of one series are one setting. Kinds of jobs that fill different
    columns have settings of their own: where a kind has but one, its label is empty.

    Returns:
        Setting after setting, the best by the layout's rank last, those without its figures first; figures of a
        setting are in the order of the columns.
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
            # Arms and searched values may name what decides the column, which differs within the setting.
            yield replace(run, arm="", params={}, spec=json.loads(place.series)), alike


def _figures(layout: Layout, group: Group) -> list[Row]:
    """Mean and spread of each figure over the replicates of a group."""
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

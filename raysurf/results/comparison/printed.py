"""Comparisons as headings and cells, in the layout of the talk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysurf.results.comparison.published import DATA, DATA_NOTES, NETWORKS
from raysurf.store import Row

if TYPE_CHECKING:
    from raysurf.results.comparison.compare import Comparison

DASH = "–"
Cells = list[list[str]]


@dataclass(frozen=True)
class Line:
    """A printed line of a comparison.

    Args:
        labels: Network, data, method and configuration, as far as the layout names them.
        is_ours: Whether it has runs of ours; if not, it has published metrics alone.
        num_seeds: Number of runs that have its metrics.
        metrics: Ours and the published metric of each column; None for a column whose metric is on another line.
    """

    labels: tuple[str, ...]
    is_ours: bool
    num_seeds: int
    metrics: tuple[tuple[str, str] | None, ...]


@dataclass(frozen=True)
class PrintedTable:
    """A comparison as a table of text.

    Args:
        title: Its title, with units.
        headings: Of its columns.
        num_labels: Number of label columns, on the left; the others are metrics.
        cells: A list per line, of as many cells as headings.
        notes: Notes below it.
    """

    title: str
    headings: list[str]
    num_labels: int
    cells: Cells
    notes: Sequence[str]


def printed(comparison: Comparison) -> PrintedTable:
    """A comparison with two columns per metric, ours and the published one, or with a published line below ours."""
    if comparison.layout.is_stacked:
        how = ", published figures below" if _has_published(comparison) else ""
        headings, cells = _stacked(comparison)
        num_labels = headings.index("seeds")
    else:
        how = ", beside the published figure"
        names, lines = _label_headings(comparison), _lines(comparison)
        num_labels = len(names)
        headings = [
            *names,
            "seeds",
            *(part for column in comparison.layout.columns for part in (column.heading, "published")),
        ]
        cells = [
            [*line.labels, _seed_count(line.num_seeds), *(part for pair in line.metrics for part in pair or ("", ""))]
            for line in lines
        ]
    title = f"{comparison.layout.title}; ours, mean ± std over seeds{how}"
    return PrintedTable(title, headings, num_labels, cells, _notes(comparison))


def by_metric(comparison: Comparison) -> PrintedTable:
    """A comparison with a line per metric, the narrowest form."""
    columns = {column.name: column.heading for column in comparison.layout.columns}
    names = _label_headings(comparison)
    cells = []
    for row in comparison.table.to_pylist():
        labels = _line_labels(comparison, row["model"], row["data"], row["method"], row["setting"])
        pair = _pair(comparison, row, row["num_seeds"])
        cells.append([*labels, columns[row["figure"]], _seed_count(row["num_seeds"]), *pair])
    headings = [*names, "figure", "seeds", "ours", "published"]
    return PrintedTable(
        f"{comparison.layout.title}; mean ± std over seeds", headings, len(names) + 1, cells, _notes(comparison)
    )


def _lines(comparison: Comparison) -> list[Line]:
    """The printed lines, from rows of one metric each."""
    rows: dict[tuple[str, str, str], dict[str, dict[str, Row]]] = {}
    for row in comparison.table.to_pylist():
        settings = rows.setdefault((row["model"], row["data"], row["method"]), {})
        settings.setdefault(row["setting"], {})[row["figure"]] = row
    lines = []
    for (model, data, method), settings in rows.items():
        there = {name for metrics in settings.values() for name in metrics}
        for setting, metrics in settings.items():
            most = max(row["num_seeds"] for row in metrics.values())
            pairs = [
                None if column.name in there - metrics.keys() else _pair(comparison, metrics.get(column.name), most)
                for column in comparison.layout.columns
            ]
            labels = tuple(_line_labels(comparison, model, data, method, setting))
            is_ours = any(row["group"] is not None for row in metrics.values())
            lines.append(Line(labels, is_ours, most, tuple(pairs)))
    return lines


def _stacked(comparison: Comparison) -> tuple[list[str], Cells]:
    """Headings and cells: a line per configuration, and below those of one row of the layout a published line."""
    has_settings = _has_settings(comparison)
    cells: Cells = []
    published: dict[tuple[str, ...], list[str]] = {}
    lines = _lines(comparison)
    for number, line in enumerate(lines):
        labels, setting = (line.labels[:-1], line.labels[-1]) if has_settings else (line.labels, "")
        if line.is_ours:
            ours = ["" if pair is None else pair[0] for pair in line.metrics]
            cells.append([*labels, setting or "ours", _seed_count(line.num_seeds), *ours])
        theirs = published.setdefault(labels, [DASH] * len(line.metrics))
        for column, pair in enumerate(line.metrics):
            if pair is not None and pair[1] != DASH:
                theirs[column] = pair[1]
        is_last = number + 1 == len(lines) or lines[number + 1].labels[: len(labels)] != labels
        if is_last and any(metric != DASH for metric in theirs):
            cells.append([*labels, "published", "", *theirs])
    names = _label_headings(comparison)
    names = names[:-1] if has_settings else names
    return [*names, "figures", "seeds", *(column.heading for column in comparison.layout.columns)], cells


def _label_headings(comparison: Comparison) -> list[str]:
    """Headings of the labels; ``setting`` only if some row has several configurations."""
    heading = comparison.layout.method_heading
    names = ["network", "data", heading]
    if comparison.layout.is_bracketed:
        names = [f"network ({heading})" if any(comparison.table["method"].to_pylist()) else "network", "data"]
    return [*names, "setting"] if _has_settings(comparison) else names


def _line_labels(comparison: Comparison, model: str, data: str, method: str, setting: str) -> list[str]:
    """The labels below these headings."""
    network, data = _networks(comparison)[model], DATA.get(data, data)
    labels = [network, data, method]
    if comparison.layout.is_bracketed:
        labels = [f"{network} ({method})" if method else network, data]
    return [*labels, setting] if _has_settings(comparison) else labels


def _has_settings(comparison: Comparison) -> bool:
    return any(comparison.table["setting"].to_pylist())


def _has_published(comparison: Comparison) -> bool:
    return any(value is not None for value in comparison.table["published"].to_pylist())


def _networks(comparison: Comparison) -> dict[str, str]:
    """Published names of networks; with our name too where two of ours share one."""
    names = {model: NETWORKS.get(model, model) for model in set(comparison.table["model"].to_pylist())}
    counts = Counter(names.values())
    return {model: f"{name} ({model})" if counts[name] > 1 else name for model, name in names.items()}


def _notes(comparison: Comparison) -> Sequence[str]:
    """The notes below the table, as one paragraph or none."""
    notes = [f"published: {comparison.layout.published.source}"] if _has_published(comparison) else []
    notes += [note for data, note in DATA_NOTES.items() if data in comparison.table["data"].to_pylist()]
    return ["\n".join(notes)] if notes else []


def _seed_count(number: int) -> str:
    return str(number or DASH)


def _pair(comparison: Comparison, row: Row | None, most: int) -> tuple[str, str]:
    """Our and the published metric; ours has its number of runs where the line has more."""
    if row is None:
        return DASH, DASH
    unit, decimals = row["unit"], comparison.layout.decimals
    ours = _number(row["mean"], unit, decimals)
    if row["std"] is not None:
        ours += f" ± {_number(row['std'], unit, decimals)}"
    if 0 < row["num_seeds"] < most:
        ours += f" (n = {row['num_seeds']})"
    return ours, _number(row["published"], unit, decimals)


def _number(value: float | None, unit: str, decimals: int) -> str:
    """Fractions as percent, nats with two digits and an exponent, as in print: -5.9e2."""
    if value is None:
        return DASH
    if unit == "fraction":
        return f"{100 * value:.{decimals}f}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"

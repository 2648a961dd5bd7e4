"""Comparisons in print: the talk's layout, in Markdown, LaTeX or for a terminal; there a line a figure if too wide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysurf.cli.formats import latex_table, markdown_table, text_table

if TYPE_CHECKING:
    from raysurf.results.comparison import Comparison

DASH = "–"
Row = dict[str, Any]
Cells = list[list[str]]


@dataclass(frozen=True)
class Line:
    """A line of print.

    Args:
        labels: Network, data, method and setting, as far as the table names them.
        is_ours: Whether there are runs of it; if not, it has published figures alone.
        num_seeds: How many runs have its figures.
        figures: Ours and the published figure of each column; None for a column whose figure is on another line.
    """

    labels: tuple[str, ...]
    is_ours: bool
    num_seeds: int
    figures: tuple[tuple[str, str] | None, ...]


def text(found: Comparison, width: int) -> str:
    """The table for a terminal that is so many characters wide: in the layout if it fits, else a line a figure."""
    columns = [column.heading for column in found.layout.columns]
    if found.layout.is_stacked:
        how = ", published below ours" if _has_published(found) else ""
        headings, cells = _stacked(found)
    else:
        how = ", ours | published"
        lines = lines_of(found)
        sides = [[line.figures[number] or ("", "") for line in lines] for number in range(len(columns))]
        ours, theirs = ([max(len(pair[side]) for pair in pairs) for pairs in sides] for side in (0, 1))
        figures = [
            [f"{pair[0].rjust(ours[i])} | {pair[1].ljust(theirs[i])}" for pair in pairs]
            for i, pairs in enumerate(sides)
        ]
        headings = [*_labels(found), "seeds", *columns]
        cells = [
            [*line.labels, _seeds(line.num_seeds), *row]
            for line, row in zip(lines, zip(*figures, strict=True), strict=True)
        ]
    table = _table(headings, cells)
    if max(map(len, table.splitlines())) > width:
        how, table = "", _table(*_by_figure(found))
    return "\n\n".join([f"{found.layout.title}; mean ± std over seeds{how}", table, *_notes(found)])


def markdown(found: Comparison) -> str:
    """The table in Markdown: two columns a figure, ours and the published one, or published figures below ours."""
    title, headings, cells, num_labels = _in_columns(found)
    table = markdown_table(headings, cells, range(num_labels, len(headings)))
    return "\n\n".join([title, table, *_notes(found)])


def latex(found: Comparison) -> str:
    """The same in LaTeX, as a tabular whose title and notes are comments."""
    title, headings, cells, num_labels = _in_columns(found)
    table = latex_table(headings, cells, range(num_labels, len(headings)))
    notes = [f"% {line}" for each in _notes(found) for line in each.splitlines()]
    return "\n".join([f"% {title}", table, *notes])


def _in_columns(found: Comparison) -> tuple[str, list[str], Cells, int]:
    """Title, headings, cells and number of labels of a table that has a cell a figure."""
    if found.layout.is_stacked:
        how = ", published figures below" if _has_published(found) else ""
        headings, cells = _stacked(found)
        num_labels = headings.index("seeds")
    else:
        how = ", beside the published figure"
        names, lines = _labels(found), lines_of(found)
        num_labels = len(names)
        headings = [
            *names,
            "seeds",
            *(part for column in found.layout.columns for part in (column.heading, "published")),
        ]
        cells = [
            [*line.labels, _seeds(line.num_seeds), *(part for pair in line.figures for part in pair or ("", ""))]
            for line in lines
        ]
    return f"{found.layout.title}; ours, mean ± std over seeds{how}", headings, cells, num_labels


def lines_of(found: Comparison) -> list[Line]:
    """The lines of print, from rows of a figure each."""
    rows: dict[tuple[str, str, str], dict[str, dict[str, Row]]] = {}
    for row in found.table.to_pylist():
        settings = rows.setdefault((row["model"], row["data"], row["method"]), {})
        settings.setdefault(row["setting"], {})[row["figure"]] = row
    lines = []
    for (model, data, method), settings in rows.items():
        there = {name for figures in settings.values() for name in figures}
        for setting, figures in settings.items():
            most = max(row["num_seeds"] for row in figures.values())
            pairs = [
                None if column.name in there - figures.keys() else _pair(found, figures.get(column.name), most)
                for column in found.layout.columns
            ]
            labels = tuple(_labelled(found, model, data, method, setting))
            is_ours = any(row["group"] is not None for row in figures.values())
            lines.append(Line(labels, is_ours, most, tuple(pairs)))
    return lines


def _stacked(found: Comparison) -> tuple[list[str], Cells]:
    """Headings and cells of a line a setting, and below those of a row of the layout a line of what was published."""
    has_settings = _has_settings(found)
    cells: Cells = []
    published: dict[tuple[str, ...], list[str]] = {}
    lines = lines_of(found)
    for number, line in enumerate(lines):
        labels, setting = (line.labels[:-1], line.labels[-1]) if has_settings else (line.labels, "")
        if line.is_ours:
            ours = ["" if pair is None else pair[0] for pair in line.figures]
            cells.append([*labels, setting or "ours", _seeds(line.num_seeds), *ours])
        theirs = published.setdefault(labels, [DASH] * len(line.figures))
        for column, pair in enumerate(line.figures):
            if pair is not None and pair[1] != DASH:
                theirs[column] = pair[1]
        is_last = number + 1 == len(lines) or lines[number + 1].labels[: len(labels)] != labels
        if is_last and any(figure != DASH for figure in theirs):
            cells.append([*labels, "published", "", *theirs])
    names = _labels(found)
    names = names[:-1] if has_settings else names
    return [*names, "figures", "seeds", *(column.heading for column in found.layout.columns)], cells


def _by_figure(found: Comparison) -> tuple[list[str], Cells]:
    """Headings and cells of a line a figure."""
    headings = {column.name: column.heading for column in found.layout.columns}
    cells = []
    for row in found.table.to_pylist():
        pair = _pair(found, row, row["num_seeds"])
        labels = _labelled(found, row["model"], row["data"], row["method"], row["setting"])
        cells.append([*labels, headings[row["figure"]], _seeds(row["num_seeds"]), *pair])
    return [*_labels(found), "figure", "seeds", "ours", "published"], cells


def _table(headings: Sequence[str], cells: Cells) -> str:
    """Columns side by side; numbers of seeds are numbers, so that they stand to the right."""
    place = headings.index("seeds")
    rows = [[int(cell) if i == place and cell.isdigit() else cell for i, cell in enumerate(row)] for row in cells]
    return text_table(headings, rows, longest=None)


def _labels(found: Comparison) -> list[str]:
    """Headings of the labels; that of the setting only if some row has more than one."""
    heading = found.layout.method_heading
    if found.layout.is_bracketed:
        names = [f"network ({heading})" if any(found.table["method"].to_pylist()) else "network", "data"]
    else:
        names = ["network", "data", heading]
    return [*names, "setting"] if _has_settings(found) else names


def _labelled(found: Comparison, model: str, data: str, method: str, setting: str) -> list[str]:
    """The labels below these headings."""
    from raysurf.results.published import DATA

    network = _networks(found)[model]
    if found.layout.is_bracketed:
        labels = [f"{network} ({method})" if method else network, DATA.get(data, data)]
    else:
        labels = [network, DATA.get(data, data), method]
    return [*labels, setting] if _has_settings(found) else labels


def _has_settings(found: Comparison) -> bool:
    return any(found.table["setting"].to_pylist())


def _has_published(found: Comparison) -> bool:
    return any(value is not None for value in found.table["published"].to_pylist())


def _networks(found: Comparison) -> dict[str, str]:
    """What networks are called: as published, with our name too where two of ours go by that name."""
    from raysurf.results.published import NETWORKS

    names = {model: NETWORKS.get(model, model) for model in set(found.table["model"].to_pylist())}
    counts = Counter(names.values())
    return {model: f"{name} ({model})" if counts[name] > 1 else name for model, name in names.items()}


def _notes(found: Comparison) -> Sequence[str]:
    """What one must know to read the table, in a paragraph; none if there is nothing."""
    from raysurf.results.published import DATA_NOTES

    notes = [f"published: {found.layout.published.source}"] if _has_published(found) else []
    notes += [note for data, note in DATA_NOTES.items() if data in found.table["data"].to_pylist()]
    return ["\n".join(notes)] if notes else []


def _seeds(number: int) -> str:
    return str(number or DASH)


def _pair(found: Comparison, row: Row | None, most: int) -> tuple[str, str]:
    """Ours and the published figure; ours says its number of runs where the line has more."""
    if row is None:
        return DASH, DASH
    unit, decimals = row["unit"], found.layout.decimals
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

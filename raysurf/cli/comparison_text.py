"""Comparisons in print: the talk's layout, in Markdown, LaTeX or for a terminal; there a line a figure if too wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raysurf.cli.output import latex_table, markdown_table, markdown_text, text_table
from raysurf.results.comparison.printed import (
    Cells,
    figure_pair,
    has_published,
    label_headings,
    line_labels,
    lines_of,
    notes_of,
    printed,
    seed_count,
    stacked,
)

if TYPE_CHECKING:
    from raysurf.results.comparison.compare import Comparison


def text(found: Comparison, width: int) -> str:
    """The table for a terminal that is so many characters wide: in the layout if it fits, else a line a figure."""
    columns = [column.heading for column in found.layout.columns]
    if found.layout.is_stacked:
        how = ", published below ours" if has_published(found) else ""
        headings, cells = stacked(found)
    else:
        how = ", ours | published"
        lines = lines_of(found)
        sides = [[line.figures[number] or ("", "") for line in lines] for number in range(len(columns))]
        ours, theirs = ([max(len(pair[side]) for pair in pairs) for pairs in sides] for side in (0, 1))
        figures = [
            [f"{pair[0].rjust(ours[i])} | {pair[1].ljust(theirs[i])}" for pair in pairs]
            for i, pairs in enumerate(sides)
        ]
        headings = [*label_headings(found), "seeds", *columns]
        cells = [
            [*line.labels, seed_count(line.num_seeds), *row]
            for line, row in zip(lines, zip(*figures, strict=True), strict=True)
        ]
    table = _table(headings, cells)
    if max(map(len, table.splitlines())) > width:
        how, table = "", _table(*_by_figure(found))
    return "\n\n".join([f"{found.layout.title}; mean ± std over seeds{how}", table, *notes_of(found)])


def markdown(found: Comparison) -> str:
    """The table in Markdown: two columns a figure, ours and the published one, or published figures below ours."""
    table = printed(found)
    cells = markdown_table(table.headings, table.cells, range(table.num_labels, len(table.headings)))
    return "\n\n".join([markdown_text(table.title), cells, *map(markdown_text, table.notes)])


def latex(found: Comparison) -> str:
    """The same in LaTeX, as a tabular whose title and notes are comments."""
    table = printed(found)
    cells = latex_table(table.headings, table.cells, range(table.num_labels, len(table.headings)))
    notes = [f"% {line}" for each in table.notes for line in each.splitlines()]
    return "\n".join([f"% {table.title}", cells, *notes])


def _by_figure(found: Comparison) -> tuple[list[str], Cells]:
    """Headings and cells of a line a figure."""
    headings = {column.name: column.heading for column in found.layout.columns}
    cells = []
    for row in found.table.to_pylist():
        pair = figure_pair(found, row, row["num_seeds"])
        labels = line_labels(found, row["model"], row["data"], row["method"], row["setting"])
        cells.append([*labels, headings[row["figure"]], seed_count(row["num_seeds"]), *pair])
    return [*label_headings(found), "figure", "seeds", "ours", "published"], cells


def _table(headings: Sequence[str], cells: Cells) -> str:
    """Columns side by side; numbers of seeds are numbers, so that they stand to the right."""
    place = headings.index("seeds")
    rows = [[int(cell) if i == place and cell.isdigit() else cell for i, cell in enumerate(row)] for row in cells]
    return text_table(headings, rows, longest=None)

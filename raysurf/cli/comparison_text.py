"""Comparisons in the layout of the talk, as text, Markdown or LaTeX; a line per metric on a narrow terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raysurf.cli.output import latex_table, markdown_table, markdown_text, text_table
from raysurf.results.comparison.printed import PrintedTable, by_metric, printed

if TYPE_CHECKING:
    from raysurf.results.comparison.compare import Comparison


def text(comparison: Comparison, width: int) -> str:
    """A comparison for a terminal of this width: in its layout if it fits, else with a line per metric."""
    shown = printed(comparison)
    if max(map(len, _table(shown).splitlines())) > width:
        shown = by_metric(comparison)
    return "\n\n".join([shown.title, _table(shown), *shown.notes])


def markdown(comparison: Comparison) -> str:
    """A comparison as a Markdown table."""
    shown = printed(comparison)
    cells = markdown_table(shown.headings, shown.cells, range(shown.num_labels, len(shown.headings)))
    return "\n\n".join([markdown_text(shown.title), cells, *map(markdown_text, shown.notes)])


def latex(comparison: Comparison) -> str:
    """A comparison as a LaTeX tabular, with title and notes as comments."""
    shown = printed(comparison)
    cells = latex_table(shown.headings, shown.cells, range(shown.num_labels, len(shown.headings)))
    notes = [f"% {line}" for note in shown.notes for line in note.splitlines()]
    return "\n".join([f"% {shown.title}", cells, *notes])


def _table(shown: PrintedTable) -> str:
    """The table as text; seed counts are numbers, which are right-aligned."""
    place = shown.headings.index("seeds")
    rows = [[int(cell) if i == place and cell.isdigit() else cell for i, cell in enumerate(row)] for row in shown.cells]
    return text_table(shown.headings, rows, longest=None)

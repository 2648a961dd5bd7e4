"""The tables that set our figures beside published ones."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from raysurf.errors import StoreError
from raysurf.report.html_text import table
from raysurf.results.comparison import compare, counted
from raysurf.results.comparison_cells import printed
from raysurf.results.layouts import LAYOUTS
from raysurf.results.query import Results

LONG = 20


def comparisons(results: Results, sweeps: Sequence[str]) -> str:
    """Every table in which some finished run of the sweeps, or of their inputs, has a place."""
    parts = []
    for name in LAYOUTS:
        try:
            found = compare(results, name, sweeps)
        except StoreError as error:
            if not error.got.startswith("no finished "):
                raise
            continue
        for each in found:
            set_out = printed(each)
            if not any(row["group"] for row in each.table.to_pylist()):
                continue
            tall = " tall" if len(set_out.cells) > LONG else ""
            lines = [f"<h3>{escape(set_out.title)}</h3>"]
            lines.append(f'<div class="rows{tall}">{table(set_out.headings, set_out.cells, name="compared")}</div>')
            lines += [f"<p><small>{escape(note)}</small></p>" for note in set_out.notes]
            if each.left_out:
                lines.append(f"<p><small>Left out: {escape(counted(each.left_out))}.</small></p>")
            parts.append("".join(lines))
    return "".join(parts)

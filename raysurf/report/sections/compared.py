"""The tables that set our figures beside published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

import pyarrow as pa

from raysurf.errors import NothingComparedError
from raysurf.report.html_text import table
from raysurf.results.comparison import Comparison, compare, counted
from raysurf.results.comparison_cells import printed
from raysurf.results.layouts import LAYOUTS
from raysurf.results.query import Results

LONG = 20


def comparisons(results: Results, sweeps: Sequence[str]) -> str:
    """Every table in which finished runs of the sweeps, or of their inputs, have a place, as far as it is published.

    Networks and data of which it has no published figure are left to ``raysurf compare``.
    """
    parts = []
    for name in LAYOUTS:
        try:
            found = compare(results, name, sweeps)
        except NothingComparedError:
            continue
        for each in map(_published, found):
            if not any(each.table["group"].to_pylist()):
                continue
            set_out = printed(each)
            tall = " tall" if len(set_out.cells) > LONG else ""
            lines = [f"<h3>{escape(set_out.title)}</h3>"]
            lines.append(f'<div class="rows{tall}">{table(set_out.headings, set_out.cells, name="compared")}</div>')
            lines += [f"<p><small>{escape(note)}</small></p>" for note in set_out.notes]
            if each.left_out:
                lines.append(f"<p><small>Left out: {escape(counted(each.left_out))}.</small></p>")
            parts.append("".join(lines))
    return "".join(parts)


def _published(found: Comparison) -> Comparison:
    """Rows whose network and data set have a published figure."""
    networks = zip(found.table["model"].to_pylist(), found.table["data"].to_pylist(), strict=True)
    kept = [bool(found.layout.published.of(*network)) for network in networks]
    return replace(found, table=found.table.filter(pa.array(kept, pa.bool_())))

"""Rows as HTML: pages, tables, cells, and parts that open; whatever stands in a row is text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any


def document(title: str, style: str, policy: str, body: str) -> str:
    """A whole page.

    Args:
        title: As text.
        style: All of its CSS.
        policy: What it may load and run besides its style, as directives; nothing else.
        body: As HTML.
    """
    policy = f"default-src 'none'; style-src 'unsafe-inline'; {policy}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def details(summary: str, inner: str) -> str:
    """A part that opens.

    Args:
        summary: What it is, as text.
        inner: What is in it, as HTML.
    """
    return f'<details><summary>{escape(summary)}</summary><div class="rows">{inner}</div></details>'


def table(
    names: Sequence[str], lines: Sequence[Sequence[Any]], *, name: str = "", attributes: Sequence[str] = ()
) -> str:
    """A table; numbers stand to the right, and a figure that is not there is an empty cell.

    Args:
        names: Headings.
        lines: Values, as many a line as there are headings.
        name: Class of the table.
        attributes: Of each line's element, as HTML; none if not given.
    """
    right = [any(isinstance(line[i], int | float) for line in lines) for i in range(len(names))]
    kinds = [' class="number"' if number else "" for number in right]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(names, kinds, strict=True))
    body = "\n".join(
        f"<tr{' ' + each if each else ''}>"
        + "".join(f"<td{kind}>{cell(value)}</td>" for value, kind in zip(line, kinds, strict=True))
        + "</tr>"
        for line, each in zip(lines, attributes or [""] * len(lines), strict=True)
    )
    named = f' class="{name}"' if name else ""
    return f"<table{named}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def cell(value: Any) -> str:
    """A value as escaped text."""
    if isinstance(value, list | tuple):
        return ", ".join(cell(each) for each in value)
    return escape(said(value))


def said(value: Any) -> str:
    """A value as text: of a real number five digits, of nothing nothing."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    return str(value)


def duration(seconds: float) -> str:
    """Such as 12.3 s, 4 min 5 s, or 2 h 3 min."""
    if not math.isfinite(seconds):
        return "an unknown time"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

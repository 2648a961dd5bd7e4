"""Output of all commands: rows as CSV, JSON, Parquet, LaTeX or Markdown, and printable text."""

from __future__ import annotations

import io
import math
import re
import unicodedata
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pyarrow as pa


# All but printable ASCII, tabs and newlines.
_OTHERS = re.compile(r"[^\t\n -~]")


def printable(text: str) -> str:
    r"""Escape control characters, bidirectional overrides and lone surrogates, such as ``\x1b``."""
    return _OTHERS.sub(lambda match: _shown(match[0]), text)


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text, or a file's bytes as they are, to stdout or stderr."""
    click.echo(text if isinstance(text, bytes) else printable(str(text)), err=err, nl=nl)


def _shown(sign: str) -> str:
    if sign.isprintable() or unicodedata.category(sign) == "Zs":
        return sign
    return sign.encode("unicode_escape").decode()


# Export formats by file suffix.
SUFFIXES = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".tex": "latex", ".md": "markdown"}
EXPORTED = tuple(SUFFIXES.values())
FORMATS = ("table", *EXPORTED)
LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "{}$&#_%"},
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "|": r"\textbar{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        '"': r"\textquotedbl{}",
        "±": r"$\pm$",
        "→": r"$\rightarrow$",
        "–": "--",
        "…": r"\dots{}",
    }
)


# Cells that a spreadsheet takes for formulas, and those of them that are plain numbers.
FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|nan)$"
MARKDOWN = str.maketrans({**{sign: f"\\{sign}" for sign in "\\`*[]|~"}, "<": "&lt;", ">": "&gt;"})


def print_rows(rows: pa.Table, style: str) -> None:
    """Print rows to stdout as one of ``FORMATS``; see ``encoded``."""
    data = encoded(rows, style)
    echo(data if style == "parquet" else data.decode(), nl=False)


def encoded(rows: pa.Table, style: str) -> bytes:
    """Rows as the bytes of a file.

    Args:
        rows: The rows.
        style: One of ``FORMATS``. CSV joins lists by semicolons and puts an apostrophe before texts that spreadsheets
            take for formulas; JSON has null for NaN and infinity; printed tables have four significant digits.
    """
    if style == "parquet":
        import pyarrow.parquet

        sink = io.BytesIO()
        pyarrow.parquet.write_table(_unique_names(rows), sink)
        return sink.getvalue()
    if style == "csv":
        import pyarrow.csv

        sink = io.BytesIO()
        pyarrow.csv.write_csv(_flat(rows), sink)
        return sink.getvalue()
    rows = _unique_names(rows)
    if style == "json":
        import json

        values = finite(rows.to_pylist())
        return f"{json.dumps(values, default=str, indent=None if rows.num_rows > 1000 else 1)}\n".encode()
    cells = [[_float_or_int(value) for value in row.values()] for row in rows.to_pylist()]
    if style == "table":
        return f"{text_table(rows.column_names, cells)}\n".encode()
    numbers = [i for i in range(rows.num_columns) if any(_is_number(row[i]) for row in cells)]
    printed = markdown_table if style == "markdown" else latex_table
    return f"{printed(rows.column_names, cells, numbers)}\n".encode()


def text_table(names: Sequence[str], rows: Sequence[Sequence[object]], longest: int | None = 40) -> str:
    """A table as plain text; numbers are right-aligned, cells of more than ``longest`` characters are cut."""
    cells = [[_cell(value, longest) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(names)]
    right = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(names))]

    def line(row: Sequence[str]) -> str:
        parts = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        return "  ".join(parts).rstrip()

    return "\n".join([line(names), line(["-" * w for w in widths]), *(line(row) for row in cells)])


def markdown_table(names: Sequence[str], rows: Sequence[Sequence[object]], right: Collection[int]) -> str:
    """A Markdown table; the columns with indices ``right`` are right-aligned."""
    rules = ["---:" if i in right else "---" for i in range(len(names))]
    cells = [[markdown_text(_cell(value, None)) for value in row] for row in (names, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], rules, *cells[1:]))


def latex_table(names: Sequence[str], rows: Sequence[Sequence[object]], right: Collection[int]) -> str:
    """A LaTeX table with booktabs rules; see ``markdown_table``."""
    places = "".join("r" if i in right else "l" for i in range(len(names)))
    cells = [" & ".join(latex(_cell(value, None)) for value in row) + r" \\" for row in (names, *rows)]
    begin = [r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{{places}}}", r"\toprule", cells[0], r"\midrule"]
    return "\n".join([*begin, *cells[1:], r"\bottomrule", r"\end{tabular}"])


def markdown_text(text: str) -> str:
    """Escape a text for Markdown and the HTML made from it."""
    return text.translate(MARKDOWN)


def latex(text: str) -> str:
    """Escape a text for LaTeX."""
    return text.translate(LATEX)


def finite(value: Any) -> Any:
    """A value for JSON: null for NaN and infinity, numbers for SQL decimals."""
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    value = _float_or_int(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _float_or_int(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _cell(value: object, longest: int | None) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        value = ", ".join(_cell(item, None) for item in value)
    text = f"{value:.4g}" if isinstance(value, float) else printable(str(value))
    text = text.replace("\n", " ").replace("\t", " ")
    return text if longest is None or len(text) <= longest else text[: longest - 3] + "..."


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unique_names(rows: pa.Table) -> pa.Table:
    """Number repeated column names, which SQL may return."""
    names: list[str] = []
    for name in rows.column_names:
        known, number = name, 1
        while known in names:
            known, number = f"{name}_{number}", number + 1
        names.append(known)
    return rows.rename_columns(names)


def _flat(rows: pa.Table) -> pa.Table:
    """Lists and mappings as text for CSV; lists are joined by semicolons."""
    import pyarrow as pa
    from pyarrow import types

    plain = (types.is_primitive, types.is_string, types.is_large_string, types.is_decimal, types.is_null)
    for i, field in enumerate(rows.schema):
        if not any(test(field.type) for test in plain) or types.is_interval(field.type):
            texts = [_flat_text(value) for value in rows.column(i).to_pylist()]
            rows = rows.set_column(i, field.name, pa.array(texts, pa.string()))
    for i, field in enumerate(rows.schema):
        if types.is_string(field.type) or types.is_large_string(field.type):
            rows = rows.set_column(i, field.name, _no_formulas(rows.column(i)))
    return rows.rename_columns(_no_formulas(pa.array(rows.column_names, pa.string())).to_pylist())


def _no_formulas(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Put an apostrophe before texts that a spreadsheet would read as formulas."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_number, is_formula = pc.match_substring_regex(texts, NUMBER), pc.match_substring_regex(texts, FORMULA)
    quote = pa.scalar("'", texts.type)
    return pc.if_else(pc.and_not(is_formula, is_number), pc.binary_join_element_wise(quote, texts, ""), texts)


def _flat_text(value: Any) -> str | None:
    if value is None:
        return None
    return ";".join(map(str, value)) if isinstance(value, list) else str(value)

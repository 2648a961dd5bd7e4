"""``raysurf table``: a result table, or SQL over all of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from raysurf.cli.store_warnings import strict

if TYPE_CHECKING:
    import pyarrow as pa


@click.command()
@strict
@click.argument("name", required=False)
@click.option("--sql", "query", default=None, help="A query over all tables, in DuckDB's SQL, instead of a NAME.")
@click.option("--where", default=None, help="A condition on the rows, in SQL.")
@click.option("--columns", default=None, help="Columns to show, separated by commas.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How to print; parquet needs a pipe or a file.",
)
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def table(
    name: str | None, query: str | None, where: str | None, columns: str | None, style: str, results: str
) -> None:
    """Print the table NAME (runs, trials, epochs, predictions, surface), or the answer to --sql."""
    if (name is None) == (query is None):
        raise click.UsageError("got both a NAME and --sql, or neither; give one of them, such as: raysurf table runs")
    from raysurf.results.query import open

    found = open(results)
    if query is not None:
        rows = found.sql(query)
    else:
        assert name is not None
        rows = found.table(name, columns.split(",") if columns else None, where)
    if style == "parquet" and sys.stdout.isatty():
        raise click.UsageError("parquet is not for a terminal; redirect it, such as: > runs.parquet")
    write(rows, style)


def write(rows: pa.Table, style: str) -> None:
    """Write rows to stdout."""
    if style == "csv":
        import pyarrow.csv

        pyarrow.csv.write_csv(_without_lists(rows), sys.stdout.buffer)
    elif style == "parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(rows, sys.stdout.buffer)
    elif style == "json":
        import json

        click.echo(json.dumps(rows.to_pylist(), default=str, indent=None if rows.num_rows > 1000 else 1))
    else:
        click.echo(text_table(rows.column_names, [list(row.values()) for row in rows.to_pylist()]))


def _without_lists(rows: pa.Table) -> pa.Table:
    """CSV has no lists; their items are joined by semicolons."""
    import pyarrow as pa

    for i, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            joined = [None if v is None else ";".join(map(str, v)) for v in rows.column(i).to_pylist()]
            rows = rows.set_column(i, field.name, pa.array(joined, pa.string()))
    return rows


def text_table(names: Sequence[str], rows: Sequence[Sequence[object]], longest: int | None = 40) -> str:
    """Columns side by side, numbers to the right; cells of more than ``longest`` characters are cut."""
    cells = [[_cell(value, longest) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(names)]
    right = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(names))]

    def line(row: Sequence[str]) -> str:
        parts = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        return "  ".join(parts).rstrip()

    return "\n".join([line(names), line(["-" * w for w in widths]), *(line(row) for row in cells)])


def _cell(value: object, longest: int | None) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text.replace("\n", " ")
    return text if longest is None or len(text) <= longest else text[: longest - 3] + "..."

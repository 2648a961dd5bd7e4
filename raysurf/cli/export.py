"""``raysurf export``: rows as a file for another program or a document."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raysurf.cli.asked_rows import asks_for_rows
from raysurf.cli.echo import echo
from raysurf.cli.formats import EXPORTED, SUFFIXES, encoded, print_rows

if TYPE_CHECKING:
    import pyarrow as pa


@click.command()
@asks_for_rows
@click.option("-o", "--output", default=None, help=f"The file; its suffix ({', '.join(SUFFIXES)}) says as what.")
@click.option("--format", "style", type=click.Choice(EXPORTED), help="As what, whatever the suffix.  [default: csv]")
def export(read: Callable[[], pa.Table], output: str | None, style: str | None) -> None:
    """Write the table NAME, the trials of a sweep with their searched values (--params), or the answer to --sql to a
    file, or to stdout: CSV, JSON, Parquet, a LaTeX tabular or a Markdown table."""
    style = style or _style_of(output)
    if output is None:
        if style == "parquet" and sys.stdout.isatty():
            raise click.UsageError("parquet is not for a terminal; name a file, such as: -o runs.parquet")
        print_rows(read(), style)
        return
    rows = read()
    try:
        _put(Path(output), encoded(rows, style))
    except OSError as error:
        raise click.ClickException(
            f"{output}: {error.strerror}; expected a file in a folder that can be written"
        ) from error
    echo(f"{output}  {rows.num_rows} rows", err=True)


def _style_of(output: str | None) -> str:
    if output is None:
        return "csv"
    suffix = Path(output).suffix.lower()
    if suffix not in SUFFIXES:
        raise click.UsageError(f"-o: got {output!r}; expected a file in {', '.join(SUFFIXES)}, or --format")
    return SUFFIXES[suffix]


def _put(path: Path, data: bytes) -> None:
    """Write a file aside and rename it, so that one that was there is replaced as a whole or not at all."""
    if path.is_dir():
        raise IsADirectoryError(21, "Is a directory")
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        aside.write_bytes(data)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)

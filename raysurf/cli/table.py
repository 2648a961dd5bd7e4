"""``raysurf table``: a result table, a sweep's trials with their values, or SQL over all tables."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from raysurf.cli.asked_rows import asks_for_rows
from raysurf.cli.formats import FORMATS, print_rows

if TYPE_CHECKING:
    import pyarrow as pa


@click.command()
@asks_for_rows
@click.option(
    "--format",
    "style",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How to print; parquet needs a pipe or a file.",
)
def table(read: Callable[[], pa.Table], style: str) -> None:
    """Print the table NAME (runs, trials, epochs, predictions, surface, landmarks, layers, activations, inputs), the
    trials of a sweep with their searched values (--params), or the answer to --sql."""
    if style == "parquet" and sys.stdout.isatty():
        raise click.UsageError("parquet is not for a terminal; redirect it, such as: > runs.parquet")
    print_rows(read(), style)

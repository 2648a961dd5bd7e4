"""``raysurf compact``: many small files of the tables become few large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from raysurf.cli.echo import echo

if TYPE_CHECKING:
    from raysurf.results.compaction import Compaction

HEADINGS = ("table", "files compacted", "rows", "files removed", "bytes removed", "files waiting")


@click.command()
@click.option("--sweep", "sweeps", multiple=True, help="Only what is of this sweep; may be given again.")
@click.option("--table", "tables", multiple=True, help="Only this table; may be given again.")
@click.option(
    "--grace",
    "grace_s",
    type=click.FloatRange(0.0),
    default=600.0,
    show_default=True,
    help="Seconds that files stay whose rows are elsewhere; a query that takes longer may have to be asked again.",
)
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def compact(sweeps: tuple[str, ...], tables: tuple[str, ...], grace_s: float, results: str) -> None:
    """Make few large files of the tables' many small ones: queries get many times as fast.

    Sweeps may run and others may read at the same time. The small files wait: a compaction ten minutes later, or
    more, removes them.
    """
    from raysurf.cli.formats import text_table
    from raysurf.results.compaction import compact as compact_tables
    from raysurf.results.query import open

    found = open(results)
    found.store.check_writable()
    includes = found.parts_of_sweeps(*sweeps) if sweeps else None
    done = compact_tables(found.store, tables or None, includes, grace_s)
    if cells := [_cells(each) for each in done if not each.held_by]:
        echo(text_table(HEADINGS, cells))
    if any(each.waiting for each in done):
        later = f", {_span(grace_s)} from now or later" if grace_s else ""
        echo(f"files that wait are removed by the next compaction{later}", err=True)
    for each in done:
        if each.held_by:
            echo(f"{each.table} is being compacted by {each.held_by}; left to it", err=True)
        for path in each.skipped:
            echo(f"warning: {path} is broken, and was left alone (see raysurf fsck)", err=True)


def _cells(each: Compaction) -> list[object]:
    from raysurf.cli.quantities import Bytes

    return [each.table, each.parts, each.rows, each.removed, Bytes(each.bytes_removed), each.waiting]


def _span(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"

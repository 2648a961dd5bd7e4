"""``raysurf compact``: many small files of the tables become few large ones."""

from __future__ import annotations

import click


@click.command()
@click.option("--sweep", "sweeps", multiple=True, help="Only what is of this sweep (again for more of them).")
@click.option("--table", "tables", multiple=True, help="Only this table (again for more of them).")
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

    Sweeps may run and others may read at the same time. Files that are replaced are removed by the next compaction,
    ten minutes later or more.
    """
    from raysurf.results.compaction import compact as compact_tables
    from raysurf.results.query import open

    found = open(results)
    includes = found.parts_of_sweeps(*sweeps) if sweeps else None
    for each in compact_tables(found.store, tables or None, includes, grace_s):
        if each.held_by:
            click.echo(f"{each.table}: is being compacted by {each.held_by}")
            continue
        words = [f"{each.parts} parts, {each.rows} rows" if each.parts else "nothing to compact"]
        if each.removed:
            words.append(f"{each.removed} files ({each.bytes_removed / 2**20:.1f} MiB) removed")
        if each.waiting:
            words.append(f"{each.waiting} files wait to be removed by a compaction in {grace_s / 60:g} minutes or more")
        click.echo(f"{each.table}: {'; '.join(words)}")
        for path in each.skipped:
            click.echo(f"warning: {path} cannot be read and was left alone (see raysurf fsck)", err=True)

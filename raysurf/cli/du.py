"""``raysurf du``: how much room each sweep takes."""

from __future__ import annotations

import json

import click

from raysurf.cli.echo import echo


@click.command()
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def du(style: str, results: str) -> None:
    """Say how many bytes each sweep takes: tables, weights, checkpoints, predictions, W&B files, and the rest.

    A run counts for the sweep that ran it first. JSON gives bytes.
    """
    from raysurf.cli.formats import text_table
    from raysurf.cli.quantities import Bytes
    from raysurf.jobs.belongings import KINDS
    from raysurf.jobs.disk_use import disk_use
    from raysurf.results.query import open

    found = disk_use(open(results).store)
    if style == "json":
        rows = [{"sweep": each.sweep, "runs": each.runs, **each.bytes, "total": each.total} for each in found]
        echo(json.dumps(rows, indent=1))
        return
    cells = [
        [each.sweep or "(no sweep)", each.runs, *(Bytes(each.bytes[kind]) for kind in KINDS), Bytes(each.total)]
        for each in found
    ]
    totals = [Bytes(sum(each.bytes[kind] for each in found)) for kind in KINDS]
    cells.append(["all", sum(each.runs for each in found), *totals, Bytes(sum(each.total for each in found))])
    echo(text_table(["sweep", "runs", *KINDS, "total"], cells))

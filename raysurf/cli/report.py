"""``raysurf report``: one self-contained page of sweeps."""

from __future__ import annotations

import click

from raysurf.cli.echo import echo


@click.command()
@click.argument("sweeps", metavar="SWEEP...", nargs=-1, required=True)
@click.option("-o", "--output", default="report.html", show_default=True, help="The page; its name ends in .html.")
@click.option(
    "--interactive", is_flag=True, help="Pictures to zoom and point at, drawn in the browser (some 5 MB more)."
)
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def report(sweeps: tuple[str, ...], output: str, interactive: bool, results: str) -> None:
    """Write one HTML page of some SWEEPs, which needs no network and no other file.

    It has what was asked, what came of it and what it cost, the best trials, the search, surfaces, predictions, tables
    beside published figures, what failed, and where all of it comes from. A sweep that still runs has its rows so far.
    """
    from raysurf.report.sweep_report import write_report
    from raysurf.results.query import open

    write_report(open(results), sweeps, output, is_interactive=interactive)
    echo(output)

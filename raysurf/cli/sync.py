"""``raysurf sync``: runs that were written offline go to W&B."""

from __future__ import annotations

import click

from raysurf.cli.echo import echo


@click.command()
@click.argument("sweep", required=False)
@click.option("--project", default="raysurf", show_default=True, help="The W&B project.")
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def sync(sweep: str | None, project: str, results: str) -> None:
    """Send runs that were written offline to W&B, those of SWEEP or all; what W&B has is not sent again."""
    from raysurf.results.query import open
    from raysurf.tracking.uploads import send, sent_lines

    for line in sent_lines(send(open(results), sweep, project), project):
        echo(line)

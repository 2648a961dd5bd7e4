"""``raysurf sync`` and ``dashboard``."""

from __future__ import annotations

import click

from raysurf.cli.options import results_option
from raysurf.cli.output import echo


@click.command()
@click.argument("sweep", required=False)
@click.option("--project", default="raysurf", show_default=True, help="The W&B project.")
@results_option
def sync(sweep: str | None, project: str, results: str) -> None:
    """Upload offline runs to W&B, those of SWEEP or all; what W&B has is not sent again."""
    from raysurf.results.api import open
    from raysurf.tracking.sync import send, sent_lines

    for line in sent_lines(send(open(results), sweep, project), project):
        echo(line)


@click.command()
@click.argument("sweep")
@click.option("--project", default="raysurf", show_default=True, help="The W&B project.")
@click.option("--entity", default=None, help="The W&B user or team; your default if not given.")
@results_option
def dashboard(sweep: str, project: str, entity: str | None, results: str) -> None:
    """Create or update the W&B workspace and report of SWEEP: schemes, budgets, search, surfaces, training."""
    from raysurf.results.api import open
    from raysurf.tracking.dashboard import make_dashboard

    made = make_dashboard(open(results), sweep, project, entity)
    echo(f"workspace {made.workspace}")
    echo(f"report    {made.report}")

"""``raysurf submit``: hand a file to a cluster, which goes on with it when this machine is gone."""

from __future__ import annotations

import click

from raysurf.cli.cluster_address import cluster_address
from raysurf.cli.echo import echo


@click.command()
@click.argument("file")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--results",
    default="results",
    show_default=True,
    help="Address of the result store: a URI, or a folder that all nodes share; relative only on this machine.",
)
@cluster_address
def submit(file: str, options: tuple[str, ...], results: str, address: str) -> None:
    """Run FILE on a cluster as a Ray job, and print the job's id; OPTIONS of `run` stand after a --.

    The working folder goes with it, but not what git ignores, results, or what looks like a secret.
    """
    import os
    import secrets
    from pathlib import Path

    from raysurf.cluster.job_server import JobServer
    from raysurf.cluster.submission import resolve_results, submit_plan
    from raysurf.cluster.working_folder import secrets_here
    from raysurf.data.registry import data_elsewhere
    from raysurf.jobs.provenance import collect
    from raysurf.redaction import redact
    from raysurf.sweep.document import load

    with data_elsewhere():
        sweeps = load(file)
    server = JobServer(address)
    place = resolve_results(results, Path.cwd(), server.is_here())
    plan = submit_plan(
        file, sweeps, place, Path.cwd(), secrets.token_hex(4), collect(), options, secrets_here(os.environ)
    )
    count = len(plan.folder.files) + len(plan.extra)
    echo(f"{file}: {count} files, {plan.folder.size_mib:.1f} MiB, to {redact(address)}", err=True)
    for notice in plan.notices:
        echo(f"  {notice}", err=True)
    server.submit(plan)
    echo(f"results   {place}", err=True)
    echo(f"next      raysurf status {plan.id}; raysurf logs {plan.id} --follow; raysurf stop {plan.id}", err=True)
    echo(plan.id)

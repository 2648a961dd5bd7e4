"""``raysurf stop``: end a submitted job so that it can go on later."""

from __future__ import annotations

import shlex

import click

from raysurf.cli.cluster_address import cluster_address
from raysurf.cli.echo import echo


@click.command()
@click.argument("job")
@cluster_address
def stop(job: str, address: str) -> None:
    """Stop the submitted JOB (an id). What is finished is kept, and submitting the file again goes on from there."""
    from raysurf.cluster.job_server import JobServer

    server = JobServer(address)
    if (before := server.job(job)).has_ended:
        echo(f"{job}  {before.state} (it had ended before)")
        return
    after = server.stop(job)
    echo(f"{job}  {after.state}")
    if not after.has_ended:
        echo("it was asked to end and has not yet; look again with raysurf status", err=True)
    else:
        echo("what is finished is kept. To go on:", err=True)
        echo(f"  {shlex.join(['raysurf', 'submit', after.file, '--results', after.results])}", err=True)

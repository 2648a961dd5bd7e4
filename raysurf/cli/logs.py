"""``raysurf logs``: what a submitted job prints."""

from __future__ import annotations

import click

from raysurf.cli.cluster_address import cluster_address


@click.command()
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job ends; Ctrl-C leaves it running.")
@cluster_address
def logs(job: str, follow: bool, address: str) -> None:
    """Print the log of the submitted JOB (an id). With --follow, exit code 1 if the job failed."""
    from raysurf.cluster.job_server import JobServer
    from raysurf.redaction import redact

    server = JobServer(address)
    server.job(job)
    if not follow:
        click.echo(redact(server.log(job)), nl=False)
        return
    try:
        for chunk in server.follow(job):
            click.echo(redact(chunk), nl=False)
    except KeyboardInterrupt:
        click.echo(f"the job goes on; to end it: raysurf stop {job}", err=True)
        return
    ended = server.job(job)
    click.echo(f"{job}  {ended.state}", err=True)
    if ended.state == "failed":
        click.get_current_context().exit(1)

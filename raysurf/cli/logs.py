"""``raysurf logs``: the log of a submitted job, or the rows of a trial or run."""

from __future__ import annotations

import re

import click

from raysurf.cli.options import cluster_address, format_option, results_option
from raysurf.cli.output import echo

RUN_ID = re.compile(r"[a-z_]+-[0-9a-f]{16}")


@click.command()
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Follow the log until the job ends; Ctrl-C leaves the job running.")
@format_option(help="Output format of a trial or run.")
@results_option
@cluster_address
def logs(name: str, follow: bool, style: str, results: str, address: str) -> None:
    """Print the log of NAME: a trial as SWEEP/NUMBER, a run by its id, or a submitted job by its id.

    Trials and runs are read from the tables. With --follow, the exit code is 1 if the job failed.
    """
    sweep, mark, number = name.rpartition("/")
    if not mark and not RUN_ID.fullmatch(name):
        _print_job(name, follow, address)
        return
    if follow:
        raise click.UsageError("--follow is for submitted jobs; got a trial or run")
    from raysurf.cli.trial_text import as_json, trial_lines
    from raysurf.results.api import open
    from raysurf.results.runs import run_log, trial_log

    log = trial_log(open(results), sweep, number) if mark else run_log(open(results), name)
    echo(as_json(log) if style == "json" else "\n".join(trial_lines(log)))


def _print_job(job: str, follow: bool, address: str) -> None:
    from raysurf.cluster.job_server import JobServer
    from raysurf.errors import ClusterError
    from raysurf.redaction import redact

    try:
        server = JobServer(address)
        server.job(job)
    except ClusterError as error:
        raise ClusterError(error.address, error.got, f"{error.expected}; a trial is named SWEEP/NUMBER") from None
    if not follow:
        echo(redact(server.log(job)), nl=False)
        return
    try:
        for chunk in server.follow(job):
            echo(redact(chunk), nl=False)
    except KeyboardInterrupt:
        echo(f"the job continues; to stop it: raysurf stop {job}", err=True)
        return
    ended = server.job(job)
    echo(f"{job}  {ended.state}", err=True)
    if ended.state == "failed":
        click.get_current_context().exit(1)

"""``raysurf submit``, ``status``, ``list`` and ``stop``."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from raysurf.cli.examples import sweep_file
from raysurf.cli.options import cluster_address, format_option
from raysurf.cli.output import echo, text_table

if TYPE_CHECKING:
    from raysurf.cluster.submission import Submitted
    from raysurf.results.progress import SweepProgress


@click.command()
@sweep_file()
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--results",
    default="results",
    show_default=True,
    help="Address of the result store: a URI, or a folder that all nodes share; a relative one only on this machine.",
)
@cluster_address
def submit(file: str, options: tuple[str, ...], results: str, address: str) -> None:
    """Submit FILE to a cluster as a Ray job, and print the job's id; OPTIONS of `run` follow after --.

    The working folder is uploaded, without what git ignores, results, and what looks like a secret.
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


LAST_LINES = 8


@click.command()
@click.argument("job", required=False)
@click.option("--watch", "watches", is_flag=True, help="Keep showing the progress until it is over.")
@click.option("--sweep", "sweeps", multiple=True, help="Without JOB: show this sweep; repeatable.")
@click.option("--results", default=None, help="Without JOB: address of the result store.  [default: results]")
@click.option("--every", "every_s", default=2.0, show_default=True, help="Seconds between updates with --watch.")
@format_option()
@cluster_address
def status(
    job: str | None,
    watches: bool,
    sweeps: tuple[str, ...],
    results: str | None,
    every_s: float,
    style: str,
    address: str,
) -> None:
    """Show the state and progress of the submitted JOB (an id). Exit code 1 if it failed.

    Without JOB, and with --watch, show the progress of sweeps from the rows in their store alone, on any machine:
    trials, inputs, the best so far, time left, running work, and failures.
    """
    if every_s <= 0:
        raise click.UsageError(f"--every takes seconds, above 0; got {every_s:g}")
    if job is not None and (sweeps or results is not None):
        raise click.UsageError("--sweep and --results are for a status without JOB, which knows its own")
    if job is None or watches:
        if style == "json":
            raise click.UsageError("json is for the status of a JOB, without --watch")
        _watch(job, watches, sweeps, "results" if results is None else results, every_s, address)
        return
    from raysurf.cluster.job_server import JobServer
    from raysurf.errors import StoreError
    from raysurf.results.progress import planned_progress

    submitted = JobServer(address).job(job)
    why = ""
    try:
        far = planned_progress(submitted.results, submitted.sweeps)
    except (StoreError, OSError) as error:
        far, why = [], f"the tables cannot be read from here ({error})"
    if style == "json":
        echo(
            json.dumps(
                {**_row(submitted), "sweeps": [_counts(sweep) for sweep in _shown(submitted, far)]},
                indent=1,
            )
        )
    else:
        echo("\n".join(status_lines(submitted, far, why)))
    if submitted.state == "failed":
        _print_failure(submitted)
        click.get_current_context().exit(1)


def _watch(job: str | None, watches: bool, sweeps: Sequence[str], results: str, every_s: float, address: str) -> None:
    from raysurf.cli.display import watch

    if job is not None:
        from raysurf.cluster.job_server import JobServer

        submitted = JobServer(address).job(job)
        results, sweeps = submitted.results, ()
    watch(results, sweeps, every_s, once=not watches)


@click.command("list")
@format_option()
@cluster_address
def list_jobs(style: str, address: str) -> None:
    """List the jobs that raysurf has submitted to a cluster, oldest first."""
    from raysurf.cluster.job_server import JobServer

    rows = [{**_row(job), "sweeps": [sweep.name for sweep in job.sweeps]} for job in JobServer(address).jobs()]
    if style == "json":
        echo(json.dumps(rows, indent=1))
        return
    names = ("id", "state", "began", "file", "results", "sweeps")
    cells = [[", ".join(v) if isinstance(v := row[name], list) else v for name in names] for row in rows]
    if rows:
        echo(text_table(names, cells, longest=60))
    else:
        echo("no jobs yet; first: raysurf submit FILE", err=True)


def status_lines(job: Submitted, sweeps: Sequence[SweepProgress], why: str = "") -> list[str]:
    """The printed status of a job.

    Args:
        job: The job.
        sweeps: The progress of its sweeps.
        why: Why the progress is unknown, if it is.
    """
    from raysurf.cli.progress_text import lines as progress_lines

    began, ended = _time(job.began_ms), _time(job.ended_ms)
    lines = [f"{job.id}  {job.state}{f' since {began}' if began else ''}{f', ended {ended}' if ended else ''}"]
    lines += [f"file      {job.file}", f"results   {job.results}"]
    lines += ["", *progress_lines(_shown(job, sweeps))] if sweeps else []
    return lines + (["", why] if why else [])


def _shown(job: Submitted, sweeps: Sequence[SweepProgress]) -> Sequence[SweepProgress]:
    """The progress of a job's sweeps; trials that an ended job left running are waiting."""
    if not job.has_ended:
        return sweeps
    ended = [replace(sweep, running=(), per_hour=None, left_s=None) for sweep in sweeps]
    return [replace(sweep, counts=sweep.counts - Counter(running=sweep.counts["running"])) for sweep in ended]


def _counts(sweep: SweepProgress) -> dict[str, Any]:
    counts = {"trials": sweep.total, "done": sweep.counts["done"], "running": sweep.counts["running"]}
    ended = {state: sweep.counts[state] for state in ("stopped", "failed")}
    return {"sweep": sweep.sweep, **counts, "waiting": sweep.waiting, **ended}


def _row(job: Submitted) -> dict[str, Any]:
    times = {"began": _time(job.began_ms), "ended": _time(job.ended_ms)}
    return {
        "id": job.id,
        "state": job.state,
        **times,
        "file": job.file,
        "results": job.results,
        "exit_code": job.exit_code,
    }


def _time(milliseconds: int | None) -> str:
    return "" if milliseconds is None else f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _print_failure(job: Submitted) -> None:
    from raysurf.redaction import redact

    for line in redact(job.message).rstrip().splitlines()[-LAST_LINES:]:
        echo(f"  {line}", err=True)
    echo(f"failed; all of its log: raysurf logs {job.id}", err=True)


@click.command()
@click.argument("job")
@cluster_address
def stop(job: str, address: str) -> None:
    """Stop the submitted JOB (an id). What is finished is kept; submitting the file again resumes."""
    from raysurf.cluster.job_server import JobServer

    server = JobServer(address)
    if (before := server.job(job)).has_ended:
        echo(f"{job}  {before.state} (it had ended before)")
        return
    after = server.stop(job)
    echo(f"{job}  {after.state}")
    if not after.has_ended:
        echo("it was asked to stop and has not ended yet; see raysurf status", err=True)
    else:
        echo("what is finished is kept. To resume:", err=True)
        echo(f"  {shlex.join(['raysurf', 'submit', after.file, '--results', after.results])}", err=True)

"""``raysurf fsck``: what is broken or left over in a store, and what it means."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command()
@click.option("--fix", is_flag=True, help="Remove what is garbage for certain, and nothing else.")
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def fsck(fix: bool, style: str, results: str) -> None:
    """Look a result store over: files cut short or broken, checksums, orphans, claims of the dead, left-overs.

    Reads all tables and training states. Exit code 1 if anything was found.
    """
    from raysurf.jobs.checkup import check_up, remove_garbage
    from raysurf.results.query import open

    store = open(results).store
    found = check_up(store)
    if style == "json":
        click.echo(json.dumps([asdict(finding) for finding in found.findings], indent=1))
    for finding in found.findings if style == "table" else ():
        click.echo(f"{finding.path}: {finding.what}\n    {finding.meaning}{' [garbage]' if finding.is_garbage else ''}")
    garbage = sum(finding.is_garbage for finding in found.findings)
    click.echo(f"{found.files} files, {len(found.findings)} findings, {garbage} of them garbage", err=True)
    if found.running:
        text = f"{found.running[0]} works on it; rows and files of runs that have not ended were not looked at"
        click.echo(text, err=True)
    if fix:
        click.echo(f"{remove_garbage(store, found)} files removed", err=True)
    elif garbage:
        click.echo("raysurf fsck --fix removes what is garbage", err=True)
    if found.findings:
        click.get_current_context().exit(1)

"""``raysurf fsck``: what is broken or left over in a store, and what it means."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from raysurf.cli.echo import echo

if TYPE_CHECKING:
    from raysurf.jobs.checkup import Checkup


@click.command()
@click.option("--fix", is_flag=True, help="Remove what is garbage for certain, and nothing else.")
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def fsck(fix: bool, style: str, results: str) -> None:
    """Look a result store over: files cut short or broken, checksums, orphans, claims of the dead, left-overs.

    Reads all tables and training states, and changes nothing without --fix. Exit code 1 if anything was found.
    """
    from raysurf.cli.quantities import counted
    from raysurf.jobs.checkup import check_up, remove_garbage
    from raysurf.results.query import open

    store = open(results).store
    if fix:
        store.check_writable()
    found = check_up(store)
    if style == "json":
        echo(json.dumps([asdict(finding) for finding in found.findings], indent=1))
    else:
        _tell(found)
    if found.running:
        text = f"at work: {'; '.join(found.running)}; rows and files of runs that have not ended may be theirs"
        echo(f"{text}, and were not looked at", err=True)
    if fix:
        echo(f"{counted(remove_garbage(store, found), 'file')} removed", err=True)
    elif any(finding.is_garbage for finding in found.findings):
        echo("raysurf fsck --fix removes what is garbage, and nothing else", err=True)
    if found.findings:
        click.get_current_context().exit(1)


def _tell(found: Checkup) -> None:
    from raysurf.cli.quantities import counted

    for finding in found.findings:
        echo(f"{finding.path}{' (garbage)' if finding.is_garbage else ''}")
        echo(click.wrap_text(f"{finding.what}: {finding.meaning}", 100, "    ", "    "))
    if not found.findings:
        echo(f"{counted(found.files, 'file')}, nothing wrong")
        return
    garbage = sum(finding.is_garbage for finding in found.findings)
    echo(f"{counted(found.files, 'file')}, {counted(len(found.findings), 'finding')}, {garbage} of them garbage")

"""``raysurf rm``: remove a sweep from a store."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from raysurf.jobs.removal import Removal

SHOWN = 6


@click.command()
@click.argument("sweep")
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def rm(sweep: str, dry_run: bool, results: str) -> None:
    """Remove SWEEP: its trials, and its runs with their weights, states, predictions, rows and W&B files.

    Runs that another sweep needs stay. While a sweep runs on the store nothing is removed.
    """
    from raysurf.jobs.removal import planned_removal, remove_sweep
    from raysurf.results.query import open

    store = open(results).store
    if dry_run:
        removal = planned_removal(store, sweep)
    else:
        removal = remove_sweep(store, sweep, lambda text: click.echo(text, err=True))
    click.echo("\n".join(_lines(removal, dry_run)))


def _lines(removal: Removal, dry_run: bool) -> list[str]:
    from raysurf.cli.du import readable

    verb = "would be removed" if dry_run else "removed"
    lines = [f"{removal.sweep}: {removal.trials} trials and {len(removal.runs)} runs {verb}"]
    counts = Counter(file.kind for file in removal.files)
    lines += [f"  {kind:12} {counts[kind]:6} files  {readable(size):>10}" for kind, size in removal.bytes.items()]
    lines.append(f"  {'all':12} {len(removal.files):6} files  {readable(sum(removal.bytes.values())):>10}")
    if removal.compacted_rows:
        lines.append(f"  {removal.compacted_rows} rows in compacted files; a later raysurf compact makes the room free")
    if removal.kept:
        lines.append(f"{len(removal.kept)} of its runs stay, since others need them:")
        kept = list(removal.kept.items())
        lines += [f"  {run}  for {why}" for run, why in kept[:SHOWN]]
        lines += [f"  and {len(kept) - SHOWN} more"] if len(kept) > SHOWN else []
    return lines

"""``raysurf rm``: remove a sweep from a store."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from raysurf.cli.echo import echo

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
        store.check_writable()
        removal = remove_sweep(store, sweep, lambda text: echo(text, err=True))
    echo("\n".join(_lines(removal, dry_run)))


def _lines(removal: Removal, dry_run: bool) -> list[str]:
    from raysurf.cli.formats import text_table
    from raysurf.cli.quantities import Bytes, counted
    from raysurf.jobs.belongings import KINDS

    verb = "would be removed" if dry_run else "removed"
    lines = [f"{removal.sweep}: {counted(removal.trials, 'trial')} and {counted(len(removal.runs), 'run')} {verb}"]
    if removal.files:
        counts, sizes = Counter(file.kind for file in removal.files), removal.bytes
        cells: list[list[object]] = [[kind, counts[kind], Bytes(sizes[kind])] for kind in KINDS if counts[kind]]
        cells.append(["all", len(removal.files), Bytes(sizes.total())])
        lines += ["", *text_table(["what", "files", "bytes"], cells).splitlines()]
    if removal.compacted_rows:
        rows = counted(removal.compacted_rows, "row")
        lines += ["", f"{rows} in compacted files; their room is free after a later raysurf compact"]
    if removal.kept:
        kept = list(removal.kept.items())
        stay = "1 of its runs stays, being" if len(kept) == 1 else f"{len(kept)} of its runs stay, being"
        lines += [
            "",
            f"{stay} needed; remove {removal.sweep} again when that is gone:",
            *text_table(["run", "for"], kept[:SHOWN], None).splitlines(),
        ]
        lines += [f"and {len(kept) - SHOWN} more"] if len(kept) > SHOWN else []
    return lines

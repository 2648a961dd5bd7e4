"""``raysurf compact``, ``du``, ``fsck`` and ``rm``."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from raysurf.cli.options import format_option, results_option
from raysurf.cli.output import echo, text_table
from raysurf.wording import Bytes, counted, duration

if TYPE_CHECKING:
    from raysurf.maintenance.fsck import Findings
    from raysurf.maintenance.removal import Removal


HEADINGS = ("table", "files compacted", "rows", "files removed", "bytes removed", "files waiting")


@click.command()
@click.option("--sweep", "sweeps", multiple=True, help="Compact only this sweep; repeatable.")
@click.option("--table", "tables", multiple=True, help="Compact only this table; repeatable.")
@click.option(
    "--grace",
    "grace_s",
    type=click.FloatRange(0.0),
    default=600.0,
    show_default=True,
    help="Seconds to keep large files whose rows are in others now; queries that take longer may fail.",
)
@results_option
def compact(sweeps: tuple[str, ...], tables: tuple[str, ...], grace_s: float, results: str) -> None:
    """Merge the many small files of tables into a few large ones, which makes queries many times faster.

    Sweeps and readers may run at the same time. Only ended runs and trials are compacted.
    """
    from raysurf.results.api import open
    from raysurf.store.compaction import compact as compact_tables

    reader = open(results)
    reader.store.check_writable()
    includes = reader.parts_of_sweeps(*sweeps) if sweeps else None
    done = compact_tables(reader.store, tables or None, includes, grace_s)
    cells = [
        [table.table, table.parts, table.rows, table.removed, Bytes(table.bytes_removed), table.waiting]
        for table in done
        if not table.held_by
    ]
    if cells:
        echo(text_table(HEADINGS, cells))
    if any(table.waiting for table in done):
        later = f", {duration(grace_s)} from now or later" if grace_s else ""
        echo(f"files that wait are removed by the next compaction{later}", err=True)
    for table in done:
        if table.held_by:
            echo(f"{table.table} is being compacted by {table.held_by}; left to it", err=True)
        for path in table.skipped:
            echo(f"warning: {path} is broken, and was left alone (see raysurf fsck)", err=True)


@click.command()
@format_option()
@results_option
def du(style: str, results: str) -> None:
    """Show the disk use of each sweep: tables, weights, checkpoints, predictions, W&B files, and the rest.

    A run counts for the sweep that ran it first. JSON gives bytes.
    """
    from raysurf.maintenance.inventory import KINDS, disk_use
    from raysurf.results.api import open

    uses = disk_use(open(results).store)
    if style == "json":
        rows = [{"sweep": use.sweep, "runs": use.runs, **use.bytes, "total": use.total} for use in uses]
        echo(json.dumps(rows, indent=1))
        return
    cells = [
        [use.sweep or "(no sweep)", use.runs, *(Bytes(use.bytes[kind]) for kind in KINDS), Bytes(use.total)]
        for use in uses
    ]
    totals = [Bytes(sum(use.bytes[kind] for use in uses)) for kind in KINDS]
    cells.append(["all", sum(use.runs for use in uses), *totals, Bytes(sum(use.total for use in uses))])
    echo(text_table(["sweep", "runs", *KINDS, "total"], cells))


@click.command()
@click.option("--fix", is_flag=True, help="Remove what is certainly garbage, and nothing else.")
@format_option()
@results_option
def fsck(fix: bool, style: str, results: str) -> None:
    """Check a result store: truncated or broken files, checksums, orphans, stale leases, left-overs.

    Reads all tables and training states, and changes nothing without --fix. Exit code 1 if anything was found.
    """
    from raysurf.maintenance.fsck import fsck, remove_garbage
    from raysurf.results.api import open

    store = open(results).store
    if fix:
        store.check_writable()
    report = fsck(store)
    if style == "json":
        echo(json.dumps([asdict(finding) for finding in report.findings], indent=1))
    else:
        _print_findings(report)
    if report.running:
        text = f"at work: {'; '.join(report.running)}; rows and files of runs that have not ended may be theirs"
        echo(f"{text}, and were not looked at", err=True)
    if fix:
        echo(f"{counted(remove_garbage(store, report), 'file')} removed", err=True)
    elif any(finding.is_garbage for finding in report.findings):
        echo("raysurf fsck --fix removes what is garbage, and nothing else", err=True)
    if report.findings:
        click.get_current_context().exit(1)


def _print_findings(report: Findings) -> None:
    for finding in report.findings:
        echo(f"{finding.path}{' (garbage)' if finding.is_garbage else ''}")
        echo(click.wrap_text(f"{finding.what}: {finding.meaning}", 100, "    ", "    "))
    if not report.findings:
        echo(f"{counted(report.files, 'file')}, nothing wrong")
        return
    garbage = sum(finding.is_garbage for finding in report.findings)
    echo(f"{counted(report.files, 'file')}, {counted(len(report.findings), 'finding')}, {garbage} of them garbage")


SHOWN = 6


@click.command()
@click.argument("sweep")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and change nothing.")
@results_option
def rm(sweep: str, dry_run: bool, results: str) -> None:
    """Remove SWEEP: its trials, and its runs with their weights, states, predictions, rows and W&B files.

    Runs that another sweep needs stay. Nothing is removed while a sweep runs on the store.
    """
    from raysurf.maintenance.removal import planned_removal, remove_sweep
    from raysurf.results.api import open

    store = open(results).store
    if dry_run:
        removal = planned_removal(store, sweep)
    else:
        store.check_writable()
        removal = remove_sweep(store, sweep, lambda text: echo(text, err=True))
    echo("\n".join(_lines(removal, dry_run)))


def _lines(removal: Removal, dry_run: bool) -> list[str]:
    from raysurf.maintenance.inventory import KINDS

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

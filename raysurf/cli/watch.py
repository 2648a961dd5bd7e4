"""A sweep as it goes on, drawn again and again from its store: on a terminal in place, else a line a change."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from raysurf.errors import StoreError
from raysurf.results.duration import duration
from raysurf.results.query import Results, open
from raysurf.results.watch import SILENT_S, SweepView, views

MOST_RUNNING = 8


def watch(results: str, sweeps: Sequence[str], every_s: float, once: bool) -> None:
    """Show sweeps until they are over, or once.

    Args:
        results: Address of the store.
        sweeps: Names; all that have begun if none.
        every_s: Seconds between two looks.
        once: Whether to look but once.
    """
    if once:
        for line in lines(views(open(results), sweeps)):
            click.echo(line)
        return
    import sys

    if not sys.stdout.isatty():
        _print_changes(results, sweeps, every_s)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            found = _look(results, sweeps)
            text = "\n".join(lines(found) or [f"{results}: nothing has begun yet"])
            live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
            if _is_over(found):
                return
            time.sleep(every_s)


def _print_changes(results: str, sweeps: Sequence[str], every_s: float) -> None:
    told: dict[str, Any] = {}
    while True:
        found = _look(results, sweeps)
        for view in found:
            state = (dict(view.counts), dict(view.inputs), view.best)
            if told.get(view.sweep) != state:
                told[view.sweep] = state
                click.echo(line(view))
        if _is_over(found):
            return
        time.sleep(every_s)


def _look(results: str, sweeps: Sequence[str]) -> list[SweepView]:
    """Where sweeps are; none if the store has no tables yet, so that one can begin to watch before the run does."""
    try:
        found: Results = open(results)
    except StoreError as error:
        if error.got != "no tables":
            raise
        return []
    return views(found, sweeps)


def _is_over(found: Sequence[SweepView]) -> bool:
    return bool(found) and all(view.is_over for view in found)


def line(view: SweepView) -> str:
    """One sweep in one line."""
    counts = [f"{view.counts.get(state, 0)} {state}" for state in ("done", "running", "failed")]
    counts += [f"{view.counts['stopped']} stopped"] if view.counts.get("stopped") else []
    text = f"{view.sweep} trials: {', '.join(counts)}" + (f" of {view.total}" if view.total is not None else "")
    if view.best is not None:
        text += f"; best {view.metric} {view.best:.4f} ({view.best_arm})"
    if view.per_hour is not None and not view.is_over:
        text += f"; {view.per_hour:.3g} an hour"
    return text + (f"; about {duration(view.left_s)} left" if view.left_s is not None else "")


def lines(found: Sequence[SweepView]) -> list[str]:
    """All that is told of sweeps; what is at work is told once, since inputs may be of several."""
    told = []
    for view in found:
        if view.inputs:
            total = view.inputs.get("total")
            counts = ", ".join(f"{n} {state}" for state, n in view.inputs.items() if state != "total") or "0 done"
            told.append(f"{view.sweep} inputs: {counts}" + (f" of {total}" if total else ""))
        told.append(line(view))
        told += [f"  {n} failed: {text}" for n, text in view.failures]
    running = found[0].running if found else ()
    for run in running[:MOST_RUNNING]:
        silent = f"; no new row for {duration(run.silent_s)}"
        lost = ", its process may be gone" if run.silent_s > SILENT_S else ""
        told.append(f"  {run.run_id}  epoch {run.epoch}{silent if run.silent_s > 30 else ''}{lost}")
    more = len(running) - MOST_RUNNING
    return told + ([f"  and {more} more"] if more > 0 else [])

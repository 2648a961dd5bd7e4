"""A sweep as it goes on, drawn again and again from its store: on a terminal in place, else a line a change."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from raysurf.cli.echo import echo, printable
from raysurf.errors import StoreError
from raysurf.results.duration import duration
from raysurf.results.query import Results, open
from raysurf.results.store import Store
from raysurf.results.watch import SILENT_S, SweepView, views

MOST_RUNNING = 8
# What a run makes in its store before it has tables.
FOLDERS = ("_tmp", "claims", "jobs", "studies", "sweeps", "trajectories", "wandb")


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
            echo(line)
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
            live.update(Text(printable(text)), refresh=True)
            if _is_over(found):
                return
            time.sleep(every_s)


def _print_changes(results: str, sweeps: Sequence[str], every_s: float) -> None:
    told: dict[str, Any] = {}
    waits = False
    while True:
        found = _look(results, sweeps)
        if not found and not waits:
            waits = True
            echo(f"{results}: nothing has begun yet; waiting for it", err=True)
        for view in found:
            for what, text, state in _changing(view):
                if told.get(what) != state:
                    told[what] = state
                    echo(text)
        if _is_over(found):
            return
        time.sleep(every_s)


def _changing(view: SweepView) -> Iterator[tuple[str, str, Any]]:
    """What is told of a sweep: what it is about, the line, and what must have changed for it to be told again."""
    if inputs := _inputs(view):
        yield f"{view.sweep} inputs", inputs, inputs
    for number, why in view.failures:
        yield f"{view.sweep} {why}", f"{view.sweep}: {number} failed: {why}", number
    yield f"{view.sweep} trials", line(view), (dict(view.counts), view.best)


def _look(results: str, sweeps: Sequence[str]) -> list[SweepView]:
    """Where sweeps are; none if the store has no tables yet, so that one can begin to watch before the run does.

    Raises:
        StoreError: If there is something else at the address.
    """
    try:
        found: Results = open(results)
    except StoreError as error:
        if error.got != "no tables" or _is_something_else(Store(results)):
            raise
        return []
    return views(found, sweeps)


def _is_something_else(store: Store) -> bool:
    """Whether no run will ever make a store of it: a file, or a folder with things in it that no store has."""
    from pyarrow import fs

    if store.fs.get_file_info(store.root).type == fs.FileType.File:
        return True
    inside = store.fs.get_file_info(fs.FileSelector(store.root, allow_not_found=True))
    names = {info.base_name for info in inside if not info.base_name.startswith(".")}
    return bool(names) and names.isdisjoint(FOLDERS)


def _is_over(found: Sequence[SweepView]) -> bool:
    return bool(found) and all(view.is_over for view in found)


def line(view: SweepView) -> str:
    """One sweep in one line."""
    return "; ".join((_counts(view), *_rates(view)))


def _counts(view: SweepView) -> str:
    counts = [f"{view.counts.get(state, 0)} {state}" for state in ("done", "running", "failed")]
    counts += [f"{view.counts['stopped']} stopped"] if view.counts.get("stopped") else []
    return f"{view.sweep} trials: {', '.join(counts)}" + (f" of {view.total}" if view.total is not None else "")


def _rates(view: SweepView) -> Iterator[str]:
    """The best so far, how fast it goes, and how long it will."""
    if view.best is not None:
        yield f"best {view.metric} {view.best:.4f} ({view.best_of})"
    if view.per_hour is not None and not view.is_over:
        yield f"{view.per_hour:,.0f} an hour" if view.per_hour >= 100 else f"{view.per_hour:.3g} an hour"
    if view.left_s is not None:
        yield f"about {duration(view.left_s)} left"


def _inputs(view: SweepView) -> str:
    """Inputs and baselines; empty if there are none, or other sweeps of the store have run them.

    The plan counts those that all trials share; inputs that trials have by themselves come to them.
    """
    total, ended = view.inputs.get("total", 0), {k: n for k, n in view.inputs.items() if k != "total"}
    if not ended and (view.is_over or not total):
        return ""
    counts = ", ".join(f"{n} {state}" for state, n in ended.items()) or "0 done"
    return f"{view.sweep} inputs: {counts}" + (f" of {total}" if sum(ended.values()) <= total else "")


def lines(found: Sequence[SweepView]) -> list[str]:
    """All that is told of sweeps; what is at work is told once, since inputs may be of several."""
    told = []
    for view in found:
        told += [inputs] if (inputs := _inputs(view)) else []
        # In two lines, since a terminal may have but 80 columns.
        told.append(_counts(view))
        told += [f"  {rates}"] if (rates := "; ".join(_rates(view))) else []
        told += [f"  {n} failed: {text}" for n, text in view.failures]
    running = found[0].running if found else ()
    for run in running[:MOST_RUNNING]:
        silent = f"; no new row for {duration(run.silent_s)}"
        lost = ", its process may be gone" if run.silent_s > SILENT_S else ""
        told.append(f"  {run.run_id}  epoch {run.epoch}{silent if run.silent_s > 30 else ''}{lost}")
    more = len(running) - MOST_RUNNING
    return told + ([f"  and {more} more"] if more > 0 else [])

"""Progress on a terminal: of a run in this process, or of sweeps from their store."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

from raysurf.cli.output import echo, printable
from raysurf.cli.progress_text import inputs_line, line, lines
from raysurf.cluster.events import (
    Event,
    Notice,
    PointsMeasured,
    RunEnded,
    RunStarted,
    RunState,
    StageStarted,
    SweepEnded,
)
from raysurf.errors import StoreError
from raysurf.results.api import open
from raysurf.results.progress import SweepProgress, progress
from raysurf.store.parts import WHOLE
from raysurf.store.store import Store
from raysurf.sweep.lineage import own_values
from raysurf.sweep.plan import Plan

# Lines of progress for a surface, in a pipe.
SURFACE_LINES = 10


class Display:
    """A listener that shows the progress of a run.

    Args:
        plan: The plan of the run.
        stream: The output; on a terminal, progress is updated in place.
    """

    def __init__(self, plan: Plan, stream: IO[str] | None = None) -> None:
        self.stream = stream or sys.stderr
        self.state = RunState(plan)
        self._live: Any = None

    def __enter__(self) -> Display:
        if self.stream.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self.stream)
            self._live = Live(console=console, get_renderable=self._screen, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Update the display from an event."""
        if isinstance(event, StageStarted | SweepEnded):
            self._close_stage()
        measured = self.state.measured.get(event.job.id, event.done) if isinstance(event, PointsMeasured) else 0
        self.state(event)
        where = (inputs_line if self.state.stage == "inputs" else line)(self.state.progress)
        if isinstance(event, StageStarted):
            if event.reused < event.total or event.stage == "trials":
                self._say(where)
        elif isinstance(event, RunStarted):
            self._say(f"{where}; {event.label} begins{_params(event)}")
        elif isinstance(event, PointsMeasured):
            if event.done * SURFACE_LINES // event.total > measured * SURFACE_LINES // event.total:
                self._say(f"{where}; {self.state.surface}")
        elif isinstance(event, RunEnded):
            self._ended(event, where)
        elif isinstance(event, Notice):
            self._say(event.text)

    def _ended(self, event: RunEnded, where: str) -> None:
        if event.state == "failed":
            self._say(f"{event.label} failed: {event.error}")
        if not event.reused:
            values = (event.value,) if event.value is not None else event.values
            metrics = zip(self.state.metrics, values, strict=False)
            measured = ",".join(f" {metric} {value:.4f}" for metric, value in metrics)
            self._say(f"{where}; {event.label} {event.state}{measured}")

    def _close_stage(self) -> None:
        state = self.state
        for number, what in (
            (state.reused, "were done already and are reused"),
            (state.failed_before, "failed before (--retry-failed tries again)"),
        ):
            if number:
                self._say(f"{state.progress.sweep} {state.stage}: {number} of {state.total} {what}")
        state.reused = state.failed_before = 0

    def _screen(self) -> Any:
        from rich.text import Text

        shown = lines([self.state.look()]) if self.state.stage else ["starting"]
        return Text(printable("\n".join(shown)), no_wrap=True, overflow="ellipsis")

    def _say(self, text: str) -> None:
        text, sweep = printable(text), self.state.progress.sweep
        if self._live is None:
            print(text, file=self.stream, flush=True)
        elif " failed" in text.partition(":")[0] or ": " not in text or not text.startswith(sweep):
            self._live.console.print(text, markup=False, highlight=False)


def _params(event: RunStarted) -> str:
    values = own_values(event.params)
    return f" ({', '.join(f'{k or WHOLE}={_short(v)}' for k, v in values.items())})" if values else ""


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


# Folders that a run makes in its store before it has tables.
FOLDERS = ("_tmp", "claims", "jobs", "studies", "sweeps", "trajectories", "wandb")


def watch(results: str, sweeps: Sequence[str], every_s: float, once: bool) -> None:
    """Show sweeps until they are over, or once.

    Args:
        results: Address of the store.
        sweeps: Names; all that have begun if none.
        every_s: Seconds between updates.
        once: Whether to show them only once.
    """
    if once:
        echo("\n".join(lines(progress(open(results), sweeps))))
    elif sys.stdout.isatty():
        _show(results, sweeps, every_s)
    else:
        _print_changes(results, sweeps, every_s)


def _show(results: str, sweeps: Sequence[str], every_s: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            views = _look(results, sweeps)
            text = "\n".join(lines(views) or [f"{results}: nothing has begun yet"])
            live.update(Text(printable(text)), refresh=True)
            if _is_over(views):
                return
            time.sleep(every_s)


def _print_changes(results: str, sweeps: Sequence[str], every_s: float) -> None:
    known: dict[str, Any] = {}
    waits = False
    while True:
        views = _look(results, sweeps)
        if not views and not waits:
            waits = True
            echo(f"{results}: nothing has begun yet; waiting for it", err=True)
        for view in views:
            for what, text, state in _changing(view):
                if known.get(what) != state:
                    known[what] = state
                    echo(text)
        if _is_over(views):
            return
        time.sleep(every_s)


def _changing(view: SweepProgress) -> Iterator[tuple[str, str, Any]]:
    """Key, text and state of each line; a line is printed again when its state has changed."""
    if inputs := inputs_line(view):
        yield f"{view.sweep} inputs", inputs, inputs
    for number, why in view.failures:
        yield f"{view.sweep} {why}", f"{view.sweep}: {number} failed: {why}", number
    yield f"{view.sweep} trials", line(view), (dict(view.counts), view.best)


def _look(results: str, sweeps: Sequence[str]) -> list[SweepProgress]:
    """Progress of sweeps; none if the store has no tables yet, so that watching can start before the run.

    Raises:
        StoreError: If there is something else at the address.
    """
    try:
        return progress(open(results), sweeps)
    except StoreError as error:
        if error.got != "no tables" or _is_something_else(Store(results)):
            raise
        return []


def _is_something_else(store: Store) -> bool:
    """Whether the address is no store in the making: a file, or a folder with other contents than a store."""
    from pyarrow import fs

    if store.fs.get_file_info(store.root).type == fs.FileType.File:
        return True
    inside = store.fs.get_file_info(fs.FileSelector(store.root, allow_not_found=True))
    names = {info.base_name for info in inside if not info.base_name.startswith(".")}
    return bool(names) and names.isdisjoint(FOLDERS)


def _is_over(views: Sequence[SweepProgress]) -> bool:
    return bool(views) and all(view.is_over for view in views)

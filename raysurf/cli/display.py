"""Progress on a terminal: of a run in this process, and of a sweep from its store."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

from raysurf.cli.output import echo, printable
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
from raysurf.results.api import Results, open
from raysurf.results.progress import SILENT_S, SweepView, views
from raysurf.store.parts import WHOLE
from raysurf.store.store import Store
from raysurf.sweep.lineage import own_values
from raysurf.sweep.plan import Plan
from raysurf.wording import duration

# In a pipe, a surface is a line for every tenth of it.
TOLD = 10


class Display:
    """Listens to the events of a run and shows where it is.

    Args:
        plan: What will be done.
        stream: Where to write; a terminal is written in place.
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
        """Take an event."""
        if isinstance(event, StageStarted | SweepEnded):
            self._close_stage()
        measured = self.state.measured.get(event.job.id, event.done) if isinstance(event, PointsMeasured) else 0
        self.state(event)
        line = self.state.line
        if isinstance(event, StageStarted):
            if event.reused < event.total or event.stage == "trials":
                self._say(line)
        elif isinstance(event, RunStarted):
            self._say(f"{line}; {event.label} begins{_params(event)}")
        elif isinstance(event, PointsMeasured):
            if event.done * TOLD // event.total > measured * TOLD // event.total:
                self._say(f"{line}; {self.state.surface}")
        elif isinstance(event, RunEnded):
            self._ended(event, line)
        elif isinstance(event, Notice):
            self._say(event.text)

    def _ended(self, event: RunEnded, line: str) -> None:
        if event.state == "failed":
            self._say(f"{event.label} failed: {event.error}")
        if not event.reused:
            values = (event.value,) if event.value is not None else event.values
            figures = zip(self.state.metrics, values, strict=False)
            told = ",".join(f" {metric} {value:.4f}" for metric, value in figures)
            self._say(f"{line}; {event.label} {event.state}{told}")

    def _close_stage(self) -> None:
        state = self.state
        if state.reused:
            text = f"{state.reused} of {state.total} were done already and are reused"
            self._say(f"{state.sweep} {state.stage}: {text}")
        if state.failed_before:
            text = f"{state.failed_before} of {state.total} failed before (--retry-failed tries again)"
            self._say(f"{state.sweep} {state.stage}: {text}")
        state.reused = state.failed_before = 0

    def _screen(self) -> Any:
        from rich.text import Text

        running = [f"  {label}  {place}".rstrip() for label, place in self.state.at_work]
        counts, *others = self.state.parts
        # In two lines, since a terminal may have but 80 columns, and a sweep a long name.
        lines = [counts, *([f"  {'; '.join(others)}"] if others else []), *running]
        return Text(printable("\n".join(lines)), no_wrap=True, overflow="ellipsis")

    def _say(self, line: str) -> None:
        line = printable(line)
        if self._live is None:
            print(line, file=self.stream, flush=True)
        elif " failed" in line.partition(":")[0] or ": " not in line or not line.startswith(self.state.sweep):
            self._live.console.print(line, markup=False, highlight=False)


def _params(event: RunStarted) -> str:
    values = own_values(event.params)
    return f" ({', '.join(f'{k or WHOLE}={_short(v)}' for k, v in values.items())})" if values else ""


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


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

"""What one sees while a plan runs: in place on a terminal, a line a change in a pipe."""

from __future__ import annotations

import sys
from typing import IO, Any

from raysurf.cli.echo import printable
from raysurf.cluster.events import Event, Notice, PointsMeasured, RunEnded, RunStarted, StageStarted, SweepEnded
from raysurf.cluster.run_state import RunState
from raysurf.results.parts import WHOLE
from raysurf.sweep.lineage import own_values
from raysurf.sweep.plan import Plan

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

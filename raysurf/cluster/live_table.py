"""A table of a run for notebooks, which changes in place while the run goes on."""

from __future__ import annotations

import html
import time
from typing import Any

from raysurf.cluster.events import Event, Notice, RunEnded, RunState, SweepEnded
from raysurf.wording import duration

# Epochs may end many times a second; a page need not be drawn as often.
EVERY_S = 0.5
MOST_NOTES = MOST_RUNNING = 8


class LiveTable:
    """Listens to the events of ``rs.run`` and shows them as a table: ``rs.run(sweep, listener=rs.LiveTable())``.

    Where IPython is, the table is displayed at the first event and changes in place; elsewhere nothing is shown. The
    value shows the last state of the run when a cell ends with it.
    """

    def __init__(self) -> None:
        self.state = RunState()
        self.stages: dict[str, tuple[int, int, int, str]] = {}
        self.notes: list[str] = []
        self._handle: Any = None
        self._drawn = 0.0

    def __call__(self, event: Event) -> None:
        """Take an event."""
        self.state(event)
        state = self.state
        progress, counts = state.progress, state.counts
        if state.stage:
            best = f"{progress.best:.4f} ({progress.best_of})" if progress.best is not None else ""
            ended = counts.total() - counts["running"]
            stage = (ended - counts["failed"], counts["failed"], state.total, best)
            self.stages[f"{progress.sweep} {state.stage}"] = stage
        if isinstance(event, RunEnded) and event.state == "failed":
            self.notes.append(f"{event.label} failed: {event.error}")
        elif isinstance(event, Notice):
            self.notes.append(event.text)
        if isinstance(event, SweepEnded) or time.monotonic() - self._drawn > EVERY_S:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._handle is not None:
            self._handle.update(self)
            return
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            return
        if get_ipython() is not None:
            self._handle = display(self, display_id=True)

    def __repr__(self) -> str:
        lines = [
            f"{stage}: {done} done, {failed} failed, of {total}{f', best {best}' if best else ''}"
            for stage, (done, failed, total, best) in self.stages.items()
        ]
        return "\n".join(lines) or "nothing has begun"

    def _repr_html_(self) -> str:
        from raysurf.results.notebook import html_table

        names = ("stage", "done", "failed", "of", f"best {self.state.metrics[0]}".strip())
        table = html_table(names, [(stage, *counts) for stage, counts in self.stages.items()])
        left = self.state.look().left_s
        lines = [f"{run.label} {run.place}".strip() for run in self.state.progress.running[:MOST_RUNNING]]
        lines += [f"about {duration(left)} left of this stage"] if left else []
        return table + "".join(f"<div>{html.escape(line)}</div>" for line in (*lines, *self.notes[-MOST_NOTES:]))

"""Runs of sweeps: what was said, what began, and the rows of their trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.cluster.events import Event, Finished, Notice, RunProgressed, RunStarted


@dataclass(frozen=True)
class Ran:
    """A run that has ended, and its events."""

    finished: Finished
    events: list[Event]

    @property
    def notices(self) -> list[str]:
        return notices(self.events)

    @property
    def begun(self) -> list[int]:
        """Numbers of the trials that began."""
        return [event.number for event in self.events if isinstance(event, RunStarted) and event.role == "trial"]


def break_off(what: Any, root: object, when: Callable[[Event], object]) -> None:
    """Run in this process up to the first event of which something is so."""

    def listen(event: Event) -> None:
        if when(event):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rs.run(what, str(root), executor="inline", listener=listen)


def run(what: Any, root: object, executor: Any = "inline", **settings: Any) -> Ran:
    """Run in this process, if nothing else is said."""
    events: list[Event] = []
    return Ran(rs.run(what, str(root), executor=executor, listener=events.append, **settings), events)


def epochs(events: list[Event], kind: str = "") -> list[int]:
    """Epochs that were told of runs of a kind, or of all."""
    progress = (event for event in events if isinstance(event, RunProgressed))
    return [event.epoch for event in progress if event.run_id.startswith(kind)]


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def trials(root: Path) -> list[dict[str, Any]]:
    """The rows of ``trials`` in order, without what depends on the clock."""
    rows = rs.results.open(str(root)).table("trials").sort_by("trial").to_pylist()
    return [{key: value for key, value in row.items() if key not in ("started_at", "wall_s")} for row in rows]

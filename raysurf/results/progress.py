"""How much of what was planned is done, from the rows of ``trials``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from raysurf.errors import StoreError
from raysurf.results.query import open


@dataclass(frozen=True)
class PlannedSweep:
    """A sweep as it was planned.

    Args:
        name: Its name in the tables.
        trials: How many there are to be.
        definition: The hash of what they depend on; rows of another one are of an earlier sweep of that name.
    """

    name: str
    trials: int
    definition: str


@dataclass(frozen=True)
class SweepProgress:
    """How many trials of a sweep are in which state; those without a row are waiting."""

    sweep: PlannedSweep
    done: int = 0
    failed: int = 0
    stopped: int = 0
    running: int = 0

    @property
    def waiting(self) -> int:
        """Trials that have not begun."""
        return max(0, self.sweep.trials - self.done - self.failed - self.stopped - self.running)


def progress(results: str, sweeps: Sequence[PlannedSweep]) -> list[SweepProgress]:
    """How far sweeps are.

    Args:
        results: Address of the result store.
        sweeps: What was planned.

    Returns:
        One a sweep, in the same order; all waiting if the store has no tables yet.

    Raises:
        StoreError: If the store cannot be read.
    """
    try:
        found = open(results)
    except StoreError as error:
        if error.got != "no tables":
            raise
        return [SweepProgress(sweep) for sweep in sweeps]
    rows = found.table("trials", ["sweep", "definition", "state"]).to_pylist()
    counts = Counter((row["sweep"], row["definition"], row["state"]) for row in rows)
    states = ("done", "failed", "stopped", "running")
    return [
        SweepProgress(sweep, **{state: counts[sweep.name, sweep.definition, state] for state in states})
        for sweep in sweeps
    ]

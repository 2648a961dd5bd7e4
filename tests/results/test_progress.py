"""How far a sweep is, from its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

import raysurf as rs
from raysurf.errors import StoreError
from raysurf.results.progress import PlannedSweep, SweepProgress, planned_progress
from tests.support.cases import tiny_sgd


def test_trials_are_counted_by_state(tmp_path: Path) -> None:
    """Done and failed trials are those of the rows, the others wait; rows of another definition do not count."""
    sweep = rs.Sweep(tiny_sgd(epochs=1).with_holes(lr=rs.Each((0.1, 1e9))), name="s")
    rs.run(sweep, str(tmp_path), executor="inline")
    planned = PlannedSweep("s", 3, sweep.digest)
    other = PlannedSweep("s", 3, "another")
    mine, theirs = planned_progress(str(tmp_path), [planned, other])
    assert (mine.total, mine.counts) == (3, {"done": 1, "failed": 1})
    assert mine.waiting == 1
    assert theirs == SweepProgress("s", 3)
    assert theirs.waiting == 3


def test_no_tables_yet_is_all_waiting(tmp_path: Path) -> None:
    """Before the first row everything waits; a store that is no store is an error."""
    planned = PlannedSweep("s", 2, "d")
    assert planned_progress(str(tmp_path / "none"), [planned]) == [SweepProgress("s", 2)]
    with pytest.raises(StoreError, match="expected a folder, or an address"):
        planned_progress("gopher://x", [planned])

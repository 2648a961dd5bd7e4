"""The rows of ``trials`` that a driver writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cluster.trial_table import TrialTable
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd


class SetBack(datetime):
    """A wall clock that is set back by two days."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return datetime.now(UTC) - timedelta(days=2)


def test_a_trials_duration_is_not_the_wall_clocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never negative; of a trial that began in another process there is none."""
    sweep = rs.Sweep(tiny_sgd().with_holes(lr=rs.Each((0.1, 0.2))), name="s")
    table = TrialTable(Store(str(tmp_path)), sweep)
    table.write(0, None, {"lr": 0.1}, "running")
    table.write(1, None, {"lr": 0.2}, "running")
    monkeypatch.setattr("raysurf.cluster.trial_table.datetime", SetBack)
    table.write(0, None, {"lr": 0.1}, "done")
    assert 0 <= table.rows[0]["wall_s"] < 60
    after = TrialTable(table.store, sweep)
    after.write(1, None, {"lr": 0.2}, "done")
    assert after.rows[1]["wall_s"] is None

"""Early stopping of a sweep, by what its trials report and have stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from raysurf.cluster.trial_table import TrialTable
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from raysurf.sweep.search import Search


class EarlyStopping:
    """The early stopping of one sweep: what earlier runs of it have stored counts as if it were reported now."""

    def __init__(self, search: Search, longest: int, table: TrialTable) -> None:
        assert search.stopping is not None
        self.search, self.rule, self.store = search, search.stopping.build(longest), table.store
        self._due: dict[int, int] = {}
        for number, row in sorted(table.rows.items()):
            last = self.take(number, row["run_ids"])
            if last is not None and row["state"] == "running":
                # Its driver may have been killed before it could stop it.
                self._due[number] = last

    def take(self, trial: int, run_ids: Sequence[str]) -> int | None:
        """Let what is stored of a trial count, whoever has trained it; gives the epoch, if it should end there."""
        due = None
        for run_id in run_ids:
            for epoch, value in stored_values(self.store, run_id, self.search.metrics[0]):
                due = epoch if self.stops(trial, epoch, value) else None
        return due

    def stops(self, trial: int, epoch: int, value: float) -> bool:
        """Whether a trial ends with this value of the metric; one that is not finite is left to the trial itself."""
        if not math.isfinite(value):
            return False
        is_due = epoch >= self._due.get(trial, epoch + 1)
        return self.rule.stops(trial, epoch, value if self.search.directions[0] == "max" else -value) or is_due


def stored_values(store: Store, run_id: str, metric: str) -> list[tuple[int, float]]:
    """A run's value of a metric after each epoch, as reported when it trained: of several weights the last ones'."""
    rows = read_rows(store, "epochs", run_id)
    by_epoch = {row["epoch"]: value for row in rows if (value := _value(row, metric)) is not None}
    return sorted(by_epoch.items())


def _value(row: Mapping[str, Any], metric: str) -> float | None:
    split, _, name = metric.partition("/")
    value: float | None = row.get(f"{split}_{'error' if name == 'accuracy' else name}")
    return 1.0 - value if name == "accuracy" and value is not None else value

"""The ``trials`` table of one sweep: what was tried, what came of it, and what can be taken as finished."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import mean, stdev
from typing import Any

from raysurf.jobs.outcome import figures_of
from raysurf.results.store import Store
from raysurf.sweep.sweep import Assignment, Sweep

Row = dict[str, Any]
BLOCKED = "its input "


def part(sweep: str, number: int) -> str:
    """The name of a trial's row file."""
    return f"{sweep}-{number:06d}"


class Ledger:
    """One sweep's rows of ``trials``; rows of an earlier definition of the same name are dropped when one is written.

    The runs that such rows pointed at stay in ``runs`` and are taken again where the new definition has them.
    """

    def __init__(self, store: Store, sweep: Sweep) -> None:
        self.store, self.sweep = store, sweep
        self.rows: dict[int, Row] = {}
        self._stale: list[str] = []
        for name in store.parts("trials"):
            if name.rpartition("-")[0] == sweep.name:
                for row in store.read_rows("trials", name):
                    if row["definition"] == sweep.digest:
                        self.rows[int(row["trial"])] = row
                    else:
                        self._stale.append(name)

    def finished(
        self, number: int, assignment: Assignment
    ) -> tuple[str, tuple[float, ...] | None, float | None, str | None] | None:
        """State, values, spread and error of a trial that has ended; None if it is still to be run.

        A trial that failed with its input is to be run, since the input is tried again.
        """
        row = self.rows.get(number, {"run_ids": None})
        run_ids = [job.id for job in assignment.jobs]
        ended = row["run_ids"] == run_ids and row["state"] in ("failed", "stopped")
        if ended and not str(row["error"]).startswith(BLOCKED):
            return row["state"], None, None, row["error"]
        figures = [figures_of(self.store, run_id) for run_id in run_ids]
        if any(each is None for each in figures):
            return None
        return "done", *self.values([each for each in figures if each is not None]), None

    def values(self, figures: Sequence[Mapping[str, float]]) -> tuple[tuple[float, ...] | None, float | None]:
        """The mean over the seeds of each figure that is searched, and of a single one its spread."""
        search = self.sweep.search
        found = [[each[m] for each in figures if m in each] for m in (search.metrics if search else ())]
        if not found or not all(found):
            return None, None
        return tuple(map(mean, found)), (stdev(found[0]) if len(found) == 1 and len(found[0]) > 1 else None)

    def count_finished(self) -> int:
        """Trials of this definition that have ended."""
        return sum(row["state"] != "running" for row in self.rows.values())

    def params(self, number: int) -> dict[str, Any]:
        """The assignment of a trial that has begun."""
        found: dict[str, Any] = json.loads(self.rows[number]["params"])
        return found

    def begun(self, numbers: Sequence[int]) -> list[Mapping[str, Any]]:
        """Parameters of those of some trials that have begun, in order."""
        return [self.params(number) for number in numbers if number in self.rows]

    def write(
        self,
        number: int,
        assignment: Assignment | None,
        params: Mapping[str, Any],
        state: str,
        values: tuple[float, ...] | None = None,
        std: float | None = None,
        error: str | None = None,
    ) -> None:
        """Write a trial's row; it replaces the one before."""
        for name in self._stale:
            self.store.delete(f"tables/trials/{name}.parquet")
        self._stale.clear()
        before = self.rows.get(number, {})
        now = datetime.now(UTC)
        started = before.get("started_at", now) if state != "running" else now
        search = self.sweep.search
        row = {
            "sweep": self.sweep.name,
            "trial": number,
            "definition": self.sweep.digest,
            "arm": assignment.arm if assignment else "",
            "params": json.dumps(dict(params), sort_keys=True),
            "run_ids": [job.id for job in assignment.jobs] if assignment else [],
            "seeds": list(self.sweep.seeds),
            "metric": ", ".join(search.metrics) if search else "",
            "mode": ", ".join(search.directions) if search else "",
            "value": values[0] if values and len(values) == 1 else None,
            "values": values,
            "std": std,
            "state": state,
            "error": error,
            "started_at": started,
            "wall_s": None if state == "running" else (now - started).total_seconds(),
        }
        self.rows[number] = row
        self.store.write_rows("trials", part(self.sweep.name, number), [row])

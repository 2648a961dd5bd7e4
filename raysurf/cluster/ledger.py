"""The ``trials`` table of one sweep: what was tried, what came of it, and what can be taken as finished."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from statistics import mean, stdev
from typing import Any

from raysurf.jobs.whole import FinishedJobs
from raysurf.redaction import redact
from raysurf.results.compaction import remove_part
from raysurf.results.error_text import BLOCKED
from raysurf.results.parts import mapping_in
from raysurf.results.store import Store
from raysurf.sweep.sweep import Assignment, Sweep

Row = dict[str, Any]


def part(sweep: str, number: int) -> str:
    """The name of a trial's row file."""
    return f"{sweep}-{number:06d}"


class Ledger:
    """One sweep's rows of ``trials``; rows of an earlier definition of the same name are dropped when one is written.

    The runs that such rows pointed at stay in ``runs`` and are taken again where the new definition has them.

    Args:
        store: Where the rows are.
        sweep: Whose they are.
        retry_failed: Whether a trial that failed counts as one that is still to be run.
        done: Looks for what is finished.

    ``retried`` holds the numbers of trials whose failure the search was told of before they were tried again.
    """

    def __init__(
        self, store: Store, sweep: Sweep, retry_failed: bool = False, done: FinishedJobs | None = None
    ) -> None:
        self.store, self.sweep, self.retry_failed = store, sweep, retry_failed
        self.done = done or FinishedJobs(store)
        self.rows: dict[int, Row] = {}
        self._began: dict[int, float] = {}
        self.retried: set[int] = set()
        self._stale: list[str] = []
        for name in store.parts("trials"):
            if name.rpartition("-")[0] == sweep.name:
                for row in store.read_rows("trials", name):
                    if row["definition"] == sweep.digest:
                        self.rows[int(row["trial"])] = row
                        self.retried |= {int(row["trial"])} if row.get("retried") else set()
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
        for needed in (needed for job in assignment.jobs for needed in job.ancestors):
            self.done.look_at(needed)
        if row["run_ids"] == run_ids and self._has_ended_unfinished(row):
            return row["state"], None, None, row["error"]
        figures = [self.done.figures(job) for job in assignment.jobs]
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

    def is_told_as_failed(self, number: int, assignment: Assignment) -> bool:
        """Whether a search has gone on from this trial's failure, though the trial has been tried again or will be."""
        row = self.rows.get(number, {})
        retries = self.retry_failed and self.sweep.is_searched and row.get("state") == "failed"
        is_same = row.get("run_ids") == [job.id for job in assignment.jobs]
        return is_same and (number in self.retried or (retries and not str(row["error"]).startswith(BLOCKED)))

    def _has_ended_unfinished(self, row: Row) -> bool:
        """Whether a trial was stopped, or failed such that it is not to be tried again."""
        if row["state"] == "failed":
            return not self.retry_failed and not str(row["error"]).startswith(BLOCKED)
        return bool(row["state"] == "stopped")

    def count_finished(self, numbers: Collection[int] | None = None) -> int:
        """Trials of this definition that have ended and are not to be tried again; of some, or of all."""
        rows = (row for number, row in self.rows.items() if numbers is None or number in numbers)
        return sum(row["state"] == "done" or self._has_ended_unfinished(row) for row in rows)

    def params(self, number: int) -> dict[str, Any]:
        """The assignment of a trial that has begun."""
        return mapping_in(self.rows[number]["params"], self.store.uri, f"trial {number}")

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
            remove_part(self.store, "trials", name)
        self._stale.clear()
        before = self.rows.get(number, {})
        now = datetime.now(UTC)
        started = before.get("started_at", now) if state != "running" else now
        if state == "running":
            self._began[number] = time.monotonic()
        # Of one that has begun in another process nothing is known.
        took = time.monotonic() - self._began[number] if number in self._began else before.get("wall_s")
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
            "error": None if error is None else redact(error),
            "started_at": started,
            "wall_s": None if state == "running" else took,
            "retried": number in self.retried or None,
        }
        self.rows[number] = row
        self.store.write_rows("trials", part(self.sweep.name, number), [row])

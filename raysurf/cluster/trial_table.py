"""The ``trials`` table of one sweep: its rows, their values, and which trials count as finished."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from statistics import mean, stdev
from typing import Any, NamedTuple

from raysurf.errors import Fault, SpecError
from raysurf.failure import Failure
from raysurf.jobs.completeness import FinishedJobs
from raysurf.results.error_text import failure_in
from raysurf.results.plans import plan_path
from raysurf.store import Row
from raysurf.store.compaction import remove_part
from raysurf.store.parts import mapping_in
from raysurf.store.store import Store
from raysurf.store.tables import part_names, read_rows, write_rows
from raysurf.sweep.plan import Only, part_of
from raysurf.sweep.sweep import Assignment, Sweep


def part(sweep: str, number: int) -> str:
    """The name of a trial's row file."""
    return f"{sweep}-{number:06d}"


def trial_values(
    names: Sequence[str], metrics: Sequence[Mapping[str, float]]
) -> tuple[tuple[float, ...] | None, float | None]:
    """The value of a trial: the mean over its seeds of each searched metric, and of a single metric its spread.

    Args:
        names: What is searched for.
        metrics: Of the job of each seed.
    """
    by_metric = [[of_seed[name] for of_seed in metrics if name in of_seed] for name in names]
    if not by_metric or not all(by_metric):
        return None, None
    has_spread = len(by_metric) == 1 and len(by_metric[0]) > 1
    return tuple(map(mean, by_metric)), stdev(by_metric[0]) if has_spread else None


class End(NamedTuple):
    """How a trial has ended: state, values of the searched metrics, their spread over seeds, and why it failed."""

    state: str
    values: tuple[float, ...] | None = None
    std: float | None = None
    failure: Failure | None = None


def is_one_job(sweep: Sweep) -> bool:
    """Whether a sweep is a single job, such as one that a program runs; all of a kind have one name."""
    return not sweep.parameters and len(sweep.seeds) < 2 and not sweep.baselines


class TrialTable:
    """One sweep's rows of ``trials``, and those of other definitions under its name.

    Args:
        store: Where the rows are.
        sweep: Whose they are.
        retry_failed: Whether a trial that failed counts as one that is still to be run.
        done: Looks for what is finished.

    Attributes:
        retried: Numbers of trials whose failure the search has learnt of before they were tried again.
    """

    def __init__(
        self, store: Store, sweep: Sweep, retry_failed: bool = False, done: FinishedJobs | None = None
    ) -> None:
        self.store, self.sweep, self.retry_failed = store, sweep, retry_failed
        self.done = done or FinishedJobs(store)
        self._began: dict[int, float] = {}
        self.others: list[Row] = []
        self._parts: list[str] = []
        self._stale: list[str] = []
        mine: list[Row] = []

        @functools.cache
        def definitions(seeds: tuple[int, ...]) -> tuple[str, ...]:
            """Digests under which rows count as this sweep's: its own, and those of it with fewer of its seeds."""
            is_part = seeds and set(seeds) < set(sweep.seeds)
            return (dataclasses.replace(sweep, seeds=seeds) if is_part else sweep).definitions

        for name in part_names(store, "trials"):
            if name.rpartition("-")[0] == sweep.name:
                for row in read_rows(store, "trials", name):
                    is_mine = row["definition"] in definitions(tuple(row["seeds"]))
                    (mine if is_mine else self.others).append(row)
                    (self._parts if is_mine else self._stale).append(name)
        self.rows = self._numbered(mine)
        self.retried = {number for number, row in self.rows.items() if row.get("retried")}
        # Of fewer seeds: the assignment is tried, but not with all of them.
        self._fewer = {n: row for n, row in self.rows.items() if row["definition"] not in sweep.definitions}
        self.rows |= {number: {**row, "state": "running"} for number, row in self._fewer.items()}

    def _numbered(self, rows: list[Row]) -> dict[int, Row]:
        """Rows by trial number; a configuration's numbers shift when those before it get more trials."""
        configurations = part_of(self.sweep, Only()).configurations
        if len(configurations) == 1:
            return {int(row["trial"]): row for row in rows}
        axes = list(configurations[0].params)
        waiting: dict[tuple[Any, ...], list[Row]] = {}
        for row in sorted(rows, key=lambda row: int(row["trial"])):
            params = mapping_in(row["params"], self.store.uri, f"trial {row['trial']}")
            waiting.setdefault(tuple(params.get(axis) for axis in axes), []).append(row)
        beyond = itertools.count(sum(configuration.trials for configuration in configurations))
        numbered: dict[int, Row] = {}
        for configuration in configurations:
            for place, row in enumerate(waiting.pop(tuple(configuration.params.values()), [])):
                numbered[configuration.numbers[place] if place < configuration.trials else next(beyond)] = row
        return numbered

    def adopt(self) -> None:
        """Rewrite rows whose number has shifted or whose digest is of an older version."""
        for number, row in {**self.rows, **self._fewer}.items():
            definition = row["definition"] if number in self._fewer else self.sweep.digest
            if int(row["trial"]) != number or row["definition"] != definition:
                new = {**row, "trial": number, "definition": definition}
                write_rows(self.store, "trials", part(self.sweep.name, number), [new])
        for name in set(self._parts) - {part(self.sweep.name, number) for number in self.rows}:
            remove_part(self.store, "trials", name)

    def require_own_name(self, replace: bool) -> None:
        """Check that no finished trial of another definition under this name would be lost.

        Trials of which all runs are this sweep's, which has no search, are taken over: it has more seeds or settings.

        Raises:
            SpecError: If one would, and they are not to be replaced.
        """
        sweep = self.sweep
        learns = sweep.search is not None and sweep.search.warm_start is True
        finished = [row for row in self.others if row["state"] in ("done", "stopped")]
        if not finished or replace or learns or is_one_job(sweep):
            return
        if not sweep.is_searched:
            own = {job.id for configuration in sweep.configurations for job in sweep.fill(configuration).jobs}
            finished = [row for row in finished if not own.issuperset(row["run_ids"])]
        if not finished:
            return
        path = plan_path(sweep.name)
        plan = self.store.get_json(path) if self.store.exists(path) else {}
        lines = [
            f"{count} finished of definition {digest}"
            + (f" ({plan['file']})" if digest == plan.get("definition") and plan.get("file") else "")
            for digest, count in Counter(row["definition"] for row in finished).items()
        ]
        raise SpecError(
            [
                Fault(
                    f"{sweep.name}.name",
                    f"trials in {self.store.uri} of another definition under this name: {', '.join(lines)}",
                    f"another name for this one, definition {sweep.digest}",
                    f"there with warm_start: [{sweep.name}] to learn from them; or --replace, which drops their rows "
                    "of trials and keeps their runs",
                )
            ]
        )

    def finished(self, number: int, assignment: Assignment) -> End | None:
        """The end of a trial; None if it is still to be run.

        A trial that failed with its input is to be run, since the input is tried again.
        """
        row = self.rows.get(number, {"run_ids": None})
        run_ids = [job.id for job in assignment.jobs]
        for job in assignment.jobs:
            for needed in job.ancestors:
                self.done.look_at(needed)
        if row["run_ids"] == run_ids and self._has_ended_unfinished(row):
            return End(row["state"], failure=failure_in(row) if row["state"] == "failed" else None)
        metrics = [self.done.metrics(job) for job in assignment.jobs]
        whole = [of_seed for of_seed in metrics if of_seed is not None]
        if len(whole) < len(metrics):
            return None
        return End("done", *trial_values(self.sweep.search.metrics if self.sweep.search else (), whole))

    def is_known_as_failed(self, number: int, assignment: Assignment) -> bool:
        """Whether a search has gone on from this trial's failure, though the trial has been tried again or will be."""
        row = self.rows.get(number, {})
        retries = self.retry_failed and self.sweep.is_searched and row.get("state") == "failed"
        is_same = row.get("run_ids") == [job.id for job in assignment.jobs]
        return is_same and (number in self.retried or (retries and failure_in(row).kind != "blocked"))

    def _has_ended_unfinished(self, row: Row) -> bool:
        """Whether a trial was stopped, or failed such that it is not to be tried again."""
        if row["state"] == "failed":
            return not self.retry_failed and failure_in(row).kind != "blocked"
        return bool(row["state"] == "stopped")

    def ended(self, numbers: Collection[int]) -> dict[int, str]:
        """State by number of those of some trials that have ended and are not to be tried again."""
        rows = ((number, self.rows[number]) for number in numbers if number in self.rows)
        return {n: row["state"] for n, row in rows if row["state"] == "done" or self._has_ended_unfinished(row)}

    def params(self, number: int) -> dict[str, Any]:
        """The assignment of a trial that has begun."""
        return mapping_in(self.rows[number]["params"], self.store.uri, f"trial {number}")

    def write(
        self,
        number: int,
        assignment: Assignment | None,
        params: Mapping[str, Any],
        state: str,
        values: tuple[float, ...] | None = None,
        std: float | None = None,
        failure: Failure | None = None,
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
            **(failure.columns if failure else {}),
            "started_at": started,
            "wall_s": None if state == "running" else took,
            "retried": number in self.retried or None,
        }
        self.rows[number] = row
        write_rows(self.store, "trials", part(self.sweep.name, number), [row])

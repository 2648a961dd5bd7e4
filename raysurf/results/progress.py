"""Progress of sweeps, from the rows and the plan in their store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import mean
from typing import Any

from raysurf.errors import StoreError, UnknownNameError
from raysurf.results.api import open
from raysurf.results.failures import failures
from raysurf.results.reader import Reader
from raysurf.results.sql import quoted_list
from raysurf.results.trials import best_rows
from raysurf.store import Row
from raysurf.store.compacted import run_of
from raysurf.store.store import Store
from raysurf.store.tables import look_at

# Runs whose rows have not changed for this long have probably lost their process.
SILENT_S = 600.0


@dataclass(frozen=True)
class Running:
    """A running trial, or run by its id: its position, and the seconds since its rows last changed."""

    label: str
    place: str
    silent_s: float = 0.0


@dataclass
class SweepProgress:
    """Progress of a sweep, from the rows in its store or the events of its run.

    Args:
        sweep: Its name.
        total: Number of planned trials; None if unknown, as for a sweep that was run from a program.
        counts: Trials by state: done, running, failed, stopped.
        inputs: Inputs and baselines by state.
        total_inputs: Number of planned inputs and baselines; 0 if unknown.
        metric, best, best_of: The searched metric, its best value so far, and the configuration that has it, or the
            trial if there is only one configuration.
        per_hour: Trials per hour, at the present concurrency.
        left_s: Seconds until the last trial ends, at the mean duration of trials and the present concurrency; None
            before a trial has ended, if nothing runs, or if the plan is unknown.
        running: Running trials or runs; from rows, the last changed first.
        failures: Count and text of each failure, most frequent first.
        has_begun: Whether any worker has started.
    """

    sweep: str = ""
    total: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    inputs: Counter[str] = field(default_factory=Counter)
    total_inputs: int = 0
    metric: str = ""
    best: float | None = None
    best_of: str = ""
    per_hour: float | None = None
    left_s: float | None = None
    running: tuple[Running, ...] = ()
    failures: tuple[tuple[int, str], ...] = ()
    has_begun: bool = True

    @property
    def waiting(self) -> int:
        """Planned trials that have not begun."""
        return max(0, (self.total or 0) - self.counts.total())

    @property
    def is_over(self) -> bool:
        """Whether every planned trial has ended."""
        return self.total is not None and self.counts.total() - self.counts["running"] >= self.total


@dataclass(frozen=True)
class PlannedSweep:
    """A planned sweep.

    Args:
        name: Its name in the tables.
        trials: Number of trials.
        definition: The digest of the sweep; rows with another one are of an earlier sweep of that name.
    """

    name: str
    trials: int
    definition: str


def progress(results: Reader, sweeps: Sequence[str] = (), now: datetime | None = None) -> list[SweepProgress]:
    """Progress of some sweeps at a time; if not given, of all sweeps that have begun, and now.

    Raises:
        UnknownNameError: If there is no such sweep.
    """
    store = results.store
    read = (store.get_json(path) for path in store.list("sweeps") if path.endswith(".json"))
    plans = {plan["sweep"]: plan for plan in read}
    runs, trials = _rows(results)
    names = dict.fromkeys([*(row["sweep"] for row in (*runs, *trials)), *plans])
    for name in sweeps:
        if name not in names:
            raise UnknownNameError("sweep", name, sorted(names) or ["none yet"])
    asked = [(name, plans.get(name, {})) for name in sweeps or names]
    return _from_rows(results, asked, runs, trials, now or datetime.now(UTC))


def planned_progress(results: str, sweeps: Sequence[PlannedSweep]) -> list[SweepProgress]:
    """Progress of planned sweeps from the store at an address; without tables, all trials are waiting."""
    try:
        tables = open(results)
    except StoreError as error:
        if error.got != "no tables":
            raise
        return [SweepProgress(sweep.name, sweep.trials) for sweep in sweeps]
    plans = [(sweep.name, {"trials": sweep.trials, "definition": sweep.definition}) for sweep in sweeps]
    return _from_rows(tables, plans, *_rows(tables), datetime.now(UTC))


def _rows(results: Reader) -> tuple[list[Row], list[Row]]:
    runs = results.table("runs", ["run_id", "sweep", "role", "status", "inputs"]).to_pylist()
    return runs, results.table("trials").to_pylist()


def _from_rows(
    results: Reader, plans: Sequence[tuple[str, Mapping[str, Any]]], runs: list[Row], trials: list[Row], now: datetime
) -> list[SweepProgress]:
    by_id = {row["run_id"]: row for row in runs}
    running = _running(results, set(by_id), now)
    sweeps = []
    for name, plan in plans:
        mine = _of_definition([row for row in trials if row["sweep"] == name], plan)
        inputs = Counter(by_id[run_id]["status"] for run_id in _inputs(name, by_id, mine))
        counts = Counter(row["state"] for row in mine)
        sweep = SweepProgress(name, plan.get("trials"), counts, inputs, plan.get("inputs", 0), running=running)
        best = next(iter(best_rows(mine)), None)
        sweep.metric = mine[0]["metric"] if mine else ""
        if best is not None and best["value"] is not None:
            sweep.best, sweep.best_of = best["value"], _named(best, mine)
        ended = [row["wall_s"] for row in mine if row["state"] == "done" and row["wall_s"]]
        busy = [row for row in mine if row["state"] == "running"]
        if ended and busy:
            trial_s = mean(ended)
            sweep.per_hour = 3600 / trial_s * len(busy)
            if sweep.total is not None:
                begun = sum(max(0.0, trial_s - (now - row["started_at"]).total_seconds()) for row in busy)
                sweep.left_s = (sweep.waiting * trial_s + begun) / len(busy)
        if counts["failed"] or inputs["failed"]:
            sweep.failures = _failures(results, name)
        sweeps.append(sweep)
    return sweeps


def _inputs(sweep: str, runs: Mapping[str, Row], trials: list[Row]) -> set[str]:
    """Inputs and baselines of a sweep: those that it ran, and those of other sweeps that its trials go back to."""
    needed = {run_id for run_id, row in runs.items() if row["sweep"] == sweep and row["role"] != "trial"}
    left = [run_id for trial in trials for run_id in trial["run_ids"]]
    while left:
        inputs = set(runs.get(left.pop(), {}).get("inputs", ())) & runs.keys()
        left += inputs - needed
        needed |= inputs
    return needed


def _of_definition(trials: list[Row], plan: Mapping[str, Any]) -> list[Row]:
    """Trials of the planned definition, or of the latest one; those of earlier ones are ignored."""
    latest = max(trials, key=lambda row: row["started_at"] or datetime.min.replace(tzinfo=UTC), default=None)
    definition = plan.get("definition", latest and latest["definition"])
    return [row for row in trials if row["definition"] == definition]


def _named(trial: Row, trials: list[Row]) -> str:
    return str(trial["arm"]) if len({row["arm"] for row in trials}) > 1 else f"trial {trial['trial']}"


def _failures(results: Reader, name: str) -> tuple[tuple[int, str], ...]:
    return tuple(
        (len(group.runs), " ".join(f"{group.what.error} {group.what.message}".split())[:120])
        for group in failures(results, [name]).groups
    )


def _running(results: Reader, ended: set[str], now: datetime) -> tuple[Running, ...]:
    changed = {run_id: at for run_id, at in _changes(results.store).items() if run_id not in ended}
    if not changed:
        return ()
    query = f"select run_id, max(epoch) as epoch from epochs where run_id in {quoted_list(changed)} group by 1"
    running = [
        Running(row["run_id"], f"epoch {row['epoch']}", max(0.0, (now - changed[row["run_id"]]).total_seconds()))
        for row in results.sql(query).to_pylist()
    ]
    return tuple(sorted(running, key=lambda run: run.silent_s))


def _changes(store: Store) -> dict[str, datetime]:
    """When the rows of each training run that has not been compacted, as those that run, were written last."""
    versions = look_at(store, "epochs").versions
    return {run_of(part): datetime.fromtimestamp(version[1] / 1e9, UTC) for part, version in versions.items()}

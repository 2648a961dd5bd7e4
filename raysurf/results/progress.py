"""Progress of sweeps, from the rows and the plan in their store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import mean
from typing import Any
from urllib.parse import quote

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

# Runs whose rows have not changed for so long have probably lost their process.
SILENT_S = 600.0


@dataclass(frozen=True)
class RunningRun:
    """A run that has rows and no end yet: its last epoch, and for how long its rows have not changed."""

    run_id: str
    epoch: int
    silent_s: float


@dataclass(frozen=True)
class SweepView:
    """Where a sweep is.

    Args:
        sweep: Its name.
        total: Trials that are planned; None if the store has no plan, as of a sweep that was run from a program.
        counts: Trials by state: done, running, failed, stopped.
        inputs: Inputs and baselines by state, and ``total`` if it is known.
        metric, best, best_of: What is searched, its best value yet, and whose it is: an arm, or a trial if there is
            one arm.
        per_hour: Trials that ended within an hour of working time, at the present number at a time.
        left_s: Seconds until the last trial ends, if those to come take as long as those before and as many run at a
            time as now; None before a trial has ended, if nothing runs, or if the plan is not known.
        running: What is at work, those that have changed last first.
        failures: What failed and how often, most frequent first.
    """

    sweep: str
    total: int | None
    counts: Mapping[str, int]
    inputs: Mapping[str, int]
    metric: str = ""
    best: float | None = None
    best_of: str = ""
    per_hour: float | None = None
    left_s: float | None = None
    running: tuple[RunningRun, ...] = ()
    failures: tuple[tuple[int, str], ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether every planned trial has ended."""
        ended = sum(self.counts.get(state, 0) for state in ("done", "failed", "stopped"))
        return self.total is not None and ended >= self.total


def plan_path(sweep: str) -> str:
    """Where a sweep's plan is kept in its store."""
    return f"sweeps/{quote(sweep, safe='')}.json"


def views(results: Reader, sweeps: Sequence[str] = (), now: datetime | None = None) -> list[SweepView]:
    """Where some sweeps are at a time; all sweeps that have begun, and now, if not given."""
    now = now or datetime.now(UTC)
    trials = results.table("trials").to_pylist()
    runs = results.table("runs", ["run_id", "sweep", "role", "status"]).to_pylist()
    planned = {path: results.store.get_json(path) for path in results.store.list("sweeps") if path.endswith(".json")}
    names = {row["sweep"]: None for row in [*runs, *trials]} | {plan["sweep"]: None for plan in planned.values()}
    for name in sweeps:
        if name not in names:
            raise UnknownNameError("sweep", name, sorted(names) or ["none yet"])
    at_work = _running(results, {row["run_id"] for row in runs}, now)
    return [
        _view(
            results,
            name,
            planned.get(plan_path(name), {}),
            [row for row in trials if row["sweep"] == name],
            [row for row in runs if row["sweep"] == name and row["role"] != "trial"],
            at_work,
            now,
        )
        for name in (sweeps or names)
    ]


def _view(
    results: Reader,
    name: str,
    plan: Mapping[str, Any],
    trials: list[Row],
    inputs: list[Row],
    at_work: tuple[RunningRun, ...],
    now: datetime,
) -> SweepView:
    if trials:
        # Trials of an earlier definition are of no concern.
        latest = max(trials, key=lambda row: row["started_at"] or datetime.min.replace(tzinfo=UTC))
        definition = plan.get("definition", latest["definition"])
        trials = [row for row in trials if row["definition"] == definition]
    counts = Counter(row["state"] for row in trials)
    total, best = plan.get("trials"), next(iter(best_rows(trials)), None)
    if best is not None and best["value"] is None:
        best = None
    ended = [row for row in trials if row["state"] == "done" and row["wall_s"]]
    trial_s = mean(row["wall_s"] for row in ended) if ended else None
    busy = [row for row in trials if row["state"] == "running"]
    left_s = per_hour = None
    if trial_s is not None and busy:
        per_hour = 3600 / trial_s * len(busy)
        if total is not None:
            waiting = max(0, total - len(trials))
            begun = sum(max(0.0, trial_s - (now - row["started_at"]).total_seconds()) for row in busy)
            left_s = (waiting * trial_s + begun) / len(busy)
    states = Counter(row["status"] for row in inputs)
    return SweepView(
        name,
        total,
        counts,
        {**states, **({"total": plan["inputs"]} if plan.get("inputs") else {})},
        trials[0]["metric"] if trials else "",
        best["value"] if best else None,
        _named(best, trials) if best else "",
        per_hour,
        left_s,
        at_work,
        _failures(results, name) if counts["failed"] or states["failed"] else (),
    )


def _named(trial: Row, trials: list[Row]) -> str:
    return str(trial["arm"]) if len({row["arm"] for row in trials}) > 1 else f"trial {trial['trial']}"


def _failures(results: Reader, name: str) -> tuple[tuple[int, str], ...]:
    groups = failures(results, [name]).groups
    return tuple((len(group.runs), _one_line(f"{group.what.error} {group.what.message}")) for group in groups)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:120]


def _running(results: Reader, ended: set[str], now: datetime) -> tuple[RunningRun, ...]:
    changed = {run_id: at for run_id, at in _changes(results.store).items() if run_id not in ended}
    if not changed:
        return ()
    query = f"select run_id, max(epoch) as epoch from epochs where run_id in {quoted_list(changed)} group by 1"
    found = [
        RunningRun(row["run_id"], row["epoch"], max(0.0, (now - changed[row["run_id"]]).total_seconds()))
        for row in results.sql(query).to_pylist()
    ]
    return tuple(sorted(found, key=lambda run: run.silent_s))


def _changes(store: Store) -> dict[str, datetime]:
    """When the rows of each training run that has not been compacted, as those that run, were written last."""
    versions = look_at(store, "epochs").versions
    return {run_of(part): datetime.fromtimestamp(version[1] / 1e9, UTC) for part, version in versions.items()}


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
    """How far planned sweeps are, by the store at an address; all trials wait if it has no tables yet."""
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

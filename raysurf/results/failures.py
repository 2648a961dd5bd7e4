"""Failures of runs, grouped by kind, exception and line, from the tables alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysurf.failure import Failure
from raysurf.results.error_text import TRACEBACK, failure_in
from raysurf.results.reader import Reader
from raysurf.results.trials import require_known
from raysurf.store.schemas import FAILURE

ERROR = ["error", *(field.name for field in FAILURE)]
RUNS = ["run_id", "sweep", "trial", "role", "arm", "seed", "status", "command", "started_at", *ERROR]
TRIALS = ["sweep", "trial", "arm", "run_ids", "state", *ERROR]


@dataclass(frozen=True)
class FailedRun:
    """A failed run, or a trial that failed before it had a run.

    Args:
        run_id: Its id; None for a trial whose values make no valid job.
        sweep: The sweep.
        trial: Number of the trial; None for inputs and baselines.
        role: trial, input or baseline.
        arm: Readable name of the configuration.
        seed: Seed; None if there is no run.
        text: The traceback, or the error in one line.
        what: The failure.
        command: The command that ran it; empty if unknown.
    """

    run_id: str | None
    sweep: str
    trial: int | None
    role: str
    arm: str
    seed: int | None
    text: str
    what: Failure
    command: str = ""


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one kind, with one exception at one line; runs in order of start."""

    what: Failure
    runs: tuple[FailedRun, ...]

    @property
    def traceback(self) -> str:
        """The first full traceback; without any, the first error in one line."""
        whole = (run.text for run in self.runs if TRACEBACK in run.text)
        return next(whole, self.runs[0].text).strip("\n")

    @property
    def run_ids(self) -> list[str]:
        """Ids of the runs, each once."""
        return list(dict.fromkeys(run.run_id for run in self.runs if run.run_id is not None))

    def of(self, name: str) -> list[Any]:
        """The distinct values of a field over the runs."""
        return list(dict.fromkeys(value for run in self.runs if (value := getattr(run, name)) is not None))


@dataclass(frozen=True)
class Failures:
    """The failures of some sweeps, most frequent first, blocked runs last.

    ``num_runs`` counts the runs considered, failed or not.
    """

    groups: tuple[FailureGroup, ...]
    num_runs: int

    @property
    def num_failed(self) -> int:
        """Runs that failed."""
        return sum(len(group.runs) for group in self.groups)


def failures(results: Reader, sweeps: Sequence[str] = ()) -> Failures:
    """Find failed runs that have not succeeded since.

    Trials of earlier definitions of a sweep are ignored.

    Args:
        results: The store.
        sweeps: Their names; all if not given.

    Raises:
        UnknownNameError: If there is no such sweep.
    """
    runs = results.table("runs", RUNS).to_pylist()
    trials = results.table("trials", TRIALS).to_pylist()
    require_known(sweeps, (*runs, *trials))
    mine = [row for row in trials if not sweeps or row["sweep"] in sweeps]
    trial_of = {run_id: row for row in reversed(mine) for run_id in row["run_ids"]}
    runs = [
        row
        for row in runs
        if row["run_id"] in trial_of or (row["role"] != "trial" and (not sweeps or row["sweep"] in sweeps))
    ]
    runs.sort(key=lambda row: (row["started_at"] is None, row["started_at"], row["trial"] or 0, row["seed"]))
    own_inputs = {
        (row["sweep"], row["trial"]): row["run_id"]
        for row in runs
        if row["status"] == "failed" and row["role"] == "input" and row["trial"] is not None
    }
    failed = [_failed_run(row, trial_of.get(row["run_id"]), own_inputs) for row in runs if row["status"] == "failed"]
    known = {run.run_id for run in failed}
    without = [row for row in mine if row["state"] == "failed" and known.isdisjoint(row["run_ids"])]
    failed += [
        _failed_run({**row, "run_id": next(iter(row["run_ids"]), None), "role": "trial", "seed": None, "command": ""})
        for row in sorted(without, key=lambda row: (row["sweep"], row["trial"]))
    ]
    runless = sum(not row["run_ids"] for row in without)
    return Failures(tuple(_grouped(failed)), len(runs) + runless)


def _failed_run(
    row: Mapping[str, Any],
    trial: Mapping[str, Any] | None = None,
    own_inputs: Mapping[tuple[str, int], str] | None = None,
) -> FailedRun:
    text, what = row["error"] or "", failure_in(row)
    if trial is not None:
        row = {**row, **{name: trial[name] for name in ("sweep", "trial", "arm")}}
        failed_input = (own_inputs or {}).get((row["sweep"], row["trial"]))
        if TRACEBACK not in text and what.kind != "blocked" and failed_input is not None:
            what = Failure.blocked(failed_input, what)
            text = str(what)
    given = {"text": text, "what": what}
    return FailedRun(**{field.name: {**row, **given}[field.name] for field in dataclasses.fields(FailedRun)})


def _grouped(failed: Sequence[FailedRun]) -> list[FailureGroup]:
    groups: dict[tuple[str, ...], list[FailedRun]] = {}
    first: dict[tuple[str, ...], Failure] = {}
    for run in failed:
        what = run.what
        # What has neither a class nor a line is told apart by what it says: of blocked runs, by the input.
        said = what.message.partition(" failed: ")[0] if what.kind != "lost" and not (what.error or what.place) else ""
        key = (what.kind, what.error, what.place, said)
        groups.setdefault(key, []).append(run)
        first.setdefault(key, what)
    failure_groups = [FailureGroup(first[key], tuple(runs)) for key, runs in groups.items()]
    return sorted(failure_groups, key=lambda group: (group.what.kind == "blocked", -len(group.runs)))

"""What the tables know of one trial, or of one run: its rows and those of its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raysurf.errors import UnknownNameError
from raysurf.results.one_run import one_run

if TYPE_CHECKING:
    from raysurf.results.query import Results

Row = dict[str, Any]


@dataclass(frozen=True)
class RunLog:
    """One run.

    Args:
        run_id: Its id.
        row: Its row of ``runs``; None while it runs for the first time.
        epochs: Its rows of ``epochs``, in order.
    """

    run_id: str
    row: Row | None
    epochs: tuple[Row, ...]


@dataclass(frozen=True)
class TrialLog:
    """A trial.

    Args:
        trial: Its row of ``trials``; None if it is one run that was asked for.
        runs: The inputs that it ran for itself, then its runs, one a seed.
    """

    trial: Row | None
    runs: tuple[RunLog, ...]


def trial_log(results: Results, sweep: str, number: str) -> TrialLog:
    """What is known of a trial.

    Args:
        results: The store.
        sweep: The name of a sweep.
        number: The trial's number in it.

    Raises:
        UnknownNameError: If there is no such sweep or trial; what there is is named.
    """
    names = sorted(set(results.table("trials", ["sweep"])["sweep"].to_pylist()))
    if sweep not in names:
        raise UnknownNameError("sweep", sweep, names or ("none yet",))
    rows = results.table("trials", where=f"sweep = '{_quoted(sweep)}'").sort_by("trial").to_pylist()
    found = next((row for row in rows if str(row["trial"]) == number), None)
    if found is None:
        raise UnknownNameError(f"trial of {sweep}", number, _spans([row["trial"] for row in rows]))
    own = f"role = 'input' and sweep = '{_quoted(sweep)}' and trial = {found['trial']}"
    inputs = results.table("runs", where=own).sort_by("started_at").to_pylist()
    run_ids = [row["run_id"] for row in inputs if row["run_id"] not in found["run_ids"]]
    return TrialLog(found, tuple(_run(results, run_id) for run_id in (*run_ids, *found["run_ids"])))


def run_log(results: Results, text: str) -> TrialLog:
    """What is known of a run.

    Args:
        results: The store.
        text: Its id, or a beginning of it that no other run's id has; the kind may be left out.

    Raises:
        UnknownNameError: If no run's id begins like that.
        StoreError: If those of several do; they are named.
    """
    return TrialLog(None, (_run(results, str(one_run(results, text)["run_id"])),))


def _run(results: Results, run_id: str) -> RunLog:
    where = f"run_id = '{_quoted(run_id)}'"
    rows = results.table("runs", where=where).to_pylist()
    epochs = results.table("epochs", where=where).sort_by([("epoch", "ascending"), ("weights", "ascending")])
    return RunLog(run_id, rows[0] if rows else None, tuple(epochs.to_pylist()))


def _spans(numbers: Sequence[int]) -> list[str]:
    """Rising numbers as few words: 0 to 5, 8."""
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return [str(first) if first == last else f"{first} to {last}" for first, last in spans]


def _quoted(text: str) -> str:
    return text.replace("'", "''")

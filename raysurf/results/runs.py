"""Runs by id: their jobs, logs and differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysurf.errors import StoreError, UnknownNameError
from raysurf.results.reader import Reader
from raysurf.results.sql import quoted
from raysurf.store import Row
from raysurf.store.parts import mapping_in

SHOWN = 8


def one_run(results: Reader, text: str) -> dict[str, Any]:
    """The ``runs`` row of a run.

    Args:
        results: The store.
        text: The run's id or a unique prefix of it; the kind may be left out.

    Raises:
        UnknownNameError: If no run's id begins like that.
        StoreError: If several do; they are listed.
    """
    known = sorted(results.table("runs", ["run_id"])["run_id"].to_pylist())
    matches = [text] if text in known else [run_id for run_id in known if text and _begins(run_id, text)]
    if not matches:
        raise UnknownNameError("run", text, known[:SHOWN] + ["…"] * (len(known) > SHOWN) or ["none yet"])
    if len(matches) > 1:
        rows = results.table("runs", ["run_id", "sweep", "arm", "seed"]).to_pylist()
        called = {row["run_id"]: f"{row['run_id']} ({row['sweep']}: {row['arm']}, seed {row['seed']})" for row in rows}
        listed = [called[run_id] for run_id in matches[:SHOWN]] + [f"{len(matches) - SHOWN} more"] * (
            len(matches) > SHOWN
        )
        raise StoreError(
            results.store.uri, f"{text!r}, which {len(matches)} runs begin with", f"one of {'; '.join(listed)}"
        )
    (row,) = results.table("runs", where=f"run_id = {quoted(matches[0])}").to_pylist()
    return dict(row)


def stored_spec(results: Reader, run: str) -> dict[str, Any]:
    """The job of a run as a tree; see ``Results.spec``."""
    row = one_run(results, run)
    return mapping_in(row["spec"], results.store.uri, row["run_id"])


def _begins(run_id: str, text: str) -> bool:
    return run_id.startswith(text) or run_id.rpartition("-")[2].startswith(text)


@dataclass(frozen=True)
class RunLog:
    """A run with its epochs.

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
    """A trial with its runs.

    Args:
        trial: Its row of ``trials``; None for a run by itself.
        runs: The inputs that it ran for itself, then its runs, one a seed.
    """

    trial: Row | None
    runs: tuple[RunLog, ...]


def trial_log(results: Reader, sweep: str, number: str) -> TrialLog:
    """A trial of a sweep with its runs; an error for an unknown sweep or number lists the known ones."""
    names = sorted(set(results.table("trials", ["sweep"])["sweep"].to_pylist()))
    if sweep not in names:
        raise UnknownNameError("sweep", sweep, names or ("none yet",))
    rows = results.table("trials", where=f"sweep = {quoted(sweep)}").sort_by("trial").to_pylist()
    trial = next((row for row in rows if str(row["trial"]) == number), None)
    if trial is None:
        raise UnknownNameError(f"trial of {sweep}", number, _spans([row["trial"] for row in rows]))
    own = f"role = 'input' and sweep = {quoted(sweep)} and trial = {trial['trial']}"
    inputs = results.table("runs", where=own).sort_by("started_at").to_pylist()
    run_ids = [row["run_id"] for row in inputs if row["run_id"] not in trial["run_ids"]]
    return TrialLog(trial, tuple(_run(results, run_id) for run_id in (*run_ids, *trial["run_ids"])))


def run_log(results: Reader, text: str) -> TrialLog:
    """A run as a trial without a row; ``text`` as in ``one_run``."""
    return TrialLog(None, (_run(results, str(one_run(results, text)["run_id"])),))


def _run(results: Reader, run_id: str) -> RunLog:
    where = f"run_id = {quoted(run_id)}"
    rows = results.table("runs", where=where).to_pylist()
    epochs = results.table("epochs", where=where).sort_by([("epoch", "ascending"), ("weights", "ascending")])
    return RunLog(run_id, rows[0] if rows else None, tuple(epochs.to_pylist()))


def _spans(numbers: Sequence[int]) -> list[str]:
    """Rising numbers as ranges: 0 to 5, 8."""
    spans: list[tuple[int, int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return [str(first) if first == last else f"{first} to {last}" for first, last in spans]


# Columns of ``runs`` on the provenance and the course of a run.
NETWORK = ("model_source", "model_shapes", "weights_file")
PROVENANCE = ("git_commit", "git_dirty", "device", "workers", "data_fingerprint", *NETWORK, "command")
RUN = ("sweep", "trial", "role", "status", "budget", "skipped")


@dataclass(frozen=True)
class Differing:
    """A value that differs between two runs, None where absent; ``name`` is a dotted path or a column."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class RunDifference:
    """The differences between two runs.

    Args:
        a, b: Their ids.
        job: Fields of their jobs by dotted path; defaults that are not stated count as absent.
        versions: Packages, and Python.
        provenance: Commit, whether the working tree was dirty, device, workers, fingerprints, command.
        run: Sweep, trial, role, status, budget, unreadable files.
        metrics: All metrics of either, those that agree too.
    """

    a: str
    b: str
    job: tuple[Differing, ...]
    versions: tuple[Differing, ...]
    provenance: tuple[Differing, ...]
    run: tuple[Differing, ...]
    metrics: tuple[Differing, ...]


def run_difference(results: Reader, a: str, b: str) -> RunDifference:
    """Compare two runs, given as in ``one_run``."""
    first, second = one_run(results, a), one_run(results, b)

    def read(name: str) -> tuple[Any, Any]:
        ours, theirs = (mapping_in(row[name], results.store.uri, row["run_id"]) for row in (first, second))
        return ours, theirs

    def columns(names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        return {name: first[name] for name in names}, {name: second[name] for name in names}

    ours, theirs = read("spec")
    return RunDifference(
        first["run_id"],
        second["run_id"],
        _differing(dict(leaves(ours)), dict(leaves(theirs))),
        _differing(*read("versions")),
        _differing(*columns(PROVENANCE)),
        _differing(*columns(RUN)),
        _differing(*read("metrics"), also_equal=True),
    )


def _differing(a: Mapping[str, Any], b: Mapping[str, Any], also_equal: bool = False) -> tuple[Differing, ...]:
    names = dict.fromkeys((*a, *b))
    pairs = (Differing(name, a.get(name), b.get(name)) for name in names)
    # A boolean equals a number to Python, and is another setting.
    return tuple(pair for pair in pairs if also_equal or (type(pair.a), pair.a) != (type(pair.b), pair.b))


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings and lists by dotted path: scalars and empty containers."""
    if isinstance(tree, Mapping | list) and tree:
        items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        for key, inner in items:
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree

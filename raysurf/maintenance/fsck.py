"""fsck of a store: what is broken or left over, what that means, and what of it is garbage for certain."""

from __future__ import annotations

import hashlib
import io
import json
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysurf.errors import SpecError, StoreError, StoreWarning
from raysurf.jobs.fingerprints import Unchanged, differences, kept, read, sentences, shared
from raysurf.jobs.outcome import outcome_path
from raysurf.jobs.parse import parse_job
from raysurf.maintenance.inventory import OF_SWEEPS, Inventory, inventory
from raysurf.store.compacted import FOLDER as COMPACTED
from raysurf.store.compacted import SUFFIX, require_as_written
from raysurf.store.compaction import GRACE_S
from raysurf.store.filesystem import STALE_S
from raysurf.store.lease import EXPIRES_S, Holder
from raysurf.store.lease import FOLDER as LEASES
from raysurf.store.parts import table_in
from raysurf.store.schemas import SCHEMAS, schema_of
from raysurf.store.store import Store
from raysurf.store.truncated import is_truncated

AGAIN = "the run is done again when its sweep is run"
LOCK = ".journal.lock"
BROKEN_OFF = "left by what was broken off, which its sweep does again, or by what was removed"


@dataclass(frozen=True)
class Finding:
    """Something that should not be there, or should be otherwise.

    Args:
        path: The file, or what it is of.
        what: What was found.
        meaning: What that means, and what to do.
        is_garbage: Whether nothing can ever need the file, so that it may be removed.
    """

    path: str
    what: str
    meaning: str
    is_garbage: bool = False


@dataclass(frozen=True)
class Findings:
    """The outcome of an fsck.

    Args:
        findings: What was found, by path.
        files: How many files were looked at.
        running: Who works on the store; rows and files of runs without a row may be theirs, and are not told of.
    """

    findings: tuple[Finding, ...]
    files: int
    running: tuple[str, ...]


def fsck(store: Store) -> Findings:
    """Look everything in a store over, reading all tables and all training states; changes nothing."""
    clock_ns = _now_ns(store)
    dead, alive = _leases(store, clock_ns)
    with warnings.catch_warnings():
        # What is left out is looked at below.
        warnings.simplefilter("ignore", StoreWarning)
        contents = inventory(store, SCHEMAS)
    empty: set[str] = set()
    findings = [*dead, *_left_over(store, contents, clock_ns), *_own_files(store, contents, empty)]
    findings += [
        *_compacted(store, contents),
        *_states(store, contents, bool(alive)),
        *_outcomes(store, contents, empty),
    ]
    if not alive:
        findings += [*_locks(store), *_orphans(contents, empty)]
    return Findings(tuple(sorted(findings, key=lambda finding: finding.path)), len(contents.files), tuple(alive))


def remove_garbage(store: Store, outcome: Findings) -> int:
    """Remove what is garbage for certain, and nothing else; how many files that were."""
    garbage = [finding.path for finding in outcome.findings if finding.is_garbage]
    for path in garbage:
        if LOCK in path:
            # A link, which leads to nowhere if the store was moved.
            Path(store.root, path).unlink(missing_ok=True)
        else:
            store.delete(path)
    return len(garbage)


def _locks(store: Store) -> Iterator[Finding]:
    """Stale locks of Optuna's journals."""
    for path in Path(store.root).glob(f"studies/*{LOCK}*") if store.is_local else ():
        what, meaning = "the lock of a study that a killed process left", "the next run of its sweep removes it"
        yield Finding(path.relative_to(store.root).as_posix(), what, meaning, is_garbage=True)


def _leases(store: Store, clock_ns: int) -> tuple[list[Finding], list[str]]:
    """Leases of ended processes, and who holds the others."""
    dead, alive = [], []
    for name, (_, time_ns, _) in store.versions(LEASES).items():
        path = f"{LEASES}/{name}"
        if (data := store.bytes_at(path)) is None:
            continue
        holder = Holder.read(data)
        age_s = (clock_ns - time_ns) / 1e9
        # Clocks are one for all files of a store, yet let no doubt remain.
        if (holder is not None and holder.is_gone) or age_s > 10 * EXPIRES_S:
            meaning = "it holds nothing up for longer than half a minute"
            dead.append(Finding(path, "a lease of a process that has ended", meaning, is_garbage=True))
        else:
            alive.append(str(holder or path))
    return dead, alive


def _now_ns(store: Store) -> int:
    """The store's clock; this machine's if the store cannot be written."""
    try:
        return store.now_ns()
    except StoreError:
        return time.time_ns()


def _left_over(store: Store, contents: Inventory, clock_ns: int) -> Iterator[Finding]:
    """What killed writers and compactions have left."""
    for name, (_, time_ns, _) in store.versions("_tmp").items():
        if clock_ns - time_ns > STALE_S * 1e9:
            yield Finding(f"_tmp/{name}", "a file whose writer was killed", "it was never part of anything", True)
    for table in contents.tables:
        there = store.versions(f"{COMPACTED}/{table}")
        for name, (_, time_ns, _) in there.items():
            path, is_old = f"{COMPACTED}/{table}/{name}", clock_ns - time_ns > GRACE_S * 1e9
            if name.endswith(SUFFIX) and f"{name.removesuffix(SUFFIX)}.json" not in there and is_old:
                yield Finding(path, "compacted rows whose compaction was killed", "nobody reads them", True)
            elif name.endswith(".aside") and is_old:
                yield Finding(path, "a file that a killed compaction moved aside", "raysurf compact puts it right")


def _own_files(store: Store, contents: Inventory, empty: set[str]) -> Iterator[Finding]:
    """What is wrong with parts' own files; those without rows, which stand for removed parts, are put down."""
    for table, files in contents.tables.items():
        for part in files.own:
            path, run = f"tables/{table}/{part}{SUFFIX}", part.partition(".")[0]
            if (data := store.bytes_at(path)) is None:
                continue
            if is_truncated(io.BytesIO(data), SUFFIX):
                yield Finding(path, "a truncated file", f"it counts as not written, and {AGAIN}", True)
                continue
            try:
                rows = table_in(data, schema_of(table), store.uri, path)
            except StoreError as error:
                what = error.got.removeprefix(f"{path}, which ").removeprefix(f"{path} ")
                other = "" if table in OF_SWEEPS else f" and {outcome_path(run)}"
                yield Finding(path, what, f"readers leave it out; to have it written again remove it{other}")
                continue
            if not rows.num_rows:
                empty.add(path)
            wrong = set(rows["run_id"].unique().to_pylist()) - {run} if table not in OF_SWEEPS else set()
            if wrong:
                what = f"rows of {', '.join(sorted(map(str, wrong))[:3])} under another's name"
                yield Finding(path, what, "who reads that run alone does not find them")


def _compacted(store: Store, contents: Inventory) -> Iterator[Finding]:
    """What is wrong with compacted files and their lists."""
    for table, files in contents.tables.items():
        for name in store.versions(f"{COMPACTED}/{table}"):
            if name.endswith(".json") and name.removesuffix(".json") not in {file.id for file in files.compacted}:
                meaning = f"readers leave out what was compacted there; {AGAIN}"
                yield Finding(f"{COMPACTED}/{table}/{name}", "a list that cannot be read", meaning)
        for file, parts in files.used.items():
            try:
                require_as_written(store, file)
                continue
            except FileNotFoundError:
                what = "rows that are not there, though their list is"
            except StoreError as error:
                what = error.got.removeprefix(f"{file.path}, which ")
            lost = len([part for part in parts if part not in files.versions])
            meaning = f"{lost} parts are in no other file; remove it and {file.list_path}, and {AGAIN}"
            yield Finding(file.path, what, meaning)


def _states(store: Store, contents: Inventory, is_busy: bool) -> Iterator[Finding]:
    """Training states that are of no use."""
    states = {file.path: file for file in contents.files if file.kind == "checkpoints"}
    done = {file.run for file in contents.files if file.path == outcome_path(file.run or "")}
    for path, file in states.items():
        if file.run in done:
            yield Finding(path, "the state of a run that is done", "nothing goes on from it", not is_busy)
        elif path.endswith(".safetensors"):
            note = f"{path.removesuffix('.safetensors')}.json"
            if note not in states:
                meaning = "it was killed before it counted; nothing goes on from it"
                if not is_busy:
                    yield Finding(path, "a training state without its note", meaning, True)
            elif why := _why_unusable(store, path, note):
                yield Finding(path, why, "training goes on from an earlier state, or begins again", not is_busy)
                yield Finding(note, "the note of that training state", "nothing goes on from it", not is_busy)
        elif path.endswith(".json") and f"{path.removesuffix('.json')}.safetensors" not in states and not is_busy:
            yield Finding(path, "the note of a training state that is not there", "nothing goes on from it", True)


def _why_unusable(store: Store, path: str, note: str) -> str | None:
    said, data = store.bytes_at(note), store.bytes_at(path)
    if said is None or data is None:
        return None
    try:
        wanted = json.loads(said)["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "a training state whose note cannot be read"
    return None if hashlib.sha256(data).hexdigest() == wanted else "a training state that is not what was written"


def _outcomes(store: Store, contents: Inventory, empty: Collection[str]) -> Iterator[Finding]:
    """Runs that are done of which something is missing."""
    paths, unchanged = {file.path for file in contents.files}, Unchanged(store)
    there = {f"tables/{table}/{part}{SUFFIX}" for table, files in contents.tables.items() for part in files.parts}
    for path in sorted(path for path in paths if path.startswith("jobs/") and path.endswith("/outcome.json")):
        run = path.split("/")[1]
        data = store.bytes_at(path) or b""
        if is_truncated(io.BytesIO(data), ".json"):
            yield Finding(path, "a truncated outcome", AGAIN, is_garbage=True)
            continue
        try:
            outcome = json.loads(data)
            files, metrics = outcome.get("files") or [], outcome["figures"]
            broken = [file for file in files if file not in there and not (file in paths and store.is_whole(file))]
            assert isinstance(metrics, dict)
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError):
            yield Finding(path, "an outcome that raysurf has not written", f"remove it, and {AGAIN}")
            continue
        if broken:
            yield Finding(path, f"a run that is done, without all of {', '.join(broken[:3])}", AGAIN)
        elif run not in _told_of(contents, empty):
            yield Finding(path, "a run that is done, without a row in runs", f"remove it, and {AGAIN}")
        else:
            yield from _changed(store, path, outcome, unchanged)


def _changed(store: Store, path: str, outcome: Mapping[str, Any], unchanged: Unchanged) -> Iterator[Finding]:
    """Compare a run's fingerprints with its inputs' and with the present code and data."""
    own, accepted = read(outcome)
    try:
        job = parse_job(outcome["job"], look_up=False) if own else None
    except (SpecError, KeyError, TypeError):
        return
    if job is None:
        return
    for needed in job.ancestors:
        for what, then, now in sentences(differences(shared(job, needed, kept(store, needed.id)[0]), own)):
            mixed = f"a run whose input {needed.id} differs in {what}: {then} there, {now} here"
            yield Finding(path, mixed, "its metrics are of both; to have them of one remove both, and run them again")
    for what, then, now in sentences(unchanged.changes(job, own, accepted)):
        meaning = "it is used again by --accept-changed alone"
        yield Finding(path, f"a run that differs from what there is now in {what}: {then} then, {now} now", meaning)


def _told_of(contents: Inventory, empty: Collection[str]) -> set[str]:
    """Runs of which there is a row in ``runs``, or a file for it that cannot be read, of which is told elsewhere."""
    parts = {part for part in contents.tables["runs"].parts if f"tables/runs/{part}{SUFFIX}" not in empty}
    return {*contents.runs, *(part.partition(".")[0] for part in parts)}


def _orphans(contents: Inventory, empty: Collection[str]) -> Iterator[Finding]:
    """What there is of runs without a row in ``runs``, while nobody works on the store; each run is told of once."""
    known = _told_of(contents, empty) | {run for runs in contents.trials.values() for run in runs}
    trajectories = {facts.trajectory for facts in contents.runs.values()}
    kinds: dict[str, set[str]] = {}
    for file in contents.files:
        if file.run and file.run not in known and file.kind != "tables" and file.path != outcome_path(file.run):
            kinds.setdefault(file.run, set()).add(file.kind)
        elif file.trajectory and file.trajectory not in trajectories:
            kinds.setdefault(f"trajectories/{file.trajectory}", set()).add(file.kind)
    for table, files in contents.tables.items():
        for part in files.parts:
            run = part.partition(".")[0]
            is_of_run = table not in OF_SWEEPS and f"tables/{table}/{part}{SUFFIX}" not in empty
            if is_of_run and run not in known:
                kinds.setdefault(run, set()).add("rows")
    for name, held in kinds.items():
        if held == {"checkpoints"}:
            yield Finding(name, "states of a run that was broken off", "it goes on from there when it is run again")
        else:
            yield Finding(name, f"{', '.join(sorted(held))} of a run without a row in runs", BROKEN_OFF)
    for sweep, runs in contents.trials.items():
        # A trial's runs have rows as soon as one of them has ended.
        if not any(run in contents.runs for run in runs) and runs:
            yield Finding(f"trials of {sweep}", "none of their runs has a row in runs", BROKEN_OFF)

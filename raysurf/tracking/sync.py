"""Sending runs that were written offline to W&B, later: each once, and trials into a sweep of W&B's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysurf.errors import TrackingError, UnknownNameError
from raysurf.results.reader import Reader
from raysurf.results.sql import quoted
from raysurf.store.parts import values_in
from raysurf.store.store import Store
from raysurf.tracking.login import server_address, why_not_online
from raysurf.tracking.native_sweep import make_native_sweep, native_config, parameters_seen
from raysurf.tracking.run_contents import MARK, home_of

# So many folders stand on one command line.
AT_ONCE = 100


@dataclass(frozen=True)
class OfflineRun:
    """A run that was written offline."""

    folder: Path
    run_id: str
    sweep: str
    native: dict[str, Any] | None = None

    @property
    def is_sent(self) -> bool:
        """Whether W&B has it; its client leaves a mark."""
        return any(self.folder.glob("*.wandb.synced"))

    @property
    def wandb_id(self) -> str:
        """Its id in W&B, with which the folder's name ends: ``offline-run-20260101_120000-<id>``."""
        return self.folder.name.split("-", 3)[3]


@dataclass
class Sent:
    """What was done: ids in the tables of runs sent now and before, folders that are incomplete, sweeps that were made.

    A folder without raysurf's own mark belongs to a process that was killed or still runs.
    """

    now: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    sweeps: list[str] = field(default_factory=list)


def offline_runs(store: Store) -> tuple[list[OfflineRun], list[str]]:
    """Whole runs of a store that were written offline, and the names of folders that are incomplete."""
    whole, incomplete = [], []
    for folder in sorted((home_of(store) / "wandb").glob("offline-run-*")):
        mark = folder / MARK
        if mark.exists():
            said = json.loads(mark.read_text())
            whole.append(OfflineRun(folder, said["run_id"], said["sweep"], said.get("native")))
        else:
            incomplete.append(folder.name)
    return whole, incomplete


def send(results: Reader, sweep: str | None = None, project: str = "raysurf") -> Sent:
    """Send the runs of a store, or of one of its sweeps, that W&B does not have yet. Doing it again sends nothing.

    Raises:
        UnknownNameError: If there is no offline run of such a sweep.
        TrackingError: If W&B refuses, is away, or has not taken all of it; what it took is marked.
    """
    whole, incomplete = offline_runs(results.store)
    if sweep is not None:
        known = sorted({run.sweep for run in whole})
        whole = [run for run in whole if run.sweep == sweep]
        if not whole:
            raise UnknownNameError("sweep with offline runs", sweep, known or ["(none)"])
    left = [run for run in whole if not run.is_sent]
    done = Sent(before=[run.run_id for run in whole if run.is_sent], incomplete=incomplete)
    if not left:
        return done
    if why := why_not_online():
        raise TrackingError(why, "a W&B server that lets you in; the runs stay where they are")
    said = ""
    for i in range(0, len(left), AT_ONCE):
        said += _sync([run.folder for run in left[i : i + AT_ONCE]], project)
    done.now = [run.run_id for run in left if run.is_sent]
    if len(done.now) < len(left):
        tail = " ".join(said.split())[-300:]
        got = f"{len(done.now)} of {len(left)} runs taken ({tail})"
        raise TrackingError(got, "all of them; raysurf sync again sends the rest")
    for name, native in sorted({run.sweep: run.native for run in left}.items()):
        sent = {run.run_id: run.wandb_id for run in left if run.is_sent and run.sweep == name}
        if _join(results, name, native, sent, project):
            done.sweeps.append(name)
    return done


def _sync(folders: list[Path], project: str) -> str:
    """Let W&B's client send folders; returns what it said."""
    command = [sys.executable, "-m", "wandb", "sync", "--project", project, *(str(path.absolute()) for path in folders)]
    # The client sends nothing at all where offline is wished for.
    environment = {k: v for k, v in os.environ.items() if k != "WANDB_MODE" and not k.startswith("WANDB_SERVICE")}
    # It makes a folder of logs where it runs.
    with tempfile.TemporaryDirectory() as aside:
        done = subprocess.run(command, env=environment, cwd=aside, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _join(results: Reader, sweep: str, native: dict[str, Any] | None, ids: dict[str, str], project: str) -> bool:
    """Make W&B's own sweep of the trials among some runs; a sweep that it has already is left as it is."""
    trials: list[dict[str, Any]] = results.table("trials", where=f"sweep = {quoted(sweep)}").to_pylist()
    mine = {run_id for row in trials for run_id in row["run_ids"]}.intersection(ids)
    if not mine:
        return False
    if native is None:
        # A store that does not know the holes knows the values that were tried.
        params = [values_in(row["params"], results.store.uri, f"trial {row['trial']}") for row in trials]
        metric, mode = trials[0]["metric"], trials[0]["mode"]
        if ", " in metric:
            metric = ""
        native = native_config(sweep, parameters_seen(params), metric, mode)
    if native is None:
        return False
    return make_native_sweep(home_of(results.store), project, native, [ids[run_id] for run_id in sorted(mine)])[1]


def sent_lines(done: Sent, project: str) -> list[str]:
    """What was done, as it is printed."""
    lines = [f"sent      {len(done.now)} runs to {server_address()}, project {project}"] if done.now else []
    lines += [f"sweep     {name} is a sweep of W&B's own now" for name in done.sweeps]
    if done.before:
        lines.append(f"before    {len(done.before)} runs had been sent already")
    if done.incomplete:
        lines.append(
            f"left      {len(done.incomplete)} incomplete, of a process that was killed or still runs; "
            "raysurf run FILE writes them anew"
        )
    return lines or ["nothing to send"]

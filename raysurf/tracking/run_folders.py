"""Where W&B keeps its runs on this machine, what they are called there, and which are whole."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysurf.results.address import results_option
from raysurf.results.store import Store

MARK = "raysurf-complete.json"


def home_of(store: Store) -> Path:
    """The folder whose ``wandb/`` subfolder takes the runs: the store's own if it is a local one, else the current."""
    return Path(store.root if store.is_local else ".")


def wandb_id(store: Store, run_id: str, sweep: str = "") -> str:
    """The id that a run has in W&B: the same job in two stores is two runs there.

    Args:
        store: The store.
        run_id: The run in the tables.
        sweep: A sweep that uses the run again; a run of W&B's is in one group alone, so this is another one.
    """
    of = f"{store.address}\n{sweep}" if sweep else store.address
    return f"{run_id}-{hashlib.sha256(of.encode()).hexdigest()[:6]}"


def folders_of(directory: Path, wandb_id: str) -> list[Path]:
    """The folders that W&B has made for a run of its own."""
    return sorted((directory / "wandb").glob(f"*run-*-{wandb_id}"))


def id_in(directory: Path, store: Store, run_id: str, sweep: str) -> str:
    """W&B id of a run within a sweep; a run that another sweep has logged gets an id of its own."""
    first = wandb_id(store, run_id)
    others = _sweeps(directory, first) - {sweep}
    return wandb_id(store, run_id, sweep) if others else first


def is_logged(directory: Path, store: Store, run_id: str, sweep: str) -> bool:
    """Whether a run was logged completely in this sweep, by any process."""
    return any(sweep in _sweeps(directory, each) for each in (wandb_id(store, run_id), wandb_id(store, run_id, sweep)))


def _sweeps(directory: Path, wandb_id: str) -> set[str]:
    """Sweep in which a W&B run was logged completely, or None."""
    marks = [folder / MARK for folder in folders_of(directory, wandb_id)]
    return {str(json.loads(mark.read_text()).get("sweep", "")) for mark in marks if mark.exists()}


def mark_logged(folder: Path, run_id: str, sweep: str, native: Mapping[str, Any] | None) -> None:
    """Mark a run as logged completely, and keep the config of its W&B sweep for ``sync``."""
    (folder / MARK).write_text(json.dumps({"run_id": run_id, "sweep": sweep, "native": native}))


def offline_notice(directory: Path) -> str:
    """One line on the offline runs under a folder: how to look at them, and how to upload them."""
    folder = directory / "wandb"
    if folder.is_absolute() and folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    at = results_option("results" if str(directory) == "results" else str(folder.parent))
    return (
        f"{folder} (offline; view: wandb leet {shlex.quote(str(folder))}; upload: wandb login, then raysurf sync{at})"
    )

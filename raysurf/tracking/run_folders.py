"""Where W&B keeps its runs on this machine, what they are called there, and which are whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysurf.results.store import Store

MARK = "raysurf-complete.json"


def home_of(store: Store) -> Path:
    """The folder whose ``wandb/`` subfolder takes the runs: the store's own if it is a local one, else the current."""
    return Path(store.root if store.is_local else ".")


def wandb_id(store: Store, run_id: str) -> str:
    """The id that a run has in W&B: the same job in two stores is two runs there."""
    return f"{run_id}-{hashlib.sha256(store.address.encode()).hexdigest()[:6]}"


def folders_of(directory: Path, store: Store, run_id: str) -> list[Path]:
    """The folders that W&B has made for a run."""
    return sorted((directory / "wandb").glob(f"*run-*-{wandb_id(store, run_id)}"))


def is_logged(directory: Path, store: Store, run_id: str) -> bool:
    """Whether a run was logged to its end, by this process or an earlier one."""
    return any((folder / MARK).exists() for folder in folders_of(directory, store, run_id))


def mark_logged(folder: Path, run_id: str, sweep: str, native: Mapping[str, Any] | None) -> None:
    """Say that a run was logged to its end; with what W&B is told of its sweep when the run is sent."""
    (folder / MARK).write_text(json.dumps({"run_id": run_id, "sweep": sweep, "native": native}))


def offline_notice(directory: Path) -> str:
    """One line on the offline runs under a folder: how to look at them, and how to upload them."""
    folder = directory / "wandb"
    if folder.is_absolute() and folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    at = "" if str(directory) == "results" or folder.parent == Path("results") else f" --results {folder.parent}"
    return f"{folder} (offline; view: wandb leet {folder}; upload: wandb login, then raysurf sync{at})"

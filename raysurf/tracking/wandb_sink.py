"""One W&B sink a sweep: it follows the result rows and turns them into W&B runs, and nothing waits for it."""

from __future__ import annotations

import hashlib
import json
import netrc
import os
import queue
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from raysurf.results.store import Store

POINTS = 500
MARK = "raysurf-complete.json"
Scalar = bool | int | float | str | None


def is_logged_in() -> bool:
    """Whether W&B has a key for its server: in the environment, or in the user's netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import wandb

    host = urlparse(str(wandb.Settings().base_url)).hostname or ""
    places = [os.environ.get("NETRC"), str(Path.home() / ".netrc"), str(Path.home() / "_netrc")]
    for place in places:
        try:
            if place and netrc.netrc(place).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def resolve_mode(mode: str) -> str:
    """What a wish comes to: online, offline or off. ``auto`` is online if somebody is logged in, else offline."""
    if mode != "auto":
        return mode
    wish = os.environ.get("WANDB_MODE", "").lower()
    if wish in ("offline", "dryrun"):
        return "offline"
    if wish == "disabled" or os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1"):
        return "off"
    return "online" if is_logged_in() else "offline"


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


def offline_notice(directory: Path) -> str:
    """One line on the offline runs under a folder: how to look at them, and how to upload them."""
    folder = directory / "wandb"
    if folder.is_absolute() and folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    return f"{folder} (offline; view: wandb leet {folder}; upload: wandb login, then wandb sync {folder}/offline-run-*)"


@dataclass
class _Run:
    """A W&B run that is open, and how many rows of each run that it follows it has."""

    follow: tuple[str, ...]
    stride: int
    handle: Any = None
    logged: dict[tuple[str, str], int] = field(default_factory=dict)


class WandbSink:
    """Logs the runs of one sweep, from a thread of its own, from their rows in the store.

    A run that an earlier process has logged whole is left alone; one that it left incomplete is removed and logged
    again from its rows, so that no history is doubled. The first failure is told once, and nothing is logged
    after it: the rows are in the tables in any case.

    Args:
        store_uri: The result store.
        sweep: Its name is the W&B group.
        project: The W&B project.
        mode: auto, online, offline or off.
        directory: Folder whose ``wandb/`` subfolder takes the runs; the store's own if it is a local folder.
        on_warning: Given the one line that says what failed.
    """

    def __init__(
        self,
        store_uri: str,
        sweep: str,
        *,
        project: str = "raysurf",
        mode: str = "auto",
        directory: str | None = None,
        on_warning: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.store, self.sweep, self.project = Store(store_uri), sweep, project
        self.mode = resolve_mode(mode)
        self.directory = Path(directory) if directory else home_of(self.store)
        self.on_warning = on_warning
        self._runs: dict[str, _Run] = {}
        self._orders: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._failed = self.mode == "off"
        self._thread = threading.Thread(target=self._work, name=f"wandb-{sweep}", daemon=True)
        self._thread.start()

    @property
    def notice(self) -> str:
        """One line: where the runs are, how to look at them, and how to upload them; empty when off."""
        if self.mode == "online":
            return f"project {self.project}, group {self.sweep}"
        return offline_notice(self.directory) if self.mode == "offline" else ""

    def open_run(
        self,
        run_id: str,
        *,
        name: str,
        job_type: str,
        tags: Sequence[str],
        config: Mapping[str, Scalar],
        follow: Sequence[str],
        expected_rows: int = POINTS,
    ) -> None:
        """Begin a W&B run.

        Args:
            run_id: The run in the tables; it stands in the config too.
            name: Its name for people.
            job_type: The kind of job.
            tags: Words to find it by.
            config: Flat, with ``arm`` and ``group`` among it.
            follow: Runs whose rows are its history.
            expected_rows: About how many epochs or points there will be; of more than 500, every so many are logged.
        """
        stride = max(1, -(-expected_rows // POINTS))

        def order() -> None:
            run = _Run(tuple(follow), stride)
            if run_id in self._runs or self._clear_incomplete(run_id):
                return
            run.handle = self._init(run_id, name, job_type, list(tags), {**config, "run_id": run_id})
            self._runs[run_id] = run

        self._orders.put(order)

    def rows_changed(self, run_id: str) -> None:
        """Say that a run has new rows; costs nothing."""

        def order() -> None:
            for run in self._runs.values():
                if run_id in run.follow:
                    self._log_new(run, run_id)

        self._orders.put(order)

    def close_run(self, run_id: str, summary: Mapping[str, float | str], failed: bool) -> None:
        """End a W&B run: its last rows, its summary, its state."""

        def order() -> None:
            run = self._runs.pop(run_id, None)
            if run is None:
                return
            for followed in run.follow:
                self._log_new(run, followed)
            run.handle.summary.update({**self._predictions(run_id), **summary})
            folder = Path(run.handle.dir).parent
            run.handle.finish(exit_code=1 if failed else 0)
            (folder / MARK).write_text(json.dumps({"run_id": run_id}))

        self._orders.put(order)

    def close(self, timeout_s: float = 20.0) -> None:
        """Finish what was ordered, but wait no longer than ``timeout_s`` for it."""
        self._orders.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._warn(f"W&B did not finish within {timeout_s:g} s; the rows are in {self.store.uri}")

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            if self._failed:
                continue
            try:
                order()
            except Exception as error:
                self._warn(
                    f"W&B failed and is left out from here on ({type(error).__name__}: {error}); the rows are complete"
                )

    def _warn(self, text: str) -> None:
        if not self._failed:
            self._failed = True
            self.on_warning(text)

    def _init(self, run_id: str, name: str, job_type: str, tags: list[str], config: dict[str, Scalar]) -> Any:
        import wandb

        self.directory.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            init_timeout=30,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            x_transaction_log_flush_interval=1,
        )
        handle = wandb.init(
            project=self.project,
            id=wandb_id(self.store, run_id),
            name=name,
            group=self.sweep,
            job_type=job_type,
            tags=tags,
            config=config,
            dir=str(self.directory),
            mode="online" if self.mode == "online" else "offline",
            reinit="create_new",
            settings=settings,
        )
        handle.define_metric("epoch")
        handle.define_metric("t")
        for split in ("train", "validation", "test", "average/validation", "average/test"):
            handle.define_metric(f"{split}/*", step_metric="epoch")
        handle.define_metric("curve/*", step_metric="t")
        handle.define_metric("line/*", step_metric="t")
        return handle

    def _clear_incomplete(self, run_id: str) -> bool:
        """Whether an earlier process has logged the run whole; what it left incomplete is removed."""
        if is_logged(self.directory, self.store, run_id):
            return True
        for folder in folders_of(self.directory, self.store, run_id):
            shutil.rmtree(folder, ignore_errors=True)
        return False

    def _log_new(self, run: _Run, followed: str) -> None:
        for table, history in (("epochs", _epoch_history), ("surface", _surface_history)):
            steps = history(self.store.rows_of(table, followed))
            done = run.logged.get((followed, table), 0)
            for i, step in enumerate(steps[done:], start=done):
                if i % run.stride == 0 or i + 1 == len(steps):
                    run.handle.log(step)
            run.logged[followed, table] = max(done, len(steps))

    def _predictions(self, run_id: str) -> dict[str, float]:
        """Figures of every scheme, an ensemble's being those of its most samples; and what noisy layers carry."""
        rows = sorted(self.store.rows_of("predictions", run_id), key=lambda row: int(row["num_samples"]))
        figures: dict[str, float] = {}
        for row in rows:
            scheme = "" if row["scheme"] == "deterministic" else f"{row['scheme']}/"
            for name in ("accuracy", "nll", "brier", "ece"):
                figures[f"{row['weights']}/{scheme}{row['split']}_{name}"] = row[name]
        for row in self.store.rows_of("layers", run_id):
            for name in ("log_alpha", "snr", "kl", "mmd"):
                if row[name] is not None:
                    figures[f"layers/{row['layer']}/{name}"] = row[name]
        return figures


def _epoch_history(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One step an epoch, the figures of all weights that were measured in it side by side."""
    steps: dict[int, dict[str, Any]] = {}
    for row in rows:
        step = steps.setdefault(row["epoch"], {"epoch": row["epoch"], "lr": row["lr"]})
        prefix = "" if row["weights"] == "iterate" else f"{row['weights']}/"
        for name, value in row.items():
            split, _, figure = name.partition("_")
            if split in ("train", "validation", "test") and value is not None:
                step[f"{prefix}{split}/{figure}"] = value
        if row["kl"] is not None:
            step["train/kl"] = row["kl"]
    return list(steps.values())


def _surface_history(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One step a point, the splits side by side."""
    steps: dict[int, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: int(row["point"])):
        step = steps.setdefault(row["point"], {k: row[k] for k in ("t", "x", "y", "distance") if row[k] is not None})
        step |= {
            f"{row['geometry']}/{row['split']}_{name}": row[name]
            for name in ("loss", "nll", "error")
            if row[name] is not None
        }
    return list(steps.values())

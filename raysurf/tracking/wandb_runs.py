"""One W&B sink a sweep: it follows the result rows and turns them into W&B runs, and nothing waits for it."""

from __future__ import annotations

import hashlib
import queue
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from raysurf.errors import RaysurfError
from raysurf.store.store import Store
from raysurf.store.tables import rows_of_run
from raysurf.tracking.login import resolve_mode, why_not_online
from raysurf.tracking.native_sweep import make_native_sweep
from raysurf.tracking.run_contents import (
    POINTS,
    History,
    define_axes,
    folders_of,
    home_of,
    id_in,
    is_logged,
    mark_logged,
    offline_notice,
    summary_of,
    tables_of,
    weights_of,
)

Scalar = bool | int | float | str | None
FINISH_S = 15.0
# Characters that W&B takes of a tag, and of the name of a run or group.
TAG, NAME = 64, 128


@dataclass(frozen=True)
class TrackedRun:
    """A W&B run of a run in the tables, whose id stands in the config too.

    Args:
        job_type: The kind of job.
        tags: Words to find it by.
        config: Flat, with ``arm`` and ``group`` among it.
        follow: Runs whose rows are its history, itself among them, in the order in which they are trained.
        inputs: Runs whose outcomes it uses; they stand in the config.
        expected_rows: About how many epochs or points there will be; of more than 500, every so many are logged.
        is_trial: Whether it belongs to the native sweep.
    """

    run_id: str
    name: str
    job_type: str
    tags: Sequence[str] = ()
    config: Mapping[str, Scalar] = field(default_factory=dict)
    follow: Sequence[str] = ()
    inputs: Sequence[str] = ()
    expected_rows: int = POINTS
    is_trial: bool = False


@dataclass
class _Open:
    """A run that is being logged, with the handle of W&B's client."""

    run: TrackedRun
    history: History
    handle: Any


class WandbSink:
    """Logs the runs of one sweep, from a thread of its own, from their rows in the store.

    A run that an earlier process has logged whole is left alone; one that it left incomplete is removed and logged
    again from its rows, so that no history is doubled. If the server refuses or is away, one warning says so, and the
    runs are written offline from then on, those that were open anew. If that fails too, nothing is logged after it: the
    rows are in the tables in any case.

    Args:
        sweep: Its name is the W&B group.
        mode: auto, online, offline or off.
        directory: Folder whose ``wandb/`` subfolder takes the runs; the store's own if it is a local folder.
        native: Config of W&B's own sweep, which the runs of its trials join if online.
        pictures: Draws what there is of a run: PNG files by name.
        with_weights: Whether the weights that a run keeps are logged as an artifact, and those of its inputs as used.
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
        native: Mapping[str, Any] | None = None,
        pictures: Callable[[str], Mapping[str, Path]] = lambda run_id: {},
        with_weights: bool = False,
        on_warning: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.store, self.sweep, self.project = Store(store_uri), sweep, project
        self.mode = resolve_mode(mode)
        self.directory = Path(directory) if directory else home_of(self.store)
        self.native, self.pictures, self.with_weights = native, pictures, with_weights
        self.on_warning = on_warning
        self._runs: dict[str, _Open] = {}
        self._orders: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._failed, self._has_warned_of_cuts = self.mode == "off", False
        self._thread = threading.Thread(target=self._work, name=f"wandb-{sweep}", daemon=True)
        self._thread.start()

    @property
    def notice(self) -> str:
        """One line: where the runs are, how to look at them, and how to upload them; empty when off."""
        if self.mode == "online":
            return f"project {self.project}, group {self.sweep}"
        is_there = any((self.directory / "wandb").glob("offline-run-*"))
        return offline_notice(self.directory) if self.mode == "offline" and is_there else ""

    def open_run(self, run: TrackedRun) -> None:
        """Begin a W&B run."""
        # Here, so that the warning comes in the caller's thread.
        tags = [self._short(tag, TAG) for tag in run.tags if tag]
        short = replace(run, name=self._short(run.name, NAME), tags=tags)

        def order() -> None:
            if run.run_id in self._runs or is_logged(self.directory, self.store, run.run_id, self.sweep):
                return
            self._runs[run.run_id] = self._init(short)

        self._orders.put(order)

    def _short(self, text: str, most: int) -> str:
        """Cut a text to W&B's limit, with a hash to keep it unique; the user is told once."""
        if len(text) <= most:
            return text
        if not self._has_warned_of_cuts:
            self._has_warned_of_cuts = True
            self.on_warning(f"W&B takes {TAG} characters of a tag and {NAME} of a name; longer ones are cut there")
        return f"{text[: most - 7]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"

    def rows_changed(self, run_id: str) -> None:
        """Say that a run has new rows; costs nothing."""

        def order() -> None:
            for opened in self._runs.values():
                if run_id in opened.run.follow:
                    self._log_new(opened, run_id)

        self._orders.put(order)

    def close_run(self, run_id: str, summary: Mapping[str, float | str], failed: bool) -> None:
        """End a W&B run: its last rows, its summary, its tables, pictures and weights, its state."""

        def order() -> None:
            if (opened := self._runs.get(run_id)) is None:
                return
            for followed in opened.run.follow:
                self._log_new(opened, followed, ends=True)
            handle = opened.handle
            handle.summary.update({**summary_of(self.store, run_id), **summary})
            self._log_media(run_id, handle)
            folder = Path(handle.dir).parent
            handle.finish(exit_code=1 if failed else 0)
            mark_logged(folder, run_id, self.sweep, self.native)
            del self._runs[run_id]

        self._orders.put(order)

    def close(self, timeout_s: float = 20.0) -> None:
        """Finish what was ordered, but wait no longer than ``timeout_s`` for it."""
        self._orders.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._give_up(f"W&B did not finish within {timeout_s:g} s; the rows are in {self.store.uri}")

    def _work(self) -> None:
        is_asked = False
        while (order := self._orders.get()) is not None:
            if self._failed:
                continue
            if self.mode == "online" and not is_asked:
                is_asked = True
                if why := why_not_online():
                    self._go_offline(why)
            try:
                self._do(order)
            except Exception as error:
                self._give_up(f"W&B failed and is left out from here on ({_said(error)}); the rows are complete")

    def _do(self, order: Callable[[], None]) -> None:
        try:
            order()
        except Exception as error:
            if self.mode != "online":
                raise
            self._go_offline(_said(error))
            for run_id, opened in self._runs.items():
                self._runs[run_id] = self._init(opened.run)
                for followed in opened.run.follow:
                    self._log_new(self._runs[run_id], followed)
            order()

    def _go_offline(self, why: str) -> None:
        self.mode = "offline"
        self.on_warning(f"W&B cannot be reached: {why}; its runs are written offline, and raysurf sync sends them")

    def _give_up(self, text: str) -> None:
        if not self._failed:
            self._failed = True
            self.on_warning(text)

    def _init(self, run: TrackedRun) -> _Open:
        import wandb

        # What an earlier process, or the server that went away, has left incomplete.
        wandb_id = id_in(self.directory, self.store, run.run_id, self.sweep)
        for folder in folders_of(self.directory, wandb_id):
            shutil.rmtree(folder, ignore_errors=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        # Offline there is no sweep of W&B's own; ``raysurf sync`` makes it.
        sweep_id = None
        if run.is_trial and self.native is not None and self.mode == "online":
            sweep_id, _ = make_native_sweep(self.directory, self.project, self.native)
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            init_timeout=30,
            finish_timeout=FINISH_S,
            finish_timeout_raises=True,
            sweep_id=sweep_id,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            x_transaction_log_flush_interval=1,
        )
        handle = wandb.init(
            project=self.project,
            id=wandb_id,
            name=run.name,
            group=self._short(self.sweep, NAME),
            job_type=run.job_type,
            tags=list(run.tags),
            config={**run.config, "run_id": run.run_id, "inputs": list(run.inputs)},
            dir=str(self.directory),
            mode="online" if self.mode == "online" else "offline",
            reinit="create_new",
            settings=settings,
        )
        define_axes(handle)
        if self.with_weights and self.mode == "online":
            for needed in run.inputs:
                # Weights that W&B does not have stand in the config alone.
                with suppress(ValueError, wandb.Error):
                    handle.use_artifact(f"weights-{needed}:latest")
        return _Open(run, History(tuple(run.follow), run.expected_rows), handle)

    def _log_new(self, opened: _Open, followed: str, ends: bool = False) -> None:
        history = opened.history
        epochs, points = (rows_of_run(self.store, table, followed) for table in ("epochs", "surface"))
        for step in (*history.new_epochs(followed, epochs, ends), *history.new_points(followed, points, ends)):
            opened.handle.log(step)

    def _log_media(self, run_id: str, handle: Any) -> None:
        import wandb

        media: dict[str, Any] = {
            name: wandb.Table(columns=columns, data=rows, allow_mixed_types=True)
            for name, (columns, rows) in tables_of(self.store, run_id).items()
        }
        try:
            media |= {f"picture/{name}": wandb.Image(str(file)) for name, file in self.pictures(run_id).items()}
        except (RaysurfError, ValueError) as error:
            # The rows are logged all the same.
            self.on_warning(f"no picture of {run_id} for W&B ({_said(error)})")
        if media:
            handle.log(media)
        if self.with_weights and (paths := weights_of(self.store, run_id)):
            artifact = wandb.Artifact(f"weights-{run_id}", type="weights", metadata={"run_id": run_id})
            for path in paths:
                with artifact.new_file(path.rsplit("/", 1)[-1], mode="wb") as file:
                    file.write(self.store.get_bytes(path))
            handle.log_artifact(artifact)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

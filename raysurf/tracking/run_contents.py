"""Contents of a W&B run: history, summary, tables, and its folder."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysurf.store import Row
from raysurf.store.filesystem import replace_file, results_option
from raysurf.store.schemas import schema_of
from raysurf.store.store import Store
from raysurf.store.tables import rows_of_run

POINTS = 500
# Geometries whose points lie on one line, so that their metrics are curves over t.
LINES = ("curve", "line", "chain", "path")
SPLITS = ("train", "validation", "test")
# What is measured besides the iterate.
WEIGHTS = ("average", "t=0.5", "band")


@dataclass
class History:
    """Steps of the runs that are one history, each logged once.

    Epochs are counted on from one run to the next, so that the axis only rises. Of many steps every so many are logged,
    and the last of each run when its history ends.

    Args:
        follow: The runs, in the order in which they are trained.
        expected_rows: About how many steps there will be.
    """

    follow: tuple[str, ...]
    expected_rows: int = POINTS
    logged: dict[tuple[str, str, int], set[str]] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)

    def new_epochs(self, run_id: str, rows: Iterable[Row], ends: bool = False) -> Iterator[Row]:
        """Metrics of epochs that have not been logged, an axis beside them."""
        steps = epoch_steps(rows)
        if not steps:
            return
        self.epochs[run_id] = max(steps)
        before = sum(self.epochs.get(earlier, 0) for earlier in self.follow[: self.follow.index(run_id)])
        for number, step in self._new(run_id, "epochs", steps, ends):
            yield {"epoch": before + number, **step}

    def new_points(self, run_id: str, rows: Iterable[Row], ends: bool = False) -> Iterator[Row]:
        """Metrics of a line's points that have not been logged, with their ``t``."""
        steps, axes = point_steps(rows)
        for number, step in self._new(run_id, "surface", steps, ends):
            yield {**axes[number], **step}

    def _new(self, run_id: str, table: str, steps: Mapping[int, Row], ends: bool) -> Iterator[tuple[int, Row]]:
        # Of 500 steps and fewer the stride is one, whatever their numbers.
        stride = max(1, -(-self.expected_rows // POINTS))
        last = max(steps, default=None) if ends else None
        for number, step in steps.items():
            if number % stride == 0 or number == last:
                logged = self.logged.setdefault((run_id, table, number), set())
                new = {name: value for name, value in step.items() if name not in logged}
                logged |= set(new)
                if new:
                    yield number, new


def epoch_steps(rows: Iterable[Row]) -> dict[int, Row]:
    """One step an epoch, the metrics of all weights that were measured in it side by side."""
    steps: dict[int, Row] = {}
    for row in rows:
        step = steps.setdefault(row["epoch"], {"lr": row["lr"]})
        prefix = "" if row["weights"] == "iterate" else f"{row['weights']}/"
        for name, value in row.items():
            split, _, metric = name.partition("_")
            if split in SPLITS and value is not None:
                step[f"{prefix}{split}/{metric}"] = value
        if row["kl"] is not None:
            step["train/kl"] = row["kl"]
    return dict(sorted(steps.items()))


def point_steps(rows: Iterable[Row]) -> tuple[dict[int, Row], dict[int, Row]]:
    """One step a point of a line, the splits side by side, and where each lies; planes and rays are no lines."""
    steps: dict[int, Row] = {}
    axes: dict[int, Row] = {}
    for row in sorted(rows, key=lambda row: int(row["point"])):
        if row["geometry"] not in LINES:
            continue
        axes[row["point"]] = {k: row[k] for k in ("t", "distance") if row[k] is not None}
        step = steps.setdefault(row["point"], {})
        for name in ("loss", "nll", "error"):
            if row[name] is not None:
                step[f"{row['geometry']}/{row['split']}_{name}"] = row[name]
    return steps, axes


def define_axes(handle: Any) -> None:
    """Tell W&B which metrics lie over epochs, and which over positions on a line."""
    for axis in ("epoch", "t", "distance"):
        handle.define_metric(axis, hidden=True)
    handle.define_metric("lr", step_metric="epoch")
    for split in SPLITS:
        handle.define_metric(f"{split}/*", step_metric="epoch")
        for weights in WEIGHTS:
            handle.define_metric(f"{weights}/{split}/*", step_metric="epoch")
    for geometry in LINES:
        handle.define_metric(f"{geometry}/*", step_metric="t")


METRICS = ("accuracy", "nll", "brier", "ece")
# W&B shows no more rows of a table than this.
MOST_ROWS = 10_000
TABLES = ("predictions", "layers", "surface")


def metric_name(weights: str, scheme: str, split: str, metric: str) -> str:
    """What a metric of predictions is called in a summary, such as ``final/ensemble/test_accuracy``."""
    by = "" if scheme == "deterministic" else f"{scheme}/"
    return f"{weights}/{by}{split}_{metric}"


def summary_of(store: Store, run_id: str) -> dict[str, float]:
    """Metrics of every scheme, an ensemble's being those of its most samples; and what noisy layers carry."""
    rows = sorted(rows_of_run(store, "predictions", run_id), key=lambda row: int(row["num_samples"]))
    metrics: dict[str, float] = {}
    for row in rows:
        for name in METRICS:
            metrics[metric_name(row["weights"], row["scheme"], row["split"], name)] = row[name]
    for row in rows_of_run(store, "layers", run_id):
        for name in ("log_alpha", "snr", "kl", "mmd"):
            if row[name] is not None:
                metrics[f"layers/{row['layer']}/{name}"] = row[name]
    return metrics


def tables_of(store: Store, run_id: str) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Columns and rows of a run's tables that W&B shows; of more rows than it takes the first."""
    tables = {}
    for table in TABLES:
        rows = rows_of_run(store, table, run_id)[:MOST_ROWS]
        filled = [name for name in schema_of(table).names if any(row[name] is not None for row in rows)]
        columns = [name for name in filled if name != "run_id"]
        if rows:
            tables[table] = (columns, [[row[name] for name in columns] for row in rows])
    return tables


def weights_of(store: Store, run_id: str) -> list[str]:
    """Paths in the store of the tensors that a run has kept."""
    return [path for path in store.list(f"jobs/{run_id}") if path.endswith(".safetensors") and path.count("/") == 2]


MARK = "raysurf-complete.json"


def home_of(store: Store) -> Path:
    """The folder whose ``wandb/`` subfolder takes the runs: the store's own if it is a local one, else the current."""
    return Path(store.root if store.is_local else ".")


def wandb_id(store: Store, run_id: str, sweep: str = "") -> str:
    """The id that a run has in W&B: the same job in two stores is two runs there.

    A run of W&B's is in one group alone: for another sweep that uses the run again, ``sweep`` makes another id.
    """
    of = f"{store.address}\n{sweep}" if sweep else store.address
    return f"{run_id}-{hashlib.sha256(of.encode()).hexdigest()[:6]}"


def folders_of(directory: Path, wandb_id: str) -> list[Path]:
    """The folders that W&B has made for a run of its own."""
    return sorted((directory / "wandb").glob(f"*run-*-{wandb_id}"))


def id_in(directory: Path, store: Store, run_id: str, sweep: str) -> str:
    """W&B id of a run within a sweep; a run that another sweep has logged gets an id of its own."""
    first = wandb_id(store, run_id)
    return wandb_id(store, run_id, sweep) if _sweeps(directory, first) - {sweep} else first


def is_logged(directory: Path, store: Store, run_id: str, sweep: str) -> bool:
    """Whether a run was logged completely in this sweep, by any process."""
    return any(sweep in _sweeps(directory, wandb_id(store, run_id, of)) for of in ("", sweep))


def _sweeps(directory: Path, wandb_id: str) -> set[str]:
    """Sweeps in which a W&B run was logged completely."""
    marks = [folder / MARK for folder in folders_of(directory, wandb_id)]
    return {json.loads(mark.read_text())["sweep"] for mark in marks if mark.exists()}


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


def known_ids(directory: Path, name: str) -> dict[str, Any]:
    """What W&B has called things that are made once, from a file of the ``wandb/`` subfolder."""
    place = directory / "wandb" / name
    known: dict[str, Any] = json.loads(place.read_text()) if place.exists() else {}
    return known


def keep_ids(directory: Path, name: str, ids: Mapping[str, Any]) -> None:
    """Keep these for the next process."""
    place = directory / "wandb" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    replace_file(place, json.dumps(ids).encode())

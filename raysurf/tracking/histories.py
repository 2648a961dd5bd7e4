"""A run's rows as the steps of its W&B history: which figures, on which axis, and which of many steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

POINTS = 500
Row = dict[str, Any]
# Geometries whose points lie on one line, so that their figures are curves over t.
LINES = ("curve", "line", "chain", "path")
SPLITS = ("train", "validation", "test")
# What is measured besides the iterate.
WEIGHTS = ("average", "t=0.5", "band")


@dataclass
class History:
    """What has been told of the runs whose rows are one history, and what is left to tell.

    Epochs are counted on from one run to the next, so that the axis only rises. Of many steps every so many are told,
    and the last of each run when its history ends.

    Args:
        follow: The runs, in the order in which they are trained.
        expected_rows: About how many steps there will be.
    """

    follow: tuple[str, ...]
    expected_rows: int = POINTS
    told: dict[tuple[str, str, int], set[str]] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)

    @property
    def stride(self) -> int:
        """One of so many steps is told."""
        return max(1, -(-self.expected_rows // POINTS))

    def new_epochs(self, run_id: str, rows: Iterable[Row], ends: bool = False) -> Iterator[Row]:
        """Figures of epochs that have not been told, an axis beside them."""
        steps = epoch_steps(rows)
        if not steps:
            return
        self.epochs[run_id] = max(steps)
        earlier = self.follow[: self.follow.index(run_id)]
        before = sum(self.epochs.get(each, 0) for each in earlier)
        for number in self._chosen(list(steps), ends):
            if step := self._untold(run_id, "epochs", number, steps[number]):
                yield {"epoch": before + number, **step}

    def new_points(self, run_id: str, rows: Iterable[Row], ends: bool = False) -> Iterator[Row]:
        """Figures of a line's points that have not been told, with their ``t``."""
        steps, axes = point_steps(rows)
        for number in self._chosen(list(steps), ends):
            if step := self._untold(run_id, "surface", number, steps[number]):
                yield {**axes[number], **step}

    def _chosen(self, numbers: list[int], ends: bool) -> list[int]:
        # Of 500 steps and fewer the stride is one, whatever their numbers.
        return [n for n in numbers if n % self.stride == 0 or (ends and n == numbers[-1])]

    def _untold(self, run_id: str, table: str, number: int, step: Row) -> Row:
        told = self.told.setdefault((run_id, table, number), set())
        found = {name: value for name, value in step.items() if name not in told}
        told |= set(found)
        return found


def epoch_steps(rows: Iterable[Row]) -> dict[int, Row]:
    """One step an epoch, the figures of all weights that were measured in it side by side."""
    steps: dict[int, Row] = {}
    for row in rows:
        step = steps.setdefault(row["epoch"], {"lr": row["lr"]})
        prefix = "" if row["weights"] == "iterate" else f"{row['weights']}/"
        for name, value in row.items():
            split, _, figure = name.partition("_")
            if split in SPLITS and value is not None:
                step[f"{prefix}{split}/{figure}"] = value
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
    """Tell W&B which figures lie over epochs, and which over positions on a line."""
    for axis in ("epoch", "t", "distance"):
        handle.define_metric(axis, hidden=True)
    handle.define_metric("lr", step_metric="epoch")
    for split in SPLITS:
        handle.define_metric(f"{split}/*", step_metric="epoch")
        for weights in WEIGHTS:
            handle.define_metric(f"{weights}/{split}/*", step_metric="epoch")
    for geometry in LINES:
        handle.define_metric(f"{geometry}/*", step_metric="t")

"""A network on two-dimensional inputs, from rows of ``inputs``: examples, a noisy layer's outputs, and regions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysurf.report.trace import Array

Whole = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Examples:
    """Examples and what the network gives for them; nothing has a unit.

    Args:
        origin: test or train.
        at: The inputs, shape (n, 2).
        label: Their classes, shape (n,).
        answer: The ensemble's, shape (n,).
        deterministic: The mean weights', shape (n,).
        layer: The noisy layer.
        num_outputs: How many outputs it has; the first two are kept.
        mean: Of each output over the noise, shape (n, 2); 0 for a second output that is not there.
        std: The same for the standard deviation, shape (n, 2).
    """

    origin: str
    at: Array
    label: Whole
    answer: Whole
    deterministic: Whole
    layer: str
    num_outputs: int
    mean: Array
    std: Array

    def accuracy(self, answer: Whole) -> float:
        """Share of answers that are right; NaN without examples."""
        return float((answer == self.label).mean()) if len(self.label) else float("nan")


@dataclass(frozen=True)
class Regions:
    """Answers over a regular grid of inputs; -1 and NaN at nodes without a row.

    Args:
        x: First coordinates, ascending, shape (w,).
        y: Second coordinates, ascending, shape (h,).
        answer: The ensemble's, shape (h, w).
        confidence: Its probability of that class, a fraction, shape (h, w).
        deterministic: The mean weights' answer, shape (h, w).
    """

    x: Array
    y: Array
    answer: Whole
    confidence: Array
    deterministic: Whole

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """Left, right, bottom and top of the cells, whose middles are the nodes; None if these are no grid."""
        if min(len(self.x), len(self.y)) < 2:
            return None
        across, up = ((axis[-1] - axis[0]) / (len(axis) - 1) / 2 for axis in (self.x, self.y))
        left, right = float(self.x[0] - across), float(self.x[-1] + across)
        return left, right, float(self.y[0] - up), float(self.y[-1] + up)


@dataclass(frozen=True)
class InputPlane:
    """What a picture of one run shows.

    Args:
        label: What the run is called.
        examples: Those of test, or of train where test has none.
        regions: The grid.
    """

    label: str
    examples: Examples
    regions: Regions

    @property
    def classes(self) -> list[int]:
        """Every class that is a label or an answer."""
        given = [self.examples.label, self.regions.answer.ravel(), self.regions.deterministic.ravel()]
        return [int(each) for each in np.unique(np.concatenate(given)) if each >= 0]


def read_inputs(rows: Iterable[Mapping[str, Any]], run_id: str, label: str) -> InputPlane:
    """The examples and the grid of one run.

    Args:
        rows: Of ``inputs``, of any runs, in any order.
        run_id: The run.
        label: What it is called.
    """
    by_origin: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted((row for row in rows if row["run_id"] == run_id), key=lambda row: int(row["point"])):
        by_origin.setdefault(row["origin"], []).append(row)
    origin = "test" if "test" in by_origin else "train"
    return InputPlane(label, _examples(origin, by_origin.get(origin, [])), _regions(by_origin.get("grid", [])))


def _examples(origin: str, rows: list[Mapping[str, Any]]) -> Examples:
    def whole(name: str) -> Whole:
        return np.array([row[name] for row in rows], dtype=np.int64)

    def two(name: str) -> Array:
        return np.array([(*row[name], 0.0)[:2] for row in rows], dtype=float).reshape(-1, 2)

    return Examples(
        origin,
        np.array([(row["x"], row["y"]) for row in rows], dtype=float).reshape(-1, 2),
        whole("label"),
        whole("answer"),
        whole("deterministic_answer"),
        rows[0]["layer"] if rows else "",
        len(rows[0]["output_mean"]) if rows else 2,
        two("output_mean"),
        two("output_std"),
    )


def _regions(rows: list[Mapping[str, Any]]) -> Regions:
    x, column = np.unique(np.array([row["x"] for row in rows], dtype=float), return_inverse=True)
    y, line = np.unique(np.array([row["y"] for row in rows], dtype=float), return_inverse=True)
    answer, deterministic = (np.full((len(y), len(x)), -1, dtype=np.int64) for _ in range(2))
    confidence = np.full((len(y), len(x)), np.nan)
    for row, i, j in zip(rows, line, column, strict=True):
        answer[i, j], confidence[i, j] = row["answer"], row["confidence"]
        deterministic[i, j] = row["deterministic_answer"]
    return Regions(x, y, answer, confidence, deterministic)

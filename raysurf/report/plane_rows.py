"""One measured plane as arrays, from rows of ``surface`` and ``landmarks``, whole or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysurf.report.trace import QUANTITIES, Array


@dataclass(frozen=True)
class Landmark:
    """Weights, or a curve or path, as they stand on a plane.

    Args:
        name: What it is called.
        geometry: weights, curve or path.
        line: Its projection, in order, shape (n, 2); weights have one point.
        off_plane: The largest distance from the plane.
        source: The run that it comes from.
    """

    name: str
    geometry: str
    line: Array
    off_plane: float
    source: str = ""


@dataclass(frozen=True)
class Plane:
    """A grid of figures; a point that is not measured yet, or failed, is NaN.

    Args:
        label: What it is called.
        x: Columns, in weight distance, ascending, shape (nx,).
        y: Rows, the same, shape (ny,).
        loss: Train loss with L2, nats a sample, shape (ny, nx).
        error: Test error, a fraction, shape (ny, nx).
        landmarks: What is marked on it.
    """

    label: str
    x: Array
    y: Array
    loss: Array
    error: Array
    landmarks: tuple[Landmark, ...]

    def values(self, quantity: str) -> Array:
        """``loss`` or ``error``."""
        return self.loss if quantity == "loss" else self.error


def read_plane(
    surface: Iterable[Mapping[str, Any]], landmarks: Iterable[Mapping[str, Any]], run_id: str, label: str
) -> Plane:
    """The plane of one run.

    Args:
        surface: Rows of the table, of any runs, in any order.
        landmarks: Rows of the table, the same.
        run_id: The run.
        label: What it is called.
    """
    mine = [row for row in surface if row["run_id"] == run_id and row["x"] is not None and row["y"] is not None]
    x, columns = _grid_lines([row["x"] for row in mine])
    y, lines = _grid_lines([row["y"] for row in mine])
    grids = {quantity: np.full((len(y), len(x)), np.nan) for quantity in QUANTITIES}
    for row, column, line in zip(mine, columns, lines, strict=True):
        for quantity, split in QUANTITIES.items():
            if row["split"] == split and row[quantity] is not None:
                grids[quantity][line, column] = row[quantity]
    found = tuple(_landmarks(row for row in landmarks if row["run_id"] == run_id))
    return Plane(label, x, y, grids["loss"], grids["error"], found)


def _grid_lines(at: list[float]) -> tuple[Array, np.ndarray[Any, Any]]:
    """The grid's lines in ascending order, and the number of the line that each value stands on.

    Points come from several workers, so that values of one line may differ in their last digits. Lines are evenly
    spaced; those that no point was measured on yet are there as well, so that nothing is drawn across the hole.
    """
    if not at:
        return np.empty(0), np.empty(0, int)
    values = np.array(at)
    order = np.sort(values)
    gaps = np.diff(order)
    gaps = gaps[gaps > 1e-4 * np.ptp(order)]
    if not len(gaps):
        return order[:1], np.zeros(len(values), int)
    lines: Array = np.linspace(order[0], order[-1], round(float(np.ptp(order) / gaps.min())) + 1)
    return lines, np.rint((values - order[0]) / (lines[1] - lines[0])).astype(int)


def _landmarks(rows: Iterable[Mapping[str, Any]]) -> Iterable[Landmark]:
    points: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        points.setdefault(row["landmark"], []).append(row)
    for number in sorted(points):
        line = sorted(points[number], key=lambda row: int(row["position"]))
        yield Landmark(
            line[0]["name"],
            line[0]["geometry"],
            np.array([[row["x"], row["y"]] for row in line]),
            max(row["off_plane"] for row in line),
            line[0]["source"],
        )

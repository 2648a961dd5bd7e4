"""One measured line through weight space, as arrays: a curve, line, chain or path, from rows of ``surface``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
QUANTITIES = {"loss": "train", "error": "test"}


@dataclass(frozen=True)
class Trace:
    """Figures along one line, in the order of t.

    Args:
        label: What it is called.
        geometry: curve, line, chain or path.
        t: Positions, shape (n,); 0 and 1 are the ends.
        arc: Arc length from the first weights (t = 0), in weight distance, below 0 before them, shape (n,).
        loss: Train loss with L2, in nats a sample, shape (n,); NaN where there is none.
        error: Test error, a fraction, shape (n,); NaN where there is none.
        curve: The run of the curve or path, whose colour it has; empty for other lines.
    """

    label: str
    geometry: str
    t: Array
    arc: Array
    loss: Array
    error: Array
    curve: str = ""

    @property
    def num_missing(self) -> int:
        """Points that have no figure in one panel or the other."""
        return int(np.sum(np.isnan(self.loss) | np.isnan(self.error)))

    def at(self, axis: str) -> Array:
        """Where the points stand on an x-axis of ``t`` or ``arc``."""
        return self.t if axis == "t" else self.arc

    def values(self, quantity: str) -> Array:
        """``loss`` or ``error``."""
        return self.loss if quantity == "loss" else self.error

    def ends(self, axis: str, quantity: str) -> tuple[Array, Array]:
        """Where the line, as it is drawn, passes t = 0 and t = 1, as far as it reaches them."""
        if not len(self.t):
            return self.t, self.t
        reached = [t for t in (0.0, 1.0) if self.t[0] - 1e-9 <= t <= self.t[-1] + 1e-9]
        return np.interp(reached, self.t, self.at(axis)), np.interp(reached, self.t, self.values(quantity))


def read_trace(rows: Iterable[Mapping[str, Any]], run_id: str, label: str, curve: str = "") -> Trace:
    """The points of one run.

    Args:
        rows: Of ``surface``, of any runs, in any order.
        run_id: The run.
        label: What it is called.
        curve: The run of the curve or path, if it is one.
    """
    points: dict[float, dict[str, float]] = {}
    geometry = ""
    for row in rows:
        if row["run_id"] == run_id and row["t"] is not None:
            geometry = row.get("geometry") or geometry
            point = points.setdefault(float(row["t"]), {"distance": row.get("distance", row["t"])})
            for quantity, split in QUANTITIES.items():
                if row["split"] == split and row[quantity] is not None:
                    point[quantity] = row[quantity]
    t = np.array(sorted(points))
    columns = {
        name: np.array([points[at].get(name, np.nan) for at in sorted(points)], dtype=float)
        for name in ("distance", *QUANTITIES)
    }
    return Trace(
        label, geometry, t, _signed(t, columns["distance"], geometry), columns["loss"], columns["error"], curve
    )


def _signed(t: Array, travelled: Array, geometry: str) -> Array:
    """Arc length from the weights at t = 0. A line's speed is the same, whichever point is the first."""
    if len(t) < 2:
        return travelled
    if geometry == "line":
        return t * float(np.median(np.abs(np.diff(travelled)) / np.diff(t)))
    return travelled - float(np.interp(0.0, t, travelled))

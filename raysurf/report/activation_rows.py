"""Distributions of neurons' activations by class, from rows of ``activations``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysurf.report.trace import Array


@dataclass(frozen=True)
class Ridge:
    """One class's histogram.

    Args:
        label: The class.
        edges: Ends of the bins, ascending, shape (bins + 1,); a gap between bins is a bin without draws.
        density: Share of the class's draws in each bin over the bin's width, shape (bins,).
        mean: Of the class's activations.
        std: The same, over examples and draws.
    """

    label: int
    edges: Array
    density: Array
    mean: float
    std: float

    def extent(self, share: float) -> tuple[float, float]:
        """The ends of the bins whose density is at least a share of the highest."""
        high = np.flatnonzero(self.density >= share * self.density.max())
        return float(self.edges[high[0]]), float(self.edges[high[-1] + 1])


Neurons = dict[tuple[str, int], list[Ridge]]


def read_neurons(rows: Iterable[Mapping[str, Any]], run_id: str) -> Neurons:
    """The histograms of one run, by layer and neuron, each with its classes in order.

    Args:
        rows: Of ``activations``, of any runs, in any order.
        run_id: The run.
    """
    found: dict[tuple[str, int], dict[int, list[Mapping[str, Any]]]] = {}
    for row in sorted((row for row in rows if row["run_id"] == run_id), key=lambda row: float(row["low"])):
        found.setdefault((row["layer"], row["neuron"]), {}).setdefault(row["label"], []).append(row)
    return {
        neuron: [_ridge(label, bins) for label, bins in sorted(by_label.items())]
        for neuron, by_label in sorted(found.items())
    }


def _ridge(label: int, bins: list[Mapping[str, Any]]) -> Ridge:
    edges, density = [float(bins[0]["low"])], []
    for row in bins:
        low, high = float(row["low"]), float(row["high"])
        if low > edges[-1] + 1e-9 * (high - low):
            density.append(0.0)
            edges.append(low)
        density.append(row["share"] / (high - low) if high > low else 0.0)
        edges.append(high)
    return Ridge(label, np.array(edges), np.array(density), bins[0]["mean"], bins[0]["std"])

"""Figures of prediction schemes by number of samples, from rows of ``predictions``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysurf.report.trace import Array

FIGURES = ("error", "nll")


@dataclass(frozen=True)
class Steps:
    """One scheme's figures, for the numbers of samples that every replicate has.

    Args:
        num_samples: Ascending, shape (k,).
        error: Test error, a fraction, shape (replicates, k).
        nll: Test negative log-likelihood, in nats a sample, shape (replicates, k).
    """

    num_samples: Array
    error: Array
    nll: Array

    def values(self, figure: str) -> Array:
        """``error`` or ``nll``."""
        return self.error if figure == "error" else self.nll


@dataclass(frozen=True)
class Schemes:
    """A setting: one run, or its replicates with other seeds.

    Args:
        label: What it is called.
        num_runs: Replicates.
        steps: By scheme; those that every replicate has.
    """

    label: str
    num_runs: int
    steps: dict[str, Steps]


def read_schemes(rows: Iterable[Mapping[str, Any]], run_ids: Sequence[str], label: str) -> Schemes:
    """The schemes of a setting.

    Where several weights of a run were measured in one scheme, those of its ensemble are meant, else the first
    that are not the last iterate.

    Args:
        rows: Of ``predictions``, of any runs, in any order.
        run_ids: Its runs, replicates of each other.
        label: What it is called.
    """
    found = [_of_run([row for row in rows if row["run_id"] == run_id]) for run_id in run_ids]
    steps = {}
    for scheme in dict.fromkeys(name for by_scheme in found for name in by_scheme):
        replicates = [by_scheme.get(scheme, {}) for by_scheme in found]
        at = sorted(set.intersection(*(set(by_samples) for by_samples in replicates)))
        if at:
            each = np.array([[by_samples[num] for num in at] for by_samples in replicates], dtype=float)
            steps[scheme] = Steps(np.array(at, dtype=float), each[..., 0], each[..., 1])
    return Schemes(label, len(run_ids), steps)


def _of_run(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, tuple[float, float]]]:
    """Error and NLL on test, by scheme and number of samples."""
    test = [row for row in rows if row["split"] == "test"]
    ensembles = {row["weights"] for row in test if row["scheme"] == "ensemble"}
    found: dict[str, dict[int, tuple[float, float]]] = {}
    for row in sorted(test, key=lambda row: (row["weights"] not in ensembles, row["weights"] == "last")):
        figures = 1.0 - row["accuracy"], row["nll"]
        found.setdefault(row["scheme"], {}).setdefault(row["num_samples"], figures)
    return found

"""Learning curves of a sweep's trials, from rows of ``epochs``: an error, a loss and the rate, means over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from raysurf.report.pictures.trace import Array
from raysurf.report.sweep_rows import SweepRows
from raysurf.results.reader import Reader

Places = np.ndarray[Any, np.dtype[np.intp]]
# The first that any run has is drawn.
ERRORS = ("validation_error", "test_error", "train_error")
LOSSES = tuple(f"{split}_{name}" for split in ("validation", "test", "train") for name in ("loss", "nll"))
RATE = "lr"


@dataclass(frozen=True)
class LearningCurve:
    """The figures of one trial's weights, epoch by epoch.

    Args:
        trial: Its number.
        weights: What was measured, such as iterate or average; a prediction scheme other than the deterministic one
            is named beside it.
        num_seeds: Runs that the means are of.
        epochs: Epochs finished, of all of these runs, ascending, shape (n,).
        means: By column the mean over runs, shape (n,); NaN where a run was not measured.
        least: By column the least of the runs, shape (n,).
        most: By column the most of the runs, shape (n,).
    """

    trial: int
    weights: str
    num_seeds: int
    epochs: Array
    means: Mapping[str, Array]
    least: Mapping[str, Array]
    most: Mapping[str, Array]


@dataclass(frozen=True)
class LearningCurves:
    """All of them.

    Args:
        error: The column that is the error; empty if none was measured.
        loss: The column that is the loss; empty if none was measured.
        curves: In the order of trials, iterates before averages.
    """

    error: str
    loss: str
    curves: tuple[LearningCurve, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What there is to draw."""
        return tuple(filter(None, (self.error, self.loss)))


def learning_curves(results: Reader, sweep: SweepRows) -> LearningCurves:
    """Read them.

    A run that trains nothing, such as a profile, stands for the one run that it measures.

    Args:
        results: The store.
        sweep: Its trials, finished or not.

    Raises:
        StoreError: If rows cannot be read.
    """
    rows = _rows(results, sweep)
    trained = set(rows["run_id"].to_pylist())
    error, loss = (next((name for name in names if _has(rows, name)), "") for names in (ERRORS, LOSSES))
    columns = tuple(filter(None, (error, loss, RATE)))
    found = _by_run(rows, columns)
    curves = []
    for trial in sweep.trials:
        runs = [run_id for given in trial.run_ids for run_id in _trained_by(sweep, given, trained)]
        every = dict.fromkeys(which for run_id in runs for which in found.get(run_id, {}))
        for weights in sorted(every, key=lambda name: (not name.startswith("iterate"), name)):
            seeds = [found[run_id][weights] for run_id in runs if weights in found.get(run_id, {})]
            curves.append(_over_seeds(trial.number, weights, seeds, columns))
    return LearningCurves(error, loss, tuple(curves))


def thinned(values: Array, most: int) -> Places:
    """Which figures to draw: of ever so many neighbours the least and the most, so that no peak is lost.

    Args:
        values: Shape (n,).
        most: How many are kept at most, at least 4; two more where both ends are neither.

    Returns:
        Their places, ascending; those of figures that are not finite are left out.
    """
    known = np.flatnonzero(np.isfinite(values))
    if len(known) <= most:
        return known
    parts = np.array_split(known, most // 2)
    ends = [part[pick(values[part])] for part in parts for pick in (np.argmin, np.argmax)]
    return np.unique([known[0], *ends, known[-1]])


def _rows(results: Reader, sweep: SweepRows) -> pa.Table:
    """Those of the trials' runs, and of what these came from, in the order of runs, weights and epochs."""
    ids = {run_id for trial in sweep.trials for run_id in trial.run_ids}
    ids |= {needed for run_id in ids if run_id in sweep.runs for needed in sweep.runs[run_id]["inputs"]}
    listed = ", ".join("'" + run_id.replace("'", "''") + "'" for run_id in sorted(ids)) or "''"
    figures = ", ".join((RATE, *ERRORS, *LOSSES))
    which = "case when coalesce(scheme, 'deterministic') = 'deterministic' then weights"
    return results.sql(
        f"""select run_id, {which} else weights || ', ' || scheme end as which, epoch, {figures} from epochs
        where run_id in ({listed}) order by run_id, which, epoch"""
    )


def _has(rows: pa.Table, name: str) -> bool:
    return bool(np.isfinite(_numbers(rows, name)).any())


def _numbers(rows: pa.Table, name: str) -> Array:
    found: Array = rows[name].to_numpy().astype(float)
    return np.where(np.isfinite(found), found, np.nan)


def _by_run(rows: pa.Table, columns: Sequence[str]) -> dict[str, dict[str, dict[str, Array]]]:
    """By run and weights the columns, ``epoch`` among them."""
    keys = list(zip(rows["run_id"].to_pylist(), rows["which"].to_pylist(), strict=True))
    arrays = {name: _numbers(rows, name) for name in ("epoch", *columns)}
    starts = [place for place, key in enumerate(keys) if place == 0 or key != keys[place - 1]]
    found: dict[str, dict[str, dict[str, Array]]] = defaultdict(dict)
    for begin, end in pairwise([*starts, len(keys)]):
        run_id, which = keys[begin]
        found[run_id][which] = {name: array[begin:end] for name, array in arrays.items()}
    return found


def _trained_by(sweep: SweepRows, run_id: str, trained: set[str]) -> list[str]:
    if run_id in trained or run_id not in sweep.runs:
        return [run_id]
    measured = [needed for needed in sweep.runs[run_id]["inputs"] if needed in trained]
    return measured if len(measured) == 1 else []


def _over_seeds(
    trial: int, weights: str, seeds: Sequence[Mapping[str, Array]], columns: Sequence[str]
) -> LearningCurve:
    epochs = seeds[0]["epoch"]
    for each in seeds[1:]:
        epochs = np.intersect1d(epochs, each["epoch"])
    picked = [np.searchsorted(each["epoch"], epochs) for each in seeds]
    stacked = {
        name: np.stack([each[name][places] for each, places in zip(seeds, picked, strict=True)]) for name in columns
    }
    means, least, most = ({k: of(v, axis=0) for k, v in stacked.items()} for of in (np.mean, np.min, np.max))
    return LearningCurve(trial, weights, len(seeds), epochs, means, least, most)

"""Stores of analytic surfaces, written by the real store, that pictures are drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from raysurf.report.pictures.kind import Picture
from raysurf.report.runs import MeasuredRun
from raysurf.results.api import Results, open
from raysurf.store.schemas import SCHEMAS
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support import stores
from tests.support.stores import Row as Row
from tests.support.stores import run as run

SGD = {"kind": "sgd", "model": "vgg16", "data": "cifar10", "seed": 0}
OTHER = SGD | {"seed": 1}
SWA = {"kind": "swa", "start": SGD, "cycle_epochs": 1}


def run_id(kind: str, number: int = 0) -> str:
    """An id as jobs have it, the number in its hex digits."""
    return f"{kind}-{number:04x}{'0' * 12}"


def points(run_id: str, geometry: str, places: Iterable[Row], loss: Callable[[Row], float | None]) -> list[Row]:
    """Rows of ``surface``: train, validation and test at every place; None as loss is a point that failed.

    They have every column, as rows that are read have.
    """
    rows = []
    for number, place in enumerate(places):
        value = loss(place)
        for split in ("train", "validation", "test"):
            measured: Row = {"failure": "diverged"}
            if value is not None:
                measured = {"loss": value, "nll": value - 0.01, "error": 0.05 + 0.12 * math.tanh(value)}
            row = {"run_id": run_id, "geometry": geometry, "point": number, "split": split, "l2": 0.01, "distance": 0.0}
            rows.append(dict.fromkeys(SCHEMAS["surface"].names) | row | {"batchnorm": "reestimate"} | place | measured)
    return rows


def along(num: int, length: float, margin: float = 0.0) -> list[Row]:
    """Places on a line; distances are travelled from the first point, as jobs say them."""
    step = (1 + 2 * margin) / (num - 1)
    return [{"t": i * step - margin, "distance": i * step * length} for i in range(num)]


def grid(x: list[float], y: list[float]) -> list[Row]:
    """Places of a plane, row by row."""
    return [{"x": a, "y": b, "distance": math.hypot(a, b)} for b in y for a in x]


def rays(origin: str, num: int, length: float) -> list[Row]:
    """Places along rays: the origin once, then ray by ray."""
    places: list[Row] = [{"origin": origin, "t": 0.0}]
    for ray in range(num):
        places += [{"origin": origin, "ray": ray, "t": k / 10, "distance": k / 10 * length} for k in range(1, 11)]
    return places


def weights(run_id: str, number: int, name: str, x: float, y: float, off_plane: float = 0.0) -> Row:
    """The ``landmarks`` row of weights."""
    return {
        "run_id": run_id,
        "landmark": number,
        "name": name,
        "source": "sgd-0",
        "geometry": "weights",
        "position": 0,
        "x": x,
        "y": y,
        "off_plane": off_plane,
    }


def line(
    run_id: str, number: int, name: str, geometry: str, places: list[tuple[float, float]], source: str = "curve-0"
) -> list[Row]:
    """The ``landmarks`` rows of a curve or path."""
    return [
        weights(run_id, number, name, x, y)
        | {"source": source, "geometry": geometry, "position": i, "t": i / (len(places) - 1)}
        for i, (x, y) in enumerate(places)
    ]


def store(
    root: Path,
    runs: list[Row],
    surface: Sequence[Row] = (),
    landmarks: Sequence[Row] = (),
    trials: Sequence[Row] = (),
    **others: Sequence[Row],
) -> Results:
    """Write rows, a part a run as jobs do, and open them."""
    written = Store(str(root))
    for table, rows in {"runs": runs, "surface": surface, "landmarks": landmarks, **others}.items():
        for part in dict.fromkeys(row["run_id"] for row in rows):
            write_rows(written, table, part, [row for row in rows if row["run_id"] == part])
    if trials:
        write_rows(written, "trials", "trials", trials)
    return open(str(root))


def trial(sweep: str, run_ids: list[str]) -> Row:
    """A row of ``trials``."""
    return stores.trial(sweep, arm="a", run_ids=run_ids, metric="test/error", mode="min", state="running")


def picture(rows: Iterable[Row], *runs: str | MeasuredRun, labels: Sequence[str] = (), **columns: Any) -> Picture:
    """A picture of some runs, called by their ids if they have no labels."""
    measured = [MeasuredRun(run) if isinstance(run, str) else run for run in runs]
    ids = [run.run_id for run in measured]
    named = dict(zip(ids, labels or ids, strict=True))
    return Picture(measured, named, list(rows), **{"title": "t", "data": "digits", **columns})

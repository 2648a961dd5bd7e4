"""A store of one large sweep, its rows made by rule and written by the real store: trials, runs, epochs and planes."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from raysurf.results.api import Results, open
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.measured_rows import Row, grid, line, points, run, run_id, weights
from tests.support.noisy_rows import VARIANCE, prediction
from tests.support.stores import trial

SWEEP = "large"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
TRACEBACK = 'Traceback (most recent call last):\n  File "/x/raysurf/training/loop.py", line 9, in fit\n    raise\n'
DIVERGED = f"{TRACEBACK}raysurf.errors.DivergedError: the loss is not finite at epoch 1, step 3; it never was\n"


def large_sweep(root: Path, trials: int = 200, epochs: int = 20, nodes: int = 21, planes: int = 2) -> Results:
    """Write a search of a conditional space, every 25th trial of which failed, and planes beside it.

    Args:
        root: The store's folder.
        trials: How many.
        epochs: Rows of ``epochs`` a trial.
        nodes: Of a plane, along each axis.
        planes: How many.
    """
    store, draw = Store(str(root)), random.Random(0)
    for number in range(trials):
        _trial(store, draw, number, epochs)
    for number in range(planes):
        _plane(store, number, nodes)
    return open(str(root))


def _trial(store: Store, draw: random.Random, number: int, epochs: int) -> None:
    name, failed = run_id("variational", number), number % 25 == 24
    params: Row = {"lr": 10 ** draw.uniform(-4, -1), "momentum": draw.uniform(0, 0.95), "width": draw.randint(1, 6)}
    params |= {"init": draw.choice(["kaiming", "uniform"])}
    params[f"init.{params['init']}.scale"] = 10 ** draw.uniform(-1, 1)
    nll = 0.1 + abs(math.log10(params["lr"]) + 2.5) * 0.2 + 0.05 * params["momentum"] + 0.02 * draw.random()
    began = BEGAN + timedelta(minutes=number)
    row = run(name, VARIANCE, sweep=SWEEP, trial=number, group=f"g{number}", params=json.dumps(params))
    row |= {"status": "failed", "error": DIVERGED} if failed else {"error": None}
    metrics = {} if failed else {"validation/nll": nll, "test/accuracy": 1 - nll / 4, "test/nll": nll}
    row |= {"metrics": json.dumps(metrics), "wall_s": 40.0 + number % 7, "device_s": 40.0 + number % 7, "workers": 1}
    row |= {"versions": json.dumps({"python": "3.11.0", "torch": "2.6.0", "ray": "2.52.0"}), "epochs": float(epochs)}
    row |= {"started_at": began, "device": "cpu", "git_commit": "0123abcd" * 5, "git_dirty": False}
    write_rows(store, "runs", name, [row])
    tried = trial(SWEEP, number, arm="variational", params=json.dumps(params), run_ids=[name], metric="validation/nll")
    tried |= {"mode": "min", "state": row["status"], "value": None if failed else nll, "started_at": began}
    tried |= {"wall_s": 40.0, "error": "DivergedError: the loss is not finite (loop.py:9)" if failed else None}
    write_rows(store, "trials", f"{SWEEP}-{number:06d}", [tried])
    if failed:
        return
    rows = [
        {"run_id": name, "epoch": epoch, "weights": "iterate", "lr": params["lr"] * (1 - epoch / (epochs + 1))}
        | {"epoch_s": 2.0, **_falling(draw, nll, epoch)}
        for epoch in range(1, epochs + 1)
    ]
    write_rows(store, "epochs", name, rows)
    accuracy = 1 - nll / 4
    predicted = [prediction(name, "deterministic", 1, accuracy - 0.1, nll + 0.5)]
    predicted += [prediction(name, "ensemble", k, accuracy - 0.05 / k, nll + 0.2 / k, ece=0.02) for k in (1, 2, 5, 10)]
    write_rows(store, "predictions", name, predicted)


def _falling(draw: random.Random, nll: float, epoch: int) -> Row:
    """The metrics of an epoch, which fall towards those of the end and are not smooth."""
    now = nll * (1 + 4 / epoch) * draw.uniform(0.9, 1.1)
    names = ("train_loss", "train_error", "train_nll", "validation_loss", "validation_error", "validation_nll")
    return {name: now / 4 if name.endswith("error") else now for name in names}


def _plane(store: Store, number: int, nodes: int) -> None:
    name = run_id("plane", number)
    write_rows(store, "runs", name, [run(name, sweep=SWEEP, trial=None, role="baseline", started_at=BEGAN)])
    along = [20.0 * i / (nodes - 1) for i in range(nodes)]
    surface = points(
        name, "plane", grid(along, along), lambda at: 0.02 + 0.02 * ((at["x"] - 10) ** 2 + (at["y"] - 4 - number) ** 2)
    )
    write_rows(store, "surface", name, surface)
    marks = [weights(name, 0, "first", 2, 2), weights(name, 1, "second", 18, 2), weights(name, 2, "bend", 10, 15)]
    marks += line(name, 3, "curve", "curve", [(2, 2), (10, 15), (18, 2)])
    write_rows(store, "landmarks", name, marks)

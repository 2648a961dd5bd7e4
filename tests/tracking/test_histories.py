"""Rows as steps of a history: axes that only rise, every figure once, not more steps than W&B bears."""

from __future__ import annotations

from typing import Any

from raysurf.tracking.run_contents import History


def epoch(number: int, weights: str = "iterate", **metrics: float) -> dict[str, Any]:
    return {"epoch": number, "weights": weights, "lr": 0.1, "kl": None, "train_loss": None, **metrics}


def point(number: int, geometry: str = "line", split: str = "test") -> dict[str, Any]:
    place = {"point": number, "geometry": geometry, "split": split, "t": number / 10, "distance": float(number)}
    return {**place, "loss": number + 0.5, "nll": None, "error": None}


def test_epochs_go_on_from_run_to_run() -> None:
    """Epochs of a run are counted on from those of the runs before it, whose last one is known by then."""
    history = History(("start", "swa"))
    first = [step["epoch"] for step in history.new_epochs("start", [epoch(n, train_loss=1.0) for n in (1, 2, 3)])]
    assert first == [1, 2, 3]
    assert [step["epoch"] for step in history.new_epochs("swa", [epoch(1), epoch(2)])] == [4, 5]


def test_metrics_that_come_later_are_told_alone() -> None:
    """What is measured of an epoch after its step was told makes a step with these metrics only; nothing is twice."""
    history = History(("swa",))
    rows = [epoch(1, train_loss=0.5)]
    assert list(history.new_epochs("swa", rows)) == [{"epoch": 1, "lr": 0.1, "train/loss": 0.5}]
    rows.append(epoch(1, "average", validation_error=0.25))
    assert list(history.new_epochs("swa", rows)) == [{"epoch": 1, "average/validation/error": 0.25}]
    assert list(history.new_epochs("swa", rows)) == []


def test_points_in_any_order_are_each_told_once() -> None:
    """Workers measure the points of a line in pieces; each is told once, whenever it comes."""
    history = History(("profile",))
    positions = [step["t"] for step in history.new_points("profile", [point(0), point(5)])]
    positions += [step["t"] for step in history.new_points("profile", [point(n) for n in (0, 1, 5, 6)])]
    assert positions == [0, 0.5, 0.1, 0.6]


def test_planes_and_rays_are_no_curves() -> None:
    """Points of planes and rays have no place on one axis: they are tables and pictures."""
    rows = [point(0, "plane"), point(1, "ray")]
    assert list(History(("plane",)).new_points("plane", rows, ends=True)) == []


def test_live_steps_are_thinned_too() -> None:
    """However often its rows are looked at, a run of 2,000 epochs has 500 steps, and the last one at its end."""
    history = History(("sgd",), expected_rows=1999)
    rows: list[dict[str, Any]] = []
    epochs = []
    for n in range(1, 2000):
        rows.append(epoch(n))
        epochs += [step["epoch"] for step in history.new_epochs("sgd", rows[-3:])]
    assert len(epochs) == 499
    epochs += [step["epoch"] for step in history.new_epochs("sgd", rows, ends=True)]
    assert (len(epochs), epochs[-1]) == (500, 1999)

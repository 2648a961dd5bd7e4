"""What W&B gets of a sweep that was run before, or without it."""

from __future__ import annotations

from pathlib import Path

import raysurf as rs
from raysurf.cluster.events import Event
from raysurf.cluster.listeners import WandbListener
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd
from tests.support.wandb_records import read, read_all


def test_what_was_run_without_wandb_is_logged_later(tmp_path: Path) -> None:
    """A sweep that ran with W&B off is logged whole when it is run again with it, and only once."""
    sweep = rs.Sweep(rs.Predict(weights=tiny_sgd(seed=0)), name="late")
    heard: list[Event] = []
    for mode in ("off", "offline", "offline"):
        with WandbListener(Store(str(tmp_path)), mode, heard.append) as tracker:
            rs.run(sweep, str(tmp_path), executor="inline", listener=tracker)
        if mode == "off":
            assert not (tmp_path / "wandb").exists()
            assert tracker.notice == ""
    runs = read_all(tmp_path, ended=2)
    assert sorted(run.run["job_type"] for run in runs.values()) == ["predict", "sgd"]
    (base,) = (run for run in runs.values() if run.run["job_type"] == "sgd")
    assert [step["epoch"] for step in base.history] == [1, 2]
    assert base.config["model.name"] == "digits_conv"
    assert base.config["group"] == tiny_sgd().group
    assert heard == []
    assert "wandb leet" in tracker.notice


def test_a_shared_run_is_in_the_group_of_every_sweep(tmp_path: Path) -> None:
    """What a later sweep uses again is logged as one of its own too, once, whoever runs again."""
    first, later = (
        rs.Sweep(tiny_sgd(epochs=1), seeds=seeds, name=name) for name, seeds in (("first", (0,)), ("later", (0, 1)))
    )
    for sweep in (first, later, later, first):
        with WandbListener(Store(str(tmp_path)), "offline", lambda event: None) as tracker:
            rs.run(sweep, str(tmp_path), executor="inline", listener=tracker)
    runs = [read(folder) for folder in (tmp_path / "wandb").glob("offline-run-*")]
    logged = sorted((run.run["group"], run.config["run_seed"], run.exit_code) for run in runs)
    assert logged == [("first", 0, 0), ("later", 0, 0), ("later", 1, 0)]
    assert len({run.run["id"] for run in runs}) == 3


def test_every_seed_has_its_own_metrics(tmp_path: Path) -> None:
    """The summary of each seed's run is what the table has for it, whichever seed ended last."""
    sweep = rs.Sweep(tiny_sgd(epochs=1), seeds=(0, 1), name="seeds")
    with WandbListener(Store(str(tmp_path)), "offline", lambda event: None) as tracker:
        rs.run(sweep, str(tmp_path), executor="inline", listener=tracker)
    rows = rs.results.open(str(tmp_path)).table("predictions", where="split = 'validation'").to_pylist()
    assert rows[0]["nll"] != rows[1]["nll"]
    runs = [read(folder) for folder in (tmp_path / "wandb").glob("offline-run-*")]
    logged = {run.run["id"].rpartition("-")[0]: run.summary["validation/nll"] for run in runs}
    assert logged == {row["run_id"]: row["nll"] for row in rows}

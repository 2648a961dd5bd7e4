"""Sweeps through real Ray: Tune trials, Train groups, stopping, failing."""

from __future__ import annotations

import itertools
import json
import logging
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

import raysurf as rs
from raysurf import own_code
from raysurf.cluster import events
from raysurf.errors import ChangedError, ResourceError
from raysurf.jobs.job import to_tree
from raysurf.jobs.outcome import outcome_path
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from tests.support.cases import ROOT, tiny_sgd
from tests.support.sweep_runs import run, trials

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def swa_sweep(**settings: Any) -> rs.Sweep:
    """Six short trials with a conditional hole."""
    tree = rs.SWA(start=tiny_sgd(seed=0), epochs=2, lr=0.1).with_holes(
        cycle_epochs=rs.Int(1, 2),
        schedule=rs.Choice(
            (
                {"kind": "constant", "lr": rs.Float(0.01, 0.1, log=True)},
                {"kind": "cyclic", "high": rs.Float(0.1, 0.2), "low": rs.Float(0.01, 0.05)},
            )
        ),
    )
    tree.pop("lr")
    search = rs.Search(metric="validation/nll", trials=6, seed=1, batch=2)
    return rs.Sweep(tree, **{"search": search, "name": "swa", **settings})


def test_tune_and_inline_are_one(tmp_path: Path) -> None:
    """Through Tune and in this process a sweep has the same trials and values, and is not run again by either."""
    ran = run(swa_sweep(), tmp_path / "ray", executor="ray")
    rs.run(swa_sweep(), str(tmp_path / "inline"), executor="inline")
    assert (ran.finished.trials, ran.finished.inputs, ran.finished.failed) == (6, 1, 0)
    assert trials(tmp_path / "ray") == trials(tmp_path / "inline")
    assert len({row["params"] for row in trials(tmp_path / "ray")}) == 6
    ends = [event for event in ran.events if isinstance(event, events.RunEnded)]
    assert sorted(event.number for event in ends if event.label.startswith("trial")) == list(range(6))
    assert not (tmp_path / "ray" / "_ray").exists()
    store = Store(str(tmp_path / "inline"))
    before = {path: store.get_bytes(path) for path in store.list("tables/runs")}
    assert run(swa_sweep(), tmp_path / "inline", executor="ray").begun == []
    more = swa_sweep(search=rs.Search(metric="validation/nll", trials=8, seed=1, batch=2))
    assert run(more, tmp_path / "inline").begun == [6, 7]
    assert {path: store.get_bytes(path) for path in before} == before


@pytest.mark.parametrize("executor", ["ray", "inline"])
def test_budgets_of_a_sweep_cost_one_run(executor: Literal["ray", "inline"], tmp_path: Path) -> None:
    """Three budgets by !each, the largest first, train the epochs of the largest; the plan says so beforehand."""
    start = tiny_sgd(epochs=4, until=3)
    tree = rs.SWA(start=start, budget=1, lr=0.1).with_holes(budget=rs.Each((2.0, 1.5, 1.0)))
    ran = run(rs.Sweep(tree, name="budgets"), tmp_path, executor=executor)
    ends = [event for event in ran.events if isinstance(event, events.RunEnded) and event.label.startswith("trial")]
    assert [end.number for end in ends] == [2, 1, 0]
    store = Store(str(tmp_path))
    ended = {Path(path).name for path in store.list("trajectories") if "/swa-" in path and path.endswith(".json")}
    assert ended == {"end1.json", "end3.json", "end5.json"}
    spent = rs.results.open(str(tmp_path)).sql("select budget from runs where kind = 'swa' order by budget")
    assert spent["budget"].to_pylist() == [1.0, 1.5, 2.0]
    first_epochs = rs.results.open(str(tmp_path)).sql(
        "select count(distinct epoch_s) as trained from epochs where run_id like 'swa-%' and weights = 'iterate'"
    )
    assert first_epochs["trained"].to_pylist() == [5]


def test_seeds_run_beside_one_another(tmp_path: Path) -> None:
    """Seeds of known trials are handed out one by one; each trial begins and ends once, and fails with one of its."""
    # Long enough for the second process to come up before the first has done them all.
    tree = tiny_sgd(epochs=20).with_holes(lr=rs.Each((0.1, 1e9)))
    ran = run(rs.Sweep(tree, name="seeds", seeds=(1, 2, 3)), tmp_path, executor="ray")
    for kind in (events.RunStarted, events.RunEnded):
        assert sorted(event.number for event in ran.events if isinstance(event, kind)) == [0, 1]
    assert [row["state"] for row in trials(tmp_path)] == ["done", "failed"]
    assert "DivergedError" in trials(tmp_path)[1]["error"]
    runs = rs.results.open(str(tmp_path)).table("runs").to_pylist()
    assert sorted((row["trial"], row["role"], row["seed"], row["status"]) for row in runs) == [
        (trial, "trial", seed, status) for trial, status in enumerate(("done", "failed")) for seed in (1, 2, 3)
    ]
    spans = sorted((row["started_at"].timestamp(), row["wall_s"]) for row in runs)
    assert any(later < began + wall_s for (began, wall_s), (later, _) in itertools.pairwise(spans))


def test_replicates_give_mean_and_spread(tmp_path: Path) -> None:
    """A trial's value is the mean of its seeds, with their deviation; its runs have one group and configuration."""
    tree = tiny_sgd().with_holes(momentum=rs.Each((0.0, 0.9)))
    sweep = rs.Sweep(tree, name="seeds", seeds=(1, 2, 3))
    rs.run(sweep, str(tmp_path), executor="inline")
    rows = trials(tmp_path)
    assert [row["arm"] for row in rows] == ["sgd momentum=0.0", "sgd momentum=0.9"]
    runs = {row["run_id"]: row for row in rs.results.open(str(tmp_path)).table("runs").to_pylist()}
    assert len(runs) == 6
    for row in rows:
        assert len({runs[run_id]["group"] for run_id in row["run_ids"]}) == 1
        assert [runs[run_id]["seed"] for run_id in row["run_ids"]] == [1, 2, 3]
    searched = tiny_sgd().with_holes(lr=rs.Choice((0.1,)))
    search = rs.Search(metric="validation/nll", sampler="grid")
    rs.run(rs.Sweep(searched, search, name="mean", seeds=(1, 2, 3)), str(tmp_path), executor="inline")
    (row,) = rs.results.open(str(tmp_path)).table("trials", where="sweep = 'mean'").to_pylist()
    runs = {row["run_id"]: row for row in rs.results.open(str(tmp_path)).table("runs").to_pylist()}
    values = [json.loads(runs[run_id]["metrics"])["validation/nll"] for run_id in row["run_ids"]]
    mean = sum(values) / 3
    assert row["value"] == pytest.approx(mean)
    assert row["std"] == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)


def test_bad_trials_are_stopped_early_and_failed_ones_are_rows(tmp_path: Path) -> None:
    """ASHA ends hopeless rates early, and never the best; one that diverges is a row with its reason, and stays."""
    tree = tiny_sgd(epochs=9).with_holes(lr=rs.Choice((0.1, 1e9, 1e-6, 2e-6, 3e-6)))
    search = rs.Search(metric="validation/accuracy", sampler="grid", stopping=rs.Stopping(grace_epochs=1, reduction=2))
    # One after another: which of two processes is up first would decide who is compared with whom.
    sweep = rs.Sweep(tree, search, name="asha", resources=rs.Resources(cpus=2))
    for _ in range(2):
        assert rs.run(sweep, str(tmp_path)).failed == 1
        rows, results = trials(tmp_path), rs.results.open(str(tmp_path))
        assert [row["state"] for row in rows[:4]] == ["done", "failed", "stopped", "stopped"]
    assert "DivergedError: the loss is not finite at epoch" in rows[1]["error"]
    (failed,) = results.table("runs", where="status = 'failed'").to_pylist()
    assert "Traceback" in failed["error"]
    assert results.best("asha")["trial"] == 0
    stopped = [run_id for row in rows if row["state"] == "stopped" for run_id in row["run_ids"]]
    assert set(results.table("runs", where="status = 'stopped'")["run_id"].to_pylist()) == set(stopped)


def test_workers_find_plugs_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed nowhere and lies beside the sweep file is found by Ray's workers too."""
    monkeypatch.setattr(own_code, "_folders", [])
    monkeypatch.setattr(sys, "path", [*sys.path])
    rs.run(rs.load(ROOT / "tests" / "examples" / "plug_package" / "plugs.yaml"), str(tmp_path), only=["sweep=shrunk"])
    runs = rs.results.open(str(tmp_path)).table("runs", where="kind = 'shrunk'")
    assert runs["status"].to_pylist() == ["done", "done"]


def plain(num_classes: int, image_shape: tuple[int, int, int]) -> Any:
    """A network without batch norm, whose gradient does not depend on how a batch is shared."""
    from torch import nn

    size = image_shape[0] * image_shape[1] * image_shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, num_classes))


def varied(tree: Any, hole: Any) -> Any:
    """The tree with a hole for the rate of every base network in it, so that all of it is part of the one trial."""
    if isinstance(tree, list):
        return [varied(item, hole) for item in tree]
    if not isinstance(tree, dict):
        return tree
    inner = {key: varied(value, hole) for key, value in tree.items()}
    return inner | {"lr": hole} if tree.get("kind") == "sgd" else inner


@pytest.mark.slow
def test_two_workers_follow_one(tmp_path: Path) -> None:
    """sgd, swa, curve, path and profile on a Ray Train group of two have the metrics of one worker."""
    net = rs.ModelSpec(name="tests.cluster.test_sweeps_in_ray:plain")
    ends = [tiny_sgd(model=net, seed=seed) for seed in (0, 1)]
    averaged = rs.SWA(start=ends[0], epochs=2, lr=0.05)
    curve = rs.Curve(start=averaged, end=ends[1], num_bends=1, epochs=2, lr=0.05, t_strata=2)
    path = rs.Path(start=averaged, end=ends[1], cycles=(rs.Cycle(epochs=1, lr=0.05, insert=2),), num_between=1)
    points = (averaged, rs.PointOf(of=curve, name="bend1"), rs.PointOf(of=path, name="pivot1"))
    job = rs.Profile(along=rs.Chain(weights=points), num_points=3)
    search = rs.Search(metric="train/max_loss", sampler="grid", trials=1)
    both = {}
    for workers in (1, 2):
        root = str(tmp_path / str(workers))
        tree = varied(to_tree(job), rs.Choice((0.1, 0.2)))
        sweep = rs.Sweep(tree, search, name="group", resources=rs.Resources(workers=workers))
        assert rs.run(sweep, root, executor="inline" if workers == 1 else "ray").failed == 0
        both[workers] = rs.results.open(root)
    for table, keys, columns in (
        ("epochs", "run_id, epoch, weights", "train_nll, train_loss, validation_loss"),
        ("surface", "run_id, point, split", "distance, loss, error"),
    ):
        query = f"select {keys}, {columns} from {table} order by {keys}"
        one, two = (both[workers].sql(query).to_pylist() for workers in (1, 2))
        assert len(one) == len(two) > 0
        for a, b in zip(one, two, strict=True):
            for name, value in a.items():
                same = value is None or isinstance(value, str | int)
                assert b[name] == (value if same else pytest.approx(value, rel=1e-3, abs=0.01 * (name == "error")))
    assert set(both[2].table("runs")["workers"].to_pylist()) == {2}
    assert sorted(both[2].table("runs")["kind"].to_pylist()) == ["curve", "path", "profile", "sgd", "sgd", "swa"]


def test_what_cannot_be_had_is_said_at_once(tmp_path: Path) -> None:
    """More workers, CPUs or GPUs than there are is an error before anything starts or is written."""
    for needs in ({"workers": 500}, {"cpus": 999}, {"gpus": 64}):
        sweep = rs.Sweep(tiny_sgd(), name="huge", resources=rs.Resources(**needs))
        with pytest.raises(ResourceError, match=r"sweep 'huge' asks for .* expected at most the"):
            rs.run(sweep, str(tmp_path / "r"))
    assert not list(tmp_path.iterdir())


def test_trials_of_a_failed_input_fail_at_once(tmp_path: Path) -> None:
    """When a shared input fails, its trials are not tried, and say why; a sweep beside them goes on."""
    job = rs.SWA(start=tiny_sgd(lr=1e9, epochs=3, seed=0), epochs=1, lr=0.1).with_holes(momentum=rs.Each((0.0, 0.5)))
    good = rs.Sweep(tiny_sgd(), name="good")
    finished = run([rs.Sweep(job, name="bad"), good], tmp_path).finished
    assert (finished.trials, finished.inputs, finished.failed) == (3, 1, 3)
    rows = {(row["sweep"], row["trial"]): row for row in rs.results.open(str(tmp_path)).table("trials").to_pylist()}
    assert rows["good", 0]["state"] == "done"
    assert "its input sgd-" in rows["bad", 1]["error"]
    assert "DivergedError" in rows["bad", 1]["error"]
    again = run(rs.Sweep(job, name="bad"), tmp_path).events
    assert [event.label[:5] for event in again if isinstance(event, events.RunStarted)] == ["input", "trial", "trial"]


def test_relative_paths_are_the_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray worker reads a file, and writes the results, where the driver's relative path leads."""
    import torch

    from raysurf.models import registry

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    net = registry.build("digits_conv", num_classes=10, image_shape=(1, 8, 8))
    torch.save(net.state_dict(), "net.pt")
    job = rs.Weights(model="digits_conv", data="digits", file="net.pt")
    assert rs.run(rs.Sweep(job, name="weights"), "out").failed == 0
    assert rs.results.open("out").table("predictions").num_rows == 3


def test_what_a_worker_finds_changed_ends_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input of another network than there is now ends a run in order, by one error; no row says that it failed."""
    start = tiny_sgd(epochs=1)
    rs.run(start, str(tmp_path), executor="inline")
    store = Store(str(tmp_path))
    outcome = store.get_json(outcome_path(start.id))
    outcome["fingerprints"]["model_shapes"] = "another"
    store.put_json(outcome_path(start.id), outcome)
    job = rs.SWA(start=start, epochs=1, lr=0.1)
    # Ray's logs do not reach the root logger.
    monkeypatch.setattr(logging.getLogger("ray"), "propagate", True)
    with pytest.raises(ChangedError, match=rf"{start.id}.*names and shapes.*expected another"):
        rs.run(rs.Sweep(job, name="on_top"), str(tmp_path))
    assert not read_rows(store, "runs", job.id)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert rs.run(rs.Sweep(job, name="on_top"), str(tmp_path), accept_changed=True).failed == 0

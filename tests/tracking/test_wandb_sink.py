"""The W&B sink: real offline files, read back by a reader of our own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from raysurf.errors import TrackingError
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from raysurf.tracking.login import resolve_mode
from raysurf.tracking.run_contents import wandb_id
from raysurf.tracking.wandb_runs import TrackedRun, WandbSink
from tests.support.cases import ROOT
from tests.support.logged_run import CONFIG, log
from tests.support.wandb_records import OfflineRun, read, read_all


def test_rows_become_a_run(tmp_path: Path) -> None:
    """History, config, group and summary of the offline file are those of the rows; nothing is warned of."""
    store, warnings = Store(str(tmp_path)), list[str]()
    sink = WandbSink(str(tmp_path), "sweep-a", mode="offline", on_warning=warnings.append)
    log(sink, store)
    common = {"run_id": "swa-1", "weights": "average", "scheme": "deterministic", "num_samples": 1, "split": "test"}
    row = {"accuracy": 0.9, "nll": 0.3, "brier": 0.2, "ece": 0.1, "num_examples": 5, "batchnorm": "none"}
    write_rows(store, "predictions", "swa-1", [common | row])
    sink.close_run("swa-1", {"state": "done", "objective": 0.25}, failed=False)
    sink.close()
    run = read_all(tmp_path, ended=1)["swa-1"]
    assert warnings == []
    assert run.run == {
        "id": wandb_id(store, "swa-1"),
        "group": "sweep-a",
        "name": "trial 0",
        "tags": ["trial"],
        "job_type": "swa",
    }
    assert {k: run.config[k] for k in CONFIG} == CONFIG
    assert [step["epoch"] for step in run.history] == [1, 2, 3]
    assert [step["train/loss"] for step in run.history] == [1, 0.5, 1 / 3]
    assert [step["average/validation/error"] for step in run.history] == [0.5, 0.25, 0.5 / 3]
    assert (run.summary["objective"], run.summary["average/test_accuracy"]) == (0.25, 0.9)
    assert run.exit_code == 0
    assert "wandb leet" in sink.notice
    assert "raysurf sync" in sink.notice


def test_schemes_and_noisy_layers_are_in_the_summary(tmp_path: Path) -> None:
    """Each scheme has its own metrics, an ensemble those of its most samples; layers have theirs, epochs the KL."""
    store = Store(str(tmp_path))
    sink = WandbSink(str(tmp_path), "noise", mode="offline", on_warning=lambda text: None)
    sink.open_run(TrackedRun("v-1", name="trial 0", job_type="variational", follow=["v-1"]))
    epoch = {"run_id": "v-1", "epoch": 1, "weights": "iterate", "lr": 0.1, "epoch_s": 1.0, "kl": 12.5}
    write_rows(store, "epochs", "v-1", [epoch])
    sink.rows_changed("v-1")
    common = {"run_id": "v-1", "weights": "final", "split": "test", "num_examples": 5, "batchnorm": "none"}
    common |= {"nll": 0.3, "brier": 0.2, "ece": 0.1}
    measured = [("deterministic", 1, 0.1), ("ensemble", 10, 0.99), ("ensemble", 2, 0.97), ("stochastic", 1, 0.95)]
    rows = [{**common, "scheme": scheme, "num_samples": n, "accuracy": accuracy} for scheme, n, accuracy in measured]
    write_rows(store, "predictions", "v-1", rows)
    layer = {"run_id": "v-1", "layer": "dense1", "position": 0, "num_weights": 8, "sigma": 0.1, "snr": 1e-5, "kl": 2.0}
    write_rows(store, "layers", "v-1", [{**layer, "mmd": 1e-6, "mmd_closed": 1e-6, "num_draws": 9, "log_alpha": 11.5}])
    sink.close_run("v-1", {"state": "done"}, failed=False)
    sink.close()
    run = read_all(tmp_path, ended=1)["v-1"]
    names = ("test_accuracy", "ensemble/test_accuracy", "stochastic/test_accuracy")
    assert [run.summary[f"final/{name}"] for name in names] == [0.1, 0.99, 0.95]
    assert (run.summary["layers/dense1/snr"], run.summary["layers/dense1/log_alpha"]) == (1e-5, 11.5)
    assert run.history[0]["train/kl"] == 12.5


def logged(root: Path, run: TrackedRun, sweep: str = "s", failed: bool = False, **settings: Any) -> OfflineRun:
    """What a sink writes of one run that begins and ends."""
    sink = WandbSink(str(root), sweep, mode="offline", **settings)
    sink.open_run(run)
    sink.close_run(run.run_id, {"error": "it broke"} if failed else {}, failed=failed)
    sink.close()
    return read_all(root, ended=1)[run.run_id]


def test_points_of_a_surface_are_steps(tmp_path: Path) -> None:
    """A profile's points are steps along t, its splits side by side."""
    store = Store(str(tmp_path))
    point = {"run_id": "profile-1", "geometry": "curve", "batchnorm": "none", "nll": 0.1, "error": 0.2, "l2": 0.0}
    rows = [
        {**point, "point": i, "t": i / 2, "split": split, "loss": i + 0.5, "distance": float(i)}
        for i in range(3)
        for split in ("train", "test")
    ]
    write_rows(store, "surface", "profile-1", rows)
    tracked = TrackedRun("profile-1", name="p", job_type="profile", follow=["curve-1", "profile-1"])
    run = logged(tmp_path, tracked, failed=True)
    assert [(step["t"], step["curve/train_loss"], step["curve/test_loss"]) for step in run.history] == [
        (0, 0.5, 0.5),
        (0.5, 1.5, 1.5),
        (1, 2.5, 2.5),
    ]
    assert run.exit_code == 1


def test_long_runs_are_thinned(tmp_path: Path) -> None:
    """Of 2,000 epochs at most some 500 are logged, the last among them."""
    store = Store(str(tmp_path))
    rows = [{"run_id": "sgd-1", "epoch": n, "weights": "iterate", "lr": 0.1, "epoch_s": 1.0} for n in range(1, 2001)]
    write_rows(store, "epochs", "sgd-1", rows)
    run = logged(tmp_path, TrackedRun("sgd-1", name="p", job_type="sgd", follow=["sgd-1"], expected_rows=2000))
    epochs = [step["epoch"] for step in run.history]
    assert 500 <= len(epochs) <= 501
    assert epochs[-1] == 2000


LOGS = """
import sys, time
from raysurf.store.store import Store
from raysurf.tracking.wandb_runs import WandbSink
from tests.support.logged_run import log
sink = WandbSink(sys.argv[1], "sweep-a", mode="offline")
log(sink, Store(sys.argv[1]))
"""
KILLED = LOGS + "time.sleep(60)"
ENDED = LOGS + "sink.close_run('swa-1', {}, failed=False); sink.close()"


def test_killed_process_loses_no_row_and_doubles_none(tmp_path: Path) -> None:
    """Rows are in the file before the end, and SIGKILL loses none; a second sink logs the run anew, a third nothing."""
    # wandb hands its service on to child processes through the environment; this one is to have its own.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_SERVICE")}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, env=alone)
    until = time.monotonic() + 50
    while len(_epochs(tmp_path)) < 3:
        assert time.monotonic() < until, "the rows do not come"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert _epochs(tmp_path) == [1, 2, 3]
    for _ in range(2):
        sink = WandbSink(str(tmp_path), "sweep-a", mode="offline")
        log(sink, Store(str(tmp_path)), count=5)
        sink.close_run("swa-1", {}, failed=False)
        sink.close()
        assert [step["epoch"] for step in read_all(tmp_path, ended=1)["swa-1"].history] == [1, 2, 3, 4, 5]


def _epochs(folder: Path) -> list[int]:
    """Epochs in a run's file, as far as it is written."""
    files = [file for file in folder.glob("wandb/offline-run-*/run-*.wandb") if file.stat().st_size]
    return [step["epoch"] for file in files for step in read(file.parent).history]


def test_no_secret_is_kept(tmp_path: Path) -> None:
    """Neither keys on the command line nor those of the environment are in any file of W&B's."""
    secrets = {"WANDB_API_KEY": "0123456789abcdef" * 2 + "01234567", "RAY_AUTH_TOKEN": "t0ken-of-the-cluster"}
    alone = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_SERVICE")}
    command = [sys.executable, "-c", ENDED, str(tmp_path), "--results", "s3://AKIA:s3cret-of-the-store@bucket"]
    subprocess.run(command, cwd=ROOT, env=alone | secrets, check=True)
    assert read_all(tmp_path, ended=1)["swa-1"].exit_code == 0
    for file in (path for path in (tmp_path / "wandb").rglob("*") if path.is_file()):
        for secret in (*secrets.values(), "s3cret-of-the-store"):
            assert secret.encode() not in file.read_bytes(), file


def test_failing_wandb_is_one_warning(tmp_path: Path) -> None:
    """A W&B that raises is told once, and the sweep's own calls go on as if nothing were."""
    (tmp_path / "wandb-place").write_text("a file where a folder should be")
    warnings: list[str] = []
    sink = WandbSink(
        str(tmp_path), "s", mode="offline", directory=str(tmp_path / "wandb-place"), on_warning=warnings.append
    )
    log(sink, Store(str(tmp_path)))
    sink.close_run("swa-1", {}, failed=False)
    sink.close()
    assert len(warnings) == 1
    assert "left out from here on" in warnings[0]


@pytest.mark.parametrize(
    ("wish", "environment", "expected"),
    [
        ("auto", {"WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_MODE": "disabled"}, "off"),
        ("auto", {"WANDB_MODE": "", "WANDB_API_KEY": "k" * 40}, "online"),
        ("auto", {"WANDB_MODE": "", "WANDB_API_KEY": ""}, "offline"),
        ("off", {"WANDB_API_KEY": "k" * 40}, "off"),
        ("offline", {"WANDB_API_KEY": "k" * 40}, "offline"),
    ],
)
def test_mode_follows_the_user(
    wish: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Offline by itself when nobody is logged in; a wish or W&B's own variables decide before that."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert resolve_mode(wish) == expected


def test_mode_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mode of W&B that there is not is refused, unless the run has it off."""
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(TrackingError, match="got WANDB_MODE=onlin; expected one of online, offline"):
        resolve_mode("auto")
    assert resolve_mode("off") == "off"


def test_long_names_are_cut(tmp_path: Path) -> None:
    """Tags, names and groups longer than W&B takes are cut, told apart, and said to be once; the run is logged."""
    warnings: list[str] = []
    sweep, tags = "s" * 150, ["my.networks." + "n" * 100 + end for end in ("a", "b")]
    tracked = TrackedRun("sgd-1", name=f"{sweep} trial 0", job_type="sgd", tags=[*tags, "", "trial"])
    run = logged(tmp_path, tracked, sweep, on_warning=warnings.append).run
    assert [len(tag) for tag in run["tags"]] == [64, 64, 5]
    assert len(set(run["tags"])) == 3
    assert (len(run["name"]), len(run["group"])) == (128, 128)
    assert len(warnings) == 1
    assert warnings[0].startswith("W&B takes 64 characters of a tag and 128 of a name")


def test_a_sink_that_wrote_nothing_names_no_folder(tmp_path: Path) -> None:
    """What is printed at the end is where the runs are, if there are any."""
    sink = WandbSink(str(tmp_path), "s", mode="offline")
    sink.close()
    assert sink.notice == ""


def test_closing_does_not_wait_for_ever(tmp_path: Path) -> None:
    """A sink whose work hangs is left behind with a warning."""
    warnings: list[str] = []
    sink = WandbSink(str(tmp_path), "s", mode="offline", on_warning=warnings.append)
    sink._orders.put(lambda: time.sleep(3))
    began = time.monotonic()
    sink.close(timeout_s=0.2)
    assert time.monotonic() - began < 2
    assert "did not finish within 0.2 s" in warnings[0]

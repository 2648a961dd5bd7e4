"""What arrives at a W&B server while a sweep runs, and what becomes of it when the server refuses or is away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.support.wandb_process import SWEEP, ids, in_process
from tests.support.wandb_records import read_all
from tests.support.wandb_server import WandbServer


def test_a_sweep_arrives(tmp_path: Path) -> None:
    """Runs of a group with names, tags and config; curves, tables, pictures, weights; a sweep of W&B's own."""
    with WandbServer() as server:
        printed = in_process(SWEEP, server.environment, str(tmp_path))
    assert printed == "project raysurf, group rates\n"
    assert server.unknown == []
    trials, lines = ids(tmp_path, "role = 'trial'"), ids(tmp_path, "kind = 'profile'")
    assert len(trials) == 2
    assert {run["groupName"] for run in server.runs.values()} == {"rates"}
    (native,) = server.sweeps
    config = yaml.safe_load(native["config"])
    assert config["metric"] == {"name": "objective", "goal": "minimize"}
    assert config["parameters"] == {
        "param/schedule/lr": {"min": 0.01, "max": 0.1, "distribution": "log_uniform_values"}
    }
    for run in trials:
        said = server.runs[run]
        assert (said["jobType"], said["sweep"]) == ("swa", "native1")
        assert {"trial", "swa", "digits_conv"} <= set(said["tags"])
        values = {name: entry["value"] for name, entry in json.loads(said["config"]).items() if name != "_wandb"}
        assert 0.01 <= values["param/schedule/lr"] <= 0.1
        assert len(values["inputs"]) == 1
        assert [step["epoch"] for step in server.history(run) if "epoch" in step] == [1, 2]
        assert server.summary(run)["objective"] == pytest.approx(server.summary(run)["average/validation_nll"])
        assert server.exit_code(run) == 0
        (table,) = (json.loads(data) for path, data in server.uploads.items() if f"{run}/media/table/pred" in path)
        assert {"weights", "scheme", "split", "accuracy"} <= set(table["columns"])
    (line,) = lines
    assert "sweep" not in server.runs[line] or server.runs[line]["sweep"] == ""
    assert [step["t"] for step in server.history(line) if "t" in step] == [0, 0.25, 0.5, 0.75, 1]
    (picture,) = (data for path, data in server.uploads.items() if f"{line}/media/images/picture/profile" in path)
    assert picture.startswith(b"\x89PNG")
    weights = {name for name in server.artifacts if name.startswith("weights-")}
    assert {name.split("-")[1] for name in weights} == {"sgd", "swa"}
    (base,) = (name for name in weights if "sgd" in name)
    assert {(run, base) for run in (*trials, line)} <= set(server.used)


@pytest.mark.parametrize("fault", ["refuses", "is away"])
def test_server_that_lets_nobody_in(fault: str, tmp_path: Path) -> None:
    """One warning; the sweep goes on, and its runs are whole in offline files."""
    with WandbServer() as server:
        wrong = {"WANDB_API_KEY": "f" * 40} if fault == "refuses" else {"WANDB_BASE_URL": "http://127.0.0.1:9"}
        lines = in_process(SWEEP, {**server.environment, **wrong}, str(tmp_path)).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("W&B cannot be reached: http://127.0.0.1:")
    assert ("refuses the key" if fault == "refuses" else "does not answer") in lines[0]
    assert "raysurf sync" in lines[1]
    assert server.runs == {}
    runs = read_all(tmp_path, ended=4)
    assert sorted(run.run["job_type"] for run in runs.values()) == ["profile", "sgd", "swa", "swa", "swa"]
    assert all(run.exit_code == 0 for run in runs.values())


GOES_AWAY = """
import os, sys, time
from tests.support.wandb_server import WandbServer
server = WandbServer().__enter__()
os.environ.update(server.environment)
from raysurf.store.store import Store
from raysurf.tracking.wandb_runs import WandbSink
from tests.support.logged_run import log
sink = WandbSink(sys.argv[1], "s", on_warning=print)
log(sink, Store(sys.argv[1]), count=2)
until = time.monotonic() + 60
while not any(map(server.history, server.runs)) and time.monotonic() < until:
    time.sleep(0.2)
print("arrived", len(server.runs))
server.__exit__()
log(sink, Store(sys.argv[1]), count=3)
sink.close_run("swa-1", {}, failed=False)
sink.close(timeout_s=120)
print(sink.mode)
"""


@pytest.mark.slow
def test_server_that_goes_away(tmp_path: Path) -> None:
    """A run that has begun to arrive when the server goes away is written offline, whole, after one warning."""
    arrived, warning, mode = in_process(GOES_AWAY, {}, str(tmp_path)).splitlines()
    assert (arrived, mode) == ("arrived 1", "offline")
    assert warning.startswith("W&B cannot be reached: ")
    run = read_all(tmp_path, ended=1)["swa-1"]
    assert [step["epoch"] for step in run.history] == [1, 2, 3]
    assert run.exit_code == 0

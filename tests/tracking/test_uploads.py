"""Runs that were written offline go to W&B later, each once."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from raysurf.tracking.run_folders import MARK
from tests.cases import ROOT
from tests.tracking.online import command, in_process
from tests.tracking.test_wandb_online import SWEEP, ids
from tests.wandb_server import WandbServer


def test_offline_runs_are_sent_once(tmp_path: Path) -> None:
    """Histories, summaries and media arrive, trials in a sweep of W&B's own; a second time nothing is sent."""
    in_process(SWEEP, {"WANDB_MODE": "offline"}, str(tmp_path))
    results = ("--results", str(tmp_path))
    (torn,) = [folder for folder in (tmp_path / "wandb").glob("offline-run-*") if "-profile-" in folder.name]
    (torn / MARK).unlink()
    with WandbServer() as server:
        first = command(server.environment, "sync", *results)
        assert first.returncode == 0, first.stderr
        assert first.stdout.splitlines() == [
            f"sent      4 runs to {server.url}, project raysurf",
            "sweep     rates is a sweep of W&B's own now",
            "left      1 incomplete, of a process that was killed or still runs; raysurf run FILE writes them anew",
        ]
        trials = ids(tmp_path, "role = 'trial'")
        assert set(trials) < set(server.runs)
        assert len(server.runs) == 4
        for run in trials:
            assert [step["epoch"] for step in server.history(run) if "epoch" in step] == [1, 2]
            assert "objective" in server.summary(run)
            assert server.exit_code(run) == 0
            assert server.runs[run]["groupName"] == "rates"
        assert any("/media/table/predictions" in path for path in server.uploads)
        (native,) = server.sweeps
        assert json.loads(native["priorRunsFilters"]) == {"$or": [{"name": run} for run in sorted(trials)]}
        bounds = yaml.safe_load(native["config"])["parameters"]["param/schedule/lr"]
        assert bounds == {"min": 0.01, "max": 0.1, "distribution": "log_uniform_values"}
        assert not (ROOT / "wandb").exists()
        arrived = len(server.operations)
        again = command(server.environment, "sync", "rates", *results)
        assert again.stdout.splitlines()[0] == "before    4 runs had been sent already"
        assert len(server.operations) == arrived


def test_sync_says_why_it_cannot(offline: Path) -> None:
    """Nobody logged in, a refused key, a server that is away, an unknown sweep: one line, and exit code 2."""
    with WandbServer() as server:
        faults = {
            "nobody is logged in (wandb login)": {"WANDB_BASE_URL": server.url},
            "refuses the key": {**server.environment, "WANDB_API_KEY": "f" * 40},
            "does not answer": {**server.environment, "WANDB_BASE_URL": "http://127.0.0.1:9"},
        }
        for text, environment in faults.items():
            done = command(environment, "sync", "--results", str(offline))
            assert (done.returncode, done.stdout) == (2, "")
            (line,) = done.stderr.splitlines()
            assert line.startswith("error: W&B: got ")
            assert text in line
        unknown = command(server.environment, "sync", "rate", "--results", str(offline))
        assert (unknown.returncode, "did you mean 'rates'?" in unknown.stderr) == (2, True)
        assert server.runs == {}

"""Runs that were written offline go to W&B later, each once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from raysurf.tracking.run_contents import MARK
from tests.support.cases import ROOT
from tests.support.wandb_process import command, ids
from tests.support.wandb_server import WandbServer


@pytest.fixture
def unsent(offline: Path, tmp_path: Path) -> Iterator[Path]:
    """The same store, which a test may change: it is put back, since ids in W&B depend on where it is."""
    shutil.copytree(offline, tmp_path / "before", symlinks=True)
    yield offline
    shutil.rmtree(offline)
    (tmp_path / "before").rename(offline)


def test_offline_runs_are_sent_once(unsent: Path) -> None:
    """Histories, summaries and media arrive, trials in a sweep of W&B's own; a second time nothing is sent."""
    results, before = ("--results", str(unsent)), sorted(ROOT.glob("wandb/**/*"))
    (torn,) = [folder for folder in (unsent / "wandb").glob("offline-run-*") if "-profile-" in folder.name]
    (torn / MARK).unlink()
    with WandbServer() as server:
        first = command(server.environment, "sync", *results)
        assert first.returncode == 0, first.stderr
        assert first.stdout.splitlines() == [
            f"sent      4 runs to {server.url}, project raysurf",
            "sweep     rates is a sweep of W&B's own now",
            "left      1 incomplete, of a process that was killed or still runs; raysurf run FILE writes them anew",
        ]
        trials = ids(unsent, "role = 'trial'")
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
        assert sorted(ROOT.glob("wandb/**/*")) == before
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

"""SIGKILL to the processes of a trial, of a rank of a group, and of the driver."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cluster import events
from tests.support.paced import first_epochs, paced, paced_file, processes, undisturbed
from tests.support.run_process import raysurf_run
from tests.support.stored_rows import check_undisturbed

pytestmark = [pytest.mark.ray, pytest.mark.fault]


class Killer:
    """Listens to a run and, when its first trial has trained for some epochs, kills the newest process of that.

    Args:
        log: Of the trial's network.
        uri: The store.
        epoch: When.
    """

    def __init__(self, log: Path, uri: str, epoch: int = 4) -> None:
        self.log, self.uri, self.epoch = log, uri, epoch
        self.killed: list[int] = []
        self.trained: dict[str, float] = {}

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        is_due = isinstance(event, events.RunProgressed) and event.number == 0 and event.epoch >= self.epoch
        if is_due and not self.killed and (pid := processes(self.log)[-1]) != os.getpid():
            os.kill(pid, signal.SIGKILL)
            self.killed.append(pid)
            self.trained = first_epochs(self.uri)


@pytest.mark.usefixtures("ray_cluster")
def test_killed_trial_goes_on_in_another_process(tmp_path: Path) -> None:
    """A trial whose process is killed in mid-training goes on from its last checkpoint, and none fails."""
    sweep, uri = paced(tmp_path), str(tmp_path / "r")
    killer = Killer(tmp_path / "log0", uri)
    assert rs.run(sweep, uri, listener=killer).failed == 0
    assert processes(tmp_path / "log0")[0] == killer.killed[0]
    assert len(processes(tmp_path / "log0")) == 2
    assert killer.trained.items() <= first_epochs(uri).items()
    check_undisturbed(uri, undisturbed(sweep, tmp_path))


@pytest.mark.usefixtures("ray_cluster")
def test_killed_rank_takes_no_trial_with_it(tmp_path: Path) -> None:
    """When a rank of a group of two is killed, the trial in flight goes on from its checkpoint, with two ranks."""
    sweep, uri = paced(tmp_path, trials=1, more="resources: {workers: 2}\n"), str(tmp_path / "r")
    killer = Killer(tmp_path / "log0", uri)
    assert rs.run(sweep, uri, listener=killer).failed == 0
    assert killer.killed
    assert len(processes(tmp_path / "log0")) == 4
    assert killer.trained.items() <= first_epochs(uri).items()
    check_undisturbed(uri, undisturbed(sweep, tmp_path), rel=1e-4)
    assert set(rs.results.open(uri).table("runs")["workers"].to_pylist()) == {2}


@pytest.mark.usefixtures("ray_cluster")
def test_killed_driver_is_run_again(tmp_path: Path) -> None:
    """After the driver alone was killed, the next run goes on from the checkpoints, whatever its workers still do."""
    file, uri = paced_file(tmp_path), str(tmp_path / "r")
    with raysurf_run(file, uri) as run:
        run.wait_until(lambda: list(tmp_path.glob("r/trajectories/*/[2-9].json")))
        os.kill(run.process.pid, signal.SIGKILL)
        run.end()
        assert not list(tmp_path.glob("r/jobs/*/outcome.json")), "it was killed too late to show anything"
        trained = first_epochs(uri)
        assert rs.run(rs.load(file), uri).failed == 0
    assert trained
    assert trained.items() <= first_epochs(uri).items()
    assert not list(tmp_path.glob("r/_ray"))
    check_undisturbed(uri, undisturbed(rs.load(file), tmp_path))

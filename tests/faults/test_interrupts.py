"""Ctrl-C and SIGTERM to the driver, once and twice."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import raysurf as rs
from tests.support.paced import first_epochs, hurry, paced_file, processes, undisturbed
from tests.support.ray_home import descendants, stat_of
from tests.support.run_process import Run, raysurf_run
from tests.support.stored_rows import check_undisturbed

pytestmark = [pytest.mark.ray, pytest.mark.fault]


def started(run: Run, folder: Path, uri: str) -> set[int]:
    """Wait until both trials have trained; gives the processes that there are then."""
    run.wait_until(lambda: all((folder / f"log{number}").exists() for number in (0, 1)) and first_epochs(uri))
    return descendants(run.process.pid)


def press(run: Run, number: signal.Signals, to_group: bool = False) -> None:
    """Send a signal to the command, or to its whole group, as a terminal, ``timeout`` and service managers do."""
    (os.killpg if to_group else os.kill)(run.process.pid, number)


def left_of(pids: set[int]) -> list[str]:
    """Wait until none of some processes is left, zombies apart; those that are after half a minute."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        stats = [stat_of(Path(f"/proc/{pid}")) for pid in pids]
        left = [stat for stat in stats if stat and stat.rpartition(")")[2][1] != "Z"]
        if not left:
            break
        time.sleep(0.1)
    return left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_lets_it_leave_in_order(number: signal.Signals, tmp_path: Path) -> None:
    """A signal to its group ends the run with 128 and its number; the command that it shows goes on from its states."""
    file, uri = paced_file(tmp_path, step_s=0.1), str(tmp_path / "r")
    with raysurf_run(file, uri) as run:
        pids = started(run, tmp_path, uri)
        press(run, number, to_group=True)
        assert run.end() == 128 + number, run.said
        assert not left_of(pids)
    assert "Traceback" not in run.said
    assert re.search(r"stopping: [12] processes keep their state and leave", run.said)
    states = {row["state"] for row in rs.results.open(uri).table("trials").to_pylist()}
    assert "running" in states and states <= {"running", "done"}
    assert not list(tmp_path.glob("r/_ray"))
    trained = first_epochs(uri)
    head, _, command = run.said.rstrip().rpartition("\n")
    assert head.endswith("To resume:")
    assert shlex.split(command) == ["raysurf", "run", str(file), "--results", uri, "--wandb", "off"]
    hurry(tmp_path)
    assert rs.run(rs.load(file), uri, executor="inline").failed == 0
    assert trained.items() <= first_epochs(uri).items()
    check_undisturbed(uri, undisturbed(rs.load(file), tmp_path))


def drain(terminal: int) -> None:
    """Read what is shown in a terminal until it is closed."""
    with contextlib.suppress(OSError):
        while os.read(terminal, 1 << 16):
            pass


def test_the_second_ends_it_at_once(tmp_path: Path) -> None:
    """SIGTERM is a first Ctrl-C; after a second no worker that does not answer is waited for, and none is left."""
    file, uri = paced_file(tmp_path, step_s=0.1), str(tmp_path / "r")
    with raysurf_run(file, uri) as run:
        pids = started(run, tmp_path, uri)
        for number in (0, 1):
            os.kill(processes(tmp_path / f"log{number}")[0], signal.SIGSTOP)
        press(run, signal.SIGTERM)
        run.wait_until(lambda: "stopping: 2 processes" in run.said)
        press(run, signal.SIGINT)
        assert run.end() == 130, run.said
        assert not left_of(pids)
    assert "at once; what is finished is kept. To resume:" in run.said
    assert "Traceback" not in run.said
    hurry(tmp_path)
    assert rs.run(rs.load(file), uri, executor="inline").failed == 0
    check_undisturbed(uri, undisturbed(rs.load(file), tmp_path))


def test_before_anything_runs_it_ends_at_once(tmp_path: Path) -> None:
    """While Ray is being started there is nothing to lose; that it was stopped and how to go on is said too."""
    file, uri = paced_file(tmp_path), str(tmp_path / "r")
    with raysurf_run(file, uri) as run:
        run.wait_until(lambda: "workers are starting" in run.said)
        pids = descendants(run.process.pid)
        press(run, signal.SIGTERM)
        assert run.end() == 143, run.said
        assert not left_of(pids)
    assert "Traceback" not in run.said
    assert "stopped by SIGTERM" in run.said and f"raysurf run {file}" in run.said


def test_a_gone_terminal_is_a_hangup(tmp_path: Path) -> None:
    """A run in a terminal that is closed leaves in order, though there is nobody left to tell."""
    file, uri = paced_file(tmp_path, step_s=0.1), str(tmp_path / "r")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "raysurf.cli.main", "run", str(file), "--results", uri, "--wandb", "off"]
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        reading = threading.Thread(target=drain, args=(ours,))
        reading.start()
        started(Run(process, file), tmp_path, uri)
        os.close(ours)
        assert process.wait(60) == 129
    states = {row["state"] for row in rs.results.open(uri).table("trials").to_pylist()}
    assert "running" in states and states <= {"running", "done"}
    assert not list(tmp_path.glob("r/_ray"))


def test_under_timeout(tmp_path: Path) -> None:
    """It sends its signal twice, to its child and to the group that both are in: that is one."""
    file, uri = paced_file(tmp_path, step_s=0.1), str(tmp_path / "r")
    with raysurf_run(file, uri, before=("timeout", "--verbose", "1000")) as run:
        pids = started(run, tmp_path, uri)
        # As when its time is over.
        os.kill(run.process.pid, signal.SIGALRM)
        assert run.end() == 124, run.said
        assert not left_of(pids - {run.process.pid})
    assert "Traceback" not in run.said
    assert "stopped by SIGTERM; what is finished is kept, and running jobs resume from their last state" in run.said


def test_without_ray_it_ends_all_the_same(tmp_path: Path) -> None:
    """Where Ray's own processes get the signal too, as from a batch system, it says how to go on and does not hang."""
    file, uri = paced_file(tmp_path, step_s=0.1), str(tmp_path / "r")
    with raysurf_run(file, uri) as run:
        pids = started(run, tmp_path, uri)
        for pid in (*pids, run.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert run.end() == 143, run.said
    assert "Traceback" not in run.said
    assert "To resume:" in run.said


INLINE = """
import sys
import raysurf as rs
rs.run(rs.load(sys.argv[1]), sys.argv[2], executor="inline")
"""


def test_in_a_program_of_ones_own_it_is_the_interrupt_of_python(tmp_path: Path) -> None:
    """Without Ray, Ctrl-C ends `raysurf.run` as it ends any Python, between two writes; the next run goes on."""
    file, uri = paced_file(tmp_path), str(tmp_path / "r")
    with subprocess.Popen(
        [sys.executable, "-c", INLINE, str(file), uri], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        run = Run(process, file)
        run.wait_until(lambda: (tmp_path / "log0").exists() and first_epochs(uri))
        press(run, signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode in (1, -signal.SIGINT)
    assert error.rstrip().endswith("KeyboardInterrupt")
    trained = first_epochs(uri)
    hurry(tmp_path)
    assert rs.run(rs.load(file), uri, executor="inline").failed == 0
    assert trained.items() <= first_epochs(uri).items()
    check_undisturbed(uri, undisturbed(rs.load(file), tmp_path))

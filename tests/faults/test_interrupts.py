"""Ctrl-C and SIGTERM to the driver, once and twice."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import raysurf as rs
from tests.faults.command import Run, raysurf_run
from tests.faults.paced import first_epochs, hurry, paced_file, processes, undisturbed
from tests.stored_rows import check_undisturbed

pytestmark = [pytest.mark.ray, pytest.mark.fault]


def ray_processes(driver: int) -> set[int]:
    """Ray's own processes that a driver has started, and theirs, by their parents."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(entry)):
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found, grown = {driver}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return found - {driver}


def _stat(entry: Path) -> str:
    try:
        return (entry / "stat").read_text()
    except OSError:
        return ""


def started(run: Run, folder: Path, uri: str) -> set[int]:
    """Wait until both trials have trained; gives the processes that there are then."""
    run.wait_until(lambda: all((folder / f"log{number}").exists() for number in (0, 1)) and first_epochs(uri))
    return ray_processes(run.process.pid)


def press(run: Run, number: signal.Signals) -> None:
    """Send a signal as it is sent: a terminal's Ctrl-C goes to all processes of the command, SIGTERM to the one."""
    (os.killpg if number is signal.SIGINT else os.kill)(run.process.pid, number)


def left_of(pids: set[int]) -> list[str]:
    """Wait until none of some processes is left, zombies apart; those that are after half a minute."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        stats = [_stat(Path(f"/proc/{pid}")) for pid in pids]
        left = [stat for stat in stats if stat and stat.rpartition(")")[2][1] != "Z"]
        if not left:
            break
        time.sleep(0.1)
    return left


def test_the_first_lets_it_leave_in_order(tmp_path: Path) -> None:
    """The run says that it stops and by which command it goes on, ends with 130, and goes on from the states kept."""
    file, uri = paced_file(tmp_path, step_s=0.1), str(tmp_path / "r")
    with raysurf_run(file, uri) as run:
        pids = started(run, tmp_path, uri)
        press(run, signal.SIGINT)
        assert run.end() == 130, run.said
        assert not left_of(pids)
    assert "Traceback" not in run.said
    assert re.search(r"stopping: [12] processes keep their state and leave", run.said)
    states = {row["state"] for row in rs.results.open(uri).table("trials").to_pylist()}
    assert "running" in states and states <= {"running", "done"}
    assert not list(tmp_path.glob("r/_ray"))
    trained = first_epochs(uri)
    head, _, command = run.said.rstrip().rpartition("\n")
    assert head.endswith("To go on:")
    assert shlex.split(command) == ["raysurf", "run", str(file), "--results", uri, "--wandb", "off"]
    hurry(tmp_path)
    assert rs.run(rs.load(file), uri, executor="inline").failed == 0
    assert trained.items() <= first_epochs(uri).items()
    check_undisturbed(uri, undisturbed(rs.load(file), tmp_path))


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
    assert "at once; what is finished is kept. To go on:" in run.said
    assert "Traceback" not in run.said
    hurry(tmp_path)
    assert rs.run(rs.load(file), uri, executor="inline").failed == 0
    check_undisturbed(uri, undisturbed(rs.load(file), tmp_path))


def test_before_anything_runs_it_ends_at_once(tmp_path: Path) -> None:
    """While Ray is being started there is nothing to lose; that it was stopped and how to go on is said too."""
    file, uri = paced_file(tmp_path), str(tmp_path / "r")
    with raysurf_run(file, uri) as run:
        run.wait_until(lambda: "workers are starting" in run.said)
        pids = ray_processes(run.process.pid)
        press(run, signal.SIGTERM)
        assert run.end() == 143, run.said
        assert not left_of(pids)
    assert "Traceback" not in run.said
    assert "stopped by SIGTERM" in run.said and f"raysurf run {file}" in run.said


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

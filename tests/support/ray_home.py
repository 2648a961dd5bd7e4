"""A folder for a Ray of a test's own: its path is short, for Ray's sockets, and all that was started there ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

END_S = 20.0


@contextlib.contextmanager
def ray_home() -> Iterator[Path]:
    """Make a folder; every process that has it as RAY_TMPDIR, and no other, ends with the block."""
    root = Path(tempfile.mkdtemp(prefix="rs-", dir="/tmp"))
    try:
        yield root
    finally:
        until = time.monotonic() + END_S
        while (left := processes_of(root)) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        shutil.rmtree(root, ignore_errors=True)


def processes_of(root: Path) -> list[int]:
    """The processes that were started with this folder as Ray's."""
    mark, pids = f"RAY_TMPDIR={root}\0".encode(), []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                pids.append(int(entry.name))
    return pids


def descendants(parent: int) -> set[int]:
    """Processes that a process has started, such as those of its Ray, and theirs."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := stat_of(entry)):
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    known, grown = {parent}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in known} - known
        known, grown = known | more, bool(more)
    return known - {parent}


def stat_of(entry: Path) -> str:
    """The state of a process, by its folder in /proc; nothing if it is gone."""
    try:
        return (entry / "stat").read_text()
    except OSError:
        return ""


def free_ports(count: int) -> tuple[int, ...]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return tuple(listener.getsockname()[1] for listener in sockets)


def node_of(cluster: Any, process: int) -> Any:
    """The node of a cluster that a process of a trial belongs to."""
    raylet = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    (owner,) = [node for node in cluster.worker_nodes if node.all_processes["raylet"][0].process.pid == raylet]
    return owner

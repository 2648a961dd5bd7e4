"""A folder for a Ray of a test's own: its path is short, for Ray's sockets, and all that was started there ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

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
    mark, found = f"RAY_TMPDIR={root}\0".encode(), []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found

"""Which process this is, such that another one on the same machine can tell whether it still runs."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path

# A process that has ended but that its parent has not asked after yet.
ENDED = ("Z", "X")


@cache
def place() -> str | None:
    """The machine since it was started, as far as its processes see one another; None where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def started(pid: int) -> str | None:
    """When a process was started, in the kernel's own count; None if that cannot be seen."""
    return (_status(pid) or ("", None))[1]


def is_running(pid: int, since: str | None) -> bool:
    """Whether a process of this place runs, or may run; one that has been given its number since is another.

    Args:
        pid: Its number.
        since: What ``started`` said of it.
    """
    if (found := _status(pid)) is not None:
        return found[0] not in ENDED and found[1] == since
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        # Another user's, where /proc shows one's own processes alone.
        return True
    return True


def _status(pid: int) -> tuple[str, str] | None:
    try:
        # The program's name comes before, in brackets, and may hold anything.
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return state, fields[18]

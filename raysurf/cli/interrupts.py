"""Handling of Ctrl-C, SIGTERM and SIGHUP: the first signal shuts a run down in order, the second ends it at once."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import stat
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

import click

from raysurf.cli.output import echo
from raysurf.cluster.ray_patches import is_ray_gone
from raysurf.cluster.shutdown import GRACE_S, GracefulShutdown, abandon
from raysurf.redaction import redact

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "a hangup"}
# ``timeout`` sends a signal to its child, and then to the group that both are in.
ONE_S = 1.0
# After ``GRACE_S``, or at once where Ray's own processes are gone, seconds for Tune to end.
LATE_S = 5.0
SHOW_CURSOR = "\x1b[?25h"


class Interrupts:
    """Context manager that handles SIGINT, SIGTERM and, unless it is ignored as by ``nohup``, SIGHUP.

    The first signal requests ``shutdown`` if the run observes it, and raises KeyboardInterrupt otherwise. The second
    ends the process, and so does a shutdown that takes too long; a hangup, or the same signal within a second, does not
    count as second. On exit after a signal, the command to resume is printed, and the exit code is 128 plus the
    signal's number.

    Ray takes over SIGTERM while it starts, and exits by SystemExit; and what a handler raises is lost in callbacks from
    C. So ``signal.set_wakeup_fd`` records signals as well, which are read when the run starts to observe them, and
    Python's reports of lost exceptions are suppressed.

    Attributes:
        shutdown: The shutdown that the run observes.
    """

    def __init__(self) -> None:
        self.shutdown = GracefulShutdown(self._take)
        self._got: signal.Signals | None = None
        self._got_at = 0.0
        self._over = threading.Event()
        self._before: dict[signal.Signals, Any] = {}
        self._written, self._read = socket.socketpair()

    def __enter__(self) -> Interrupts:
        before = {number: signal.getsignal(number) for number in NAMES}
        self._before = {n: handler for n, handler in before.items() if (n, handler) != (signal.SIGHUP, signal.SIG_IGN)}
        for end in (self._written, self._read):
            end.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)
        self._unraisable_before, sys.unraisablehook = sys.unraisablehook, self._lost
        self._take()
        threading.Thread(target=self._end_if_late, name="late end", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        sys.unraisablehook = self._unraisable_before
        if kind is SystemExit:
            self._got = self._got or signal.Signals.SIGTERM
        for end in (self._written, self._read):
            end.close()
        if self._got is not None and kind in (None, KeyboardInterrupt, SystemExit):
            echo(self._goodbye("what is finished is kept, and running jobs resume from their last state"), err=True)
            raise click.exceptions.Exit(128 + self._got)

    def _take(self) -> None:
        for number in self._before:
            signal.signal(number, self._handle)
        with contextlib.suppress(BlockingIOError):
            for written in self._read.recv(1024):
                if written in self._before and self._got is None:
                    self._first(written)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._got is None:
            self._first(number)
            if not self.shutdown.is_observed:
                raise KeyboardInterrupt
        elif number != signal.SIGHUP and (number != self._got or time.monotonic() - self._got_at > ONE_S):
            self._end_at_once(number)

    def _first(self, number: int) -> None:
        self._got_at = time.monotonic()
        self._got, self.shutdown.requested = signal.Signals(number), True
        if number == signal.SIGHUP:
            _leave_the_terminal()

    def _end_if_late(self) -> None:
        while not self._over.wait(ONE_S):
            got, passed = self._got, time.monotonic() - self._got_at
            if got is None or passed <= LATE_S or not self.shutdown.is_observed:
                continue
            if passed > GRACE_S + LATE_S or is_ray_gone():
                self._end_at_once(got)

    def _end_at_once(self, number: int) -> None:
        cursor = SHOW_CURSOR if sys.stderr.isatty() else ""
        os.write(2, f"{cursor}\n{self._goodbye('at once; what is finished is kept')}\n".encode())
        abandon()
        os._exit(128 + number)

    def _lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        # KeyboardInterrupt of ours, SystemExit of Ray's.
        if not isinstance(unraisable.exc_value, KeyboardInterrupt | SystemExit):
            self._unraisable_before(unraisable)

    def _goodbye(self, what: str) -> str:
        assert self._got is not None
        return f"stopped by {NAMES[self._got]}; {what}. To resume:\n  {redact(shlex.join(['raysurf', *sys.argv[1:]]))}"


def _leave_the_terminal() -> None:
    """Redirect output to nowhere after the terminal has gone."""
    for stream in (1, 2):
        if stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)

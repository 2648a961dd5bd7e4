"""What Ctrl-C and SIGTERM do to a run: the first lets it leave in order, the second ends it at once."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sys
from types import FrameType, TracebackType
from typing import Any

import click

from raysurf.cli.echo import echo
from raysurf.cluster.leaving import Leaving, abandon
from raysurf.redaction import redact

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
SHOW_CURSOR = "\x1b[?25h"


class Interrupts:
    """While it is entered, SIGINT and SIGTERM are taken here.

    The first asks ``leaving`` for an orderly end while that is looked at, and raises KeyboardInterrupt otherwise; the
    second ends the process. When the block has been left because of either, it is said how to go on, and the command
    ends with 128 and the signal's number.

    Ray takes SIGTERM for itself while it starts, and leaves by SystemExit; and what a handler raises is lost where
    Python calls back on its own. So signals are also written down, by ``signal.set_wakeup_fd``, and read when the run
    begins to look; and Python does not tell of what was lost.

    Attributes:
        leaving: For the run.
    """

    def __init__(self) -> None:
        self.leaving = Leaving(self._take)
        self._got: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._written, self._read = socket.socketpair()

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.getsignal(number) for number in NAMES}
        for end in (self._written, self._read):
            end.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)
        self._unraisable_before, sys.unraisablehook = sys.unraisablehook, self._lost
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        sys.unraisablehook = self._unraisable_before
        if kind is SystemExit:
            self._got = self._got or signal.Signals.SIGTERM
        for end in (self._written, self._read):
            end.close()
        if self._got is not None and kind in (None, KeyboardInterrupt, SystemExit):
            echo(self._goodbye("what is finished is kept, and what ran goes on from its last state"), err=True)
            raise click.exceptions.Exit(128 + self._got)

    def _take(self) -> None:
        for number in NAMES:
            signal.signal(number, self._handle)
        with contextlib.suppress(BlockingIOError):
            for written in self._read.recv(1024):
                if written in NAMES and self._got is None:
                    self._got, self.leaving.asked = signal.Signals(written), True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._got is not None:
            cursor = SHOW_CURSOR if sys.stderr.isatty() else ""
            os.write(2, f"{cursor}\n{self._goodbye('at once; what is finished is kept')}\n".encode())
            abandon()
            os._exit(128 + number)
        self._got, self.leaving.asked = signal.Signals(number), True
        if not self.leaving.is_looked_at:
            raise KeyboardInterrupt

    def _lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        # KeyboardInterrupt of ours, SystemExit of Ray's.
        if not isinstance(unraisable.exc_value, KeyboardInterrupt | SystemExit):
            self._unraisable_before(unraisable)

    def _goodbye(self, what: str) -> str:
        assert self._got is not None
        return f"stopped by {NAMES[self._got]}; {what}. To go on:\n  {redact(shlex.join(['raysurf', *sys.argv[1:]]))}"

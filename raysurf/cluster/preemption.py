"""Notices that this process will be gone soon: SIGTERM to it, or the draining of its node."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

POLL_S = 2.0
# How long work waits for the main thread to take SIGTERM; it runs Python every fifth of a second.
SETTLING_S = 2.0


class Notices:
    """Whether this process has been told to leave; once told, it stays told.

    SIGTERM tells it while it works (``working``). When it does not, or when it is told again, the signal does what it
    did before.
    """

    def __init__(self) -> None:
        self._told, self._heeding = threading.Event(), threading.Event()
        self._heeding.set()
        self._working = 0
        self._before: Any = signal.SIG_DFL

    def is_told(self) -> bool:
        """Whether it is to leave."""
        return self._told.is_set()

    def tell(self) -> None:
        """It is to leave."""
        self._told.set()

    @contextmanager
    def working(self) -> Iterator[None]:
        """While a ``with`` lasts there is something that can be broken off and gone on with.

        Its first line comes after the handler is there, if one is coming.
        """
        self._heeding.wait(SETTLING_S)
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1

    def heed(self) -> None:
        """Take SIGTERM from now on; in the main thread."""
        if signal.getsignal(signal.SIGTERM) != self._on_signal:
            self._before = signal.signal(signal.SIGTERM, self._on_signal)
        self._heeding.set()

    def heed_soon(self) -> None:
        """Take SIGTERM from when the main thread next runs Python."""
        self._heeding.clear()
        _in_main_thread(self.heed)

    def unheed(self) -> None:
        """Leave SIGTERM as it was before, unless somebody else has taken it since; in the main thread."""
        if signal.getsignal(signal.SIGTERM) == self._on_signal:
            signal.signal(signal.SIGTERM, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._working and not self.is_told():
            self.tell()
        elif callable(self._before):
            self._before(number, frame)
        else:
            self.unheed()
            os.kill(os.getpid(), number)


@functools.cache
def of_ray_worker() -> Notices:
    """The notices of this process of Ray's, from when it is first called, in any thread, for as long as it lives.

    It is told by SIGTERM while it works; at other times Ray's own handler ends the process at once. The draining of its
    node tells it at any time.
    """
    notices = Notices()
    notices.heed_soon()
    threading.Thread(target=_watch_node, args=(notices.tell,), name="node watch", daemon=True).start()
    return notices


@contextmanager
def in_this_process() -> Iterator[Callable[[], bool]]:
    """While a ``with`` lasts, SIGTERM tells this process to leave, unless somebody else handles it.

    Returns:
        Whether the process has been told.
    """
    notices = Notices()
    in_main = threading.current_thread() is threading.main_thread()
    is_free = in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if is_free:
        notices.heed()
    try:
        with notices.working():
            yield notices.is_told
    finally:
        if is_free:
            notices.unheed()


_CALL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_calls: list[Any] = []


def _in_main_thread(function: Callable[[], None]) -> None:
    """Have the main thread call a function when it next runs Python, since it alone may set handlers of signals.

    Ray runs a trial's function in another thread, while its main thread waits for reports.
    """

    def call(_: object) -> int:
        function()
        return 0

    # It must live until it has been called.
    _calls.append(_CALL(call))
    ctypes.pythonapi.Py_AddPendingCall(_calls[-1], None)


def _watch_node(tell: Callable[[], None]) -> None:
    """Wait until this node is drained, as it is before Kubernetes, a cloud or ``ray drain-node`` takes it away."""
    import ray
    from ray._private.state import state

    node = ray.get_runtime_context().get_node_id()
    pause = threading.Event()
    while True:
        try:
            if node in state.get_draining_nodes():
                return tell()
        except Exception:  # the head is away, or this Ray has no such call
            pass
        pause.wait(POLL_S)

"""Graceful shutdown of a run, and notices of preemption."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from raysurf.cluster.local_ray import forget
from raysurf.cluster.ray_patches import is_draining, stop_raylets, why_off, worker_processes

# Ray gives a driver that it stops 30 s; there is time left to close tables and trackers.
GRACE_S = 20.0
LOOK_S = 0.2
RANK = "RayTrainWorker"


class GracefulShutdown:
    """Whether a run is to end early; whoever started it may ask for that at any moment, from a signal handler too.

    Args:
        begins: Called when the run begins to look at it. Ray has set its own signal handlers before.

    Attributes:
        requested: Whether it is to end.
        is_observed: Whether the run sees within a second that it was asked. At other times there is nothing that
            could be lost.
    """

    def __init__(self, begins: Callable[[], None] = lambda: None) -> None:
        self.requested = self.is_observed = False
        self._begins = begins

    def __enter__(self) -> GracefulShutdown:
        self._begins()
        self.is_observed = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_observed = False


class WorkerShutdown:
    """Graceful shutdown of the processes of a Tune run, once it is requested.

    A process gets SIGTERM, as a preempted one does, and has ``GRACE_S`` to keep its state. Nothing is tried again.

    Args:
        shutdown: Whether to end.
        grouped: Whether trials run as groups of Ray Train; else each is a process.
        notice: Given one line when it begins.

    Attributes:
        is_over: Whether all have left, or time is over.
    """

    def __init__(self, shutdown: GracefulShutdown, grouped: bool, notice: Callable[[str], None]) -> None:
        self.shutdown, self.grouped, self.notice = shutdown, grouped, notice
        self.is_over = False
        self._until: float | None = None
        self._looked = 0.0
        self._signalled: set[str] = set()

    def look(self, trials: list[Any]) -> None:
        """Look at the trials of the run, as often as can be."""
        now = time.monotonic()
        if not self.shutdown.requested or now - self._looked < LOOK_S:
            return
        self._looked = now
        live = [trial for trial in trials if not trial.is_finished()]
        for trial in live:
            trial.max_failures = trial.num_failures
        processes = worker_processes(live, RANK if self.grouped else "")
        if self._until is None:
            self._until = now + GRACE_S
            self.notice(f"stopping: {len(processes)} processes keep their state and leave, {GRACE_S:.0f} s at most")
        for actor_id in processes.keys() - self._signalled:
            _terminate(*processes[actor_id])
        self._signalled |= processes.keys()
        self.is_over = not processes or now > self._until


def abandon() -> None:
    """End the Ray that this process has started, if it has, before the process ends itself without a word."""
    stop_raylets()
    forget()


def _terminate(node_id: str, pid: int) -> None:
    """Send SIGTERM to a process of the cluster."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if node_id == ray.get_runtime_context().get_node_id():
        _kill(pid)
        return
    there = NodeAffinitySchedulingStrategy(node_id, soft=False)
    ray.remote(_kill).options(num_cpus=0, scheduling_strategy=there).remote(pid)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return


POLL_S = 2.0
# How long work waits for the main thread to take SIGTERM; it runs Python every fifth of a second.
SETTLING_S = 2.0


class PreemptionNotice(threading.Event):
    """Notice of preemption: set once this process is to leave.

    SIGTERM sets it while the process works (``working``). When it does not, or when the notice is set already, the
    signal does what it did before.
    """

    def __init__(self) -> None:
        super().__init__()
        self._installed = threading.Event()
        self._installed.set()
        self._working = 0
        self._before: Any = signal.SIG_DFL

    @contextmanager
    def working(self) -> Iterator[None]:
        """While a ``with`` lasts there is something that can be broken off and gone on with.

        Its first line comes after the handler is there, if one is coming.
        """
        self._installed.wait(SETTLING_S)
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1

    def install(self) -> None:
        """Take SIGTERM from now on; in the main thread."""
        if signal.getsignal(signal.SIGTERM) != self._on_signal:
            self._before = signal.signal(signal.SIGTERM, self._on_signal)
        self._installed.set()

    def install_soon(self) -> None:
        """Take SIGTERM from when the main thread next runs Python."""
        self._installed.clear()
        _in_main_thread(self.install)

    def uninstall(self) -> None:
        """Leave SIGTERM as it was before, unless somebody else has taken it since; in the main thread."""
        if signal.getsignal(signal.SIGTERM) == self._on_signal:
            signal.signal(signal.SIGTERM, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._working and not self.is_set():
            self.set()
        elif callable(self._before):
            self._before(number, frame)
        else:
            self.uninstall()
            os.kill(os.getpid(), number)


@functools.cache
def of_ray_worker() -> PreemptionNotice:
    """The preemption notice of this process of Ray's, from the first call, in any thread, for as long as it lives.

    SIGTERM sets it while the process works; at other times Ray's own handler ends the process at once. The draining of
    its node sets it at any time.
    """
    notice = PreemptionNotice()
    notice.install_soon()
    threading.Thread(target=_watch_node, args=(notice.set,), name="node watch", daemon=True).start()
    return notice


@contextmanager
def in_this_process() -> Iterator[Callable[[], bool]]:
    """While a ``with`` lasts, SIGTERM asks this process to leave, unless somebody else handles it.

    Yields:
        Whether the process is to leave.
    """
    notice = PreemptionNotice()
    in_main = threading.current_thread() is threading.main_thread()
    is_free = in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if is_free:
        notice.install()
    try:
        with notice.working():
            yield notice.is_set
    finally:
        if is_free:
            notice.uninstall()


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


def _watch_node(on_drain: Callable[[], None]) -> None:
    """Wait until this node is drained."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    pause = threading.Event()
    while why_off("draining") is None:
        with contextlib.suppress(Exception):  # the head is away
            if is_draining(node):
                return on_drain()
        pause.wait(POLL_S)

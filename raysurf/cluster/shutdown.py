"""Graceful shutdown of a run, and notices of preemption."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from raysurf.cluster.local_ray import forget

# Ray gives a driver that it stops 30 s; there is time left to close tables and trackers.
GRACE_S = 20.0
LOOK_S = 0.2
ABANDON_S = 3.0
RANK = "RayTrainWorker"


def _nothing() -> None:
    pass


class Leaving:
    """Whether a run is to end early; whoever started it may ask for that at any moment, from a signal handler too.

    Args:
        begins: Called when the run begins to look at it. Ray has set its own signal handlers before.

    Attributes:
        asked: Whether it is to end.
        is_looked_at: Whether the run sees within a second that it was asked. At other times there is nothing that
            could be lost.
    """

    def __init__(self, begins: Callable[[], None] = _nothing) -> None:
        self.asked = self.is_looked_at = False
        self._begins = begins

    def __enter__(self) -> Leaving:
        self._begins()
        self.is_looked_at = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_looked_at = False


class Farewell:
    """Tells the processes of a Tune run to leave, once that was asked for, and says when they have or time is over.

    A process is told by SIGTERM, as a preempted one is, and has ``GRACE_S`` to keep its state. Nothing is tried again.

    Args:
        leaving: Whether to end.
        grouped: Whether trials run as groups of Ray Train; else each is a process.
        tell: Given one line when it begins.
    """

    def __init__(self, leaving: Leaving, grouped: bool, tell: Callable[[str], None]) -> None:
        self.leaving, self.grouped, self.tell = leaving, grouped, tell
        self.is_over = False
        self._until: float | None = None
        self._looked = 0.0
        self._told: set[str] = set()

    def look(self, trials: list[Any]) -> None:
        """Look at the trials of the run, as often as can be."""
        now = time.monotonic()
        if not self.leaving.asked or now - self._looked < LOOK_S:
            return
        self._looked = now
        live = [trial for trial in trials if not trial.is_finished()]
        for trial in live:
            trial.max_failures = trial.num_failures
        processes = self._processes(live)
        if self._until is None:
            self._until = now + GRACE_S
            self.tell(f"stopping: {len(processes)} processes keep their state and leave, {GRACE_S:.0f} s at most")
        for actor_id in processes.keys() - self._told:
            _terminate(*processes[actor_id])
        self._told |= processes.keys()
        self.is_over = not processes or now > self._until

    def _processes(self, live: list[Any]) -> dict[str, tuple[str, int]]:
        """Node and process ids of the workers that are alive, by their actors' ids."""
        import ray
        from ray._private.state import actors

        table = actors(job_id=ray.JobID.from_hex(ray.get_runtime_context().get_job_id()), actor_state_name="ALIVE")
        own = {str(actor._actor_id.hex()) for trial in live if (actor := trial.temporary_state.ray_actor) is not None}
        return {
            actor_id: (row["Address"]["NodeID"], row["Pid"])
            for actor_id, row in table.items()
            if (row["ActorClassName"].endswith(RANK) if self.grouped else actor_id in own)
        }


def is_ray_gone() -> bool:
    """Whether the Ray that this process started has been killed; Tune would wait for it for minutes."""
    node = getattr(sys.modules.get("ray._private.worker"), "_global_node", None)
    return node is not None and any(each.process.poll() is not None for each in node.all_processes.get("raylet", ()))


def abandon() -> None:
    """End the Ray that this process has started, if it has, before the process ends itself without a word.

    Ray's agents notice a raylet that was killed after a minute; one that is told to end takes them along.
    """
    worker = sys.modules.get("ray._private.worker")
    node = getattr(worker, "_global_node", None)
    for raylet in node.all_processes.get("raylet", ()) if node is not None else ():
        raylet.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            raylet.process.wait(ABANDON_S)
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

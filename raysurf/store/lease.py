"""Leases in a store: of several processes that want to do one thing, one does it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

from raysurf.errors import StoreError, StoreUnavailableError
from raysurf.store.retry import backoff
from raysurf.store.store import Store

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
    """Whether a process of this place runs, or may run; one that has been given its number since is another."""
    if (status := _status(pid)) is not None:
        return status[0] not in ENDED and status[1] == since
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


FOLDER = "claims"
NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Seconds: the holder writes its file anew every so often; one that has not changed for so long is dead.
HEARTBEAT_S, EXPIRES_S = 5.0, 30.0
# How long what was written at the same moment is waited for, in seconds.
TIES_S = (0.01, 0.04, 0.2)
LONGEST_TEXT = 100
T = TypeVar("T")


def polled(look: Callable[[], T], sleeps: bool = True) -> Iterator[T]:
    """Look again and again, with growing pauses, for as long as the caller wants."""
    for pause in backoff(0.5, 2.0):
        yield look()
        if sleeps:
            time.sleep(pause)


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, as its file says.

    Args:
        who: What the process is about, for people; may be empty.
        host, pid, since: The process, and when it came, for people: its own clock.
        place, started: Tell whether it still runs, on the same machine; see ``is_running``.
        first, last: The part of the name that it holds, from the one up to, but without, the other.
    """

    who: str
    host: str
    pid: int
    since: str
    place: str | None
    started: str | None
    first: int
    last: int

    @classmethod
    def here(cls, who: str, part: tuple[int, int]) -> Holder:
        """This process, from now on."""
        pid, since = os.getpid(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return cls(who, socket.gethostname(), pid, since, place(), started(pid), *part)

    @classmethod
    def read(cls, data: bytes) -> Holder | None:
        """What a lease's file says; None if it is none that raysurf wrote."""
        try:
            content = json.loads(data)
            holder = cls(**{name: content[name] for name in cls.__dataclass_fields__})
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        texts = (holder.who, holder.host, holder.since, holder.place or "", holder.started or "")
        numbers = (holder.pid, holder.first, holder.last)
        is_ours = all(isinstance(value, str) for value in texts) and all(type(value) is int for value in numbers)
        return holder if is_ours else None

    @property
    def is_gone(self) -> bool:
        """Whether its process is known to run no more."""
        is_here = self.place is not None and self.place == place()
        return is_here and not is_running(self.pid, self.started)

    def __str__(self) -> str:
        text = f"{self.who}, " * bool(self.who) + f"pid {self.pid} on host {self.host} since {self.since}"
        return "".join(sign if sign.isprintable() else "?" for sign in text[: 3 * LONGEST_TEXT])


UNKNOWN = Holder("somebody whose lease cannot be read", "?", 0, "?", None, None, 0, 2**63)


class Lease:
    """A lease on a name in a store, or on a part of what it stands for; released at the end of a ``with`` block.

    Who wants it writes a file of its own and then looks at what others have written. It has the lease if there is
    nothing of theirs; else it takes its file back. Whoever looked first saw its own alone, and who comes later sees
    that one, so no two ever hold a lease at once; this asks no more of a store than that a list shows what was written
    before, which local disks, shared ones and S3 do. Of several that came together the first by name stays.

    The holder's heartbeat writes its file anew every ``HEARTBEAT_S``. A lease has expired, and whoever sees it removes
    it, if its process ran on this machine and has ended, or its file has not changed for ``EXPIRES_S`` of one's clock.
    A process that was frozen for so long has lost its lease and does not know; what leases guard must bear that two do
    it, and come to the same.

    Args:
        store: Where the lease is.
        name: Of letters, digits, '.', '_' and '-'.
        who: What this process is about, for those who wait; may be empty.
        part: From where up to where the name is leased; leases on parts that do not meet know nothing of each other.
        waits_for_longer: Whether this one waits for leases on parts that end later than its own.
    """

    def __init__(
        self, store: Store, name: str, who: str, part: tuple[int, int] = (0, 1), waits_for_longer: bool = True
    ) -> None:
        assert NAME.fullmatch(name), name
        self.store, self.name, self.who = store, name, who
        self.part, self.waits_for_longer = part, waits_for_longer
        self.path = f"{FOLDER}/{name}.{uuid.uuid4().hex}.json"
        # What is done beside the work neither says that the store is away, nor waits long for it.
        self._aside = store.silent(2 * HEARTBEAT_S)
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._holder = UNKNOWN
        self._beats = itertools.count()
        self._lent_since: float | None = None
        self._is_ours = False
        self._writing = threading.Lock()

    def take(self) -> Holder | None:
        """Take the lease, if nobody holds it.

        Returns:
            None if it is ours now; else who holds it.
        """
        if self._seen and (others := self._others()):
            return next(iter(others.values()))
        self._holder = Holder.here(self.who, self.part)
        try:
            self._write(self.store)
            others = self._others()
            for pause in TIES_S:
                if not others or min(others) < self.path:
                    break
                time.sleep(pause)
                others = self._others()
        except BaseException:
            self._remove()
            raise
        if others:
            self._remove()
            return next(iter(others.values()))
        self._is_ours = True
        _heart.add(self)
        return None

    def release(self) -> None:
        """Give the lease up, if it is ours. If the store does not answer, others take it for dead after a while."""
        if self._is_ours:
            self._is_ours = False
            _heart.discard(self)
            self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Lend this thread to somebody who may never give it back; the lease is given up after ``EXPIRES_S``."""
        self._lent_since = time.monotonic()
        try:
            yield
        finally:
            self._lent_since = None

    def _others(self) -> dict[str, Holder]:
        """Those that this one waits for, by path; what is dead is removed."""
        others: dict[str, Holder] = {}
        began = time.monotonic()
        paths = self.store.list(FOLDER)
        if time.monotonic() - began > HEARTBEAT_S:
            # The store was away, for those who would have written as well.
            self._seen.clear()
        for path in paths:
            name = path.removeprefix(f"{FOLDER}/").removesuffix(".json").rpartition(".")[0]
            if name != self.name or path == self.path or (data := _said(self.store, path)) is None:
                continue
            holder, now = Holder.read(data) or UNKNOWN, time.monotonic()
            if not self._waits_for(holder):
                continue
            before, since = self._seen.get(path, (None, now))
            self._seen[path] = (data, since if data == before else now)
            if holder.is_gone or now - self._seen[path][1] > EXPIRES_S:
                self.store.delete(path)
            else:
                others[path] = holder
        return others

    def _waits_for(self, other: Holder) -> bool:
        first, last = self.part
        is_longer = other.last > last and other is not UNKNOWN
        return other.first < last and first < other.last and (self.waits_for_longer or not is_longer)

    def _write(self, store: Store) -> None:
        said: dict[str, Any] = asdict(self._holder) | {"beat": next(self._beats)}
        store.put_json(self.path, said)

    def _remove(self) -> None:
        with self._writing, contextlib.suppress(StoreError):
            self._aside.delete(self.path)

    def heartbeat(self) -> None:
        """Say that it is held; if somebody else has taken it for dead, hold it no longer."""
        lent_since = self._lent_since
        if lent_since is not None and time.monotonic() - lent_since > EXPIRES_S:
            self.release()
        with self._writing, contextlib.suppress(StoreError):
            if not self._is_ours:
                return
            if self._aside.exists(self.path):
                self._write(self._aside)
            else:
                _heart.discard(self)


def remove_dead(store: Store) -> None:
    """Remove the leases of this machine's ended processes; others go when somebody wants the same."""
    for path in store.list(FOLDER):
        holder = Holder.read(_said(store, path) or b"")
        if holder is not None and holder.is_gone:
            store.delete(path)


def _said(store: Store, path: str) -> bytes | None:
    """What a lease's file says; None if it is there no more."""
    try:
        return store.get_bytes(path)
    except StoreUnavailableError:
        raise
    except StoreError:
        return b"" if store.exists(path) else None


class _Heart:
    """The one thread of a process that says that its leases are held; there while there are any."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """A forked process holds none of its parent's leases."""
        self._leases: set[Lease] = set()
        self._lock = threading.Lock()
        self._is_running = False

    def add(self, lease: Lease) -> None:
        with self._lock:
            self._leases.add(lease)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="leases", daemon=True).start()

    def discard(self, lease: Lease) -> None:
        with self._lock:
            self._leases.discard(lease)

    def _run(self) -> None:
        while True:
            time.sleep(HEARTBEAT_S)
            with self._lock:
                leases = list(self._leases)
                self._is_running = bool(leases)
            if not leases:
                return
            for lease in leases:
                lease.heartbeat()


_heart = _Heart()

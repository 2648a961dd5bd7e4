"""What other processes do with leases in the tests; it imports little, so that they start soon."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from raysurf.store import lease as leases
from raysurf.store.lease import Lease
from raysurf.store.store import Store


def started(act: Callable[..., None], *arguments: object) -> BaseProcess:
    """A new process that does something."""
    child = multiprocessing.get_context("spawn").Process(target=act, args=arguments)
    child.start()
    return child


def hold(uri: str, beat_s: float = 5.0) -> None:
    """Take a lease, and never give it back."""
    leases.HEARTBEAT_S = beat_s
    lease = Lease(Store(uri), "one", "sweep x")
    assert lease.take() is None
    time.sleep(600)


def hammer(uri: str, folder: str, threads: int, rounds: int) -> None:
    """Take a lease again and again, each time to make a file that must not be there, and to remove it."""
    done = [0] * threads

    def take_in_turns(number: int) -> None:
        for _ in range(rounds):
            with Lease(Store(uri, known=True), "one", f"thread {number}") as lease:
                while lease.take() is not None:
                    time.sleep(0.02 if uri.startswith("s3") else 0.001)
                os.close(os.open(f"{folder}/held", os.O_CREAT | os.O_EXCL))
                with open(f"{folder}/count", "a") as file:
                    file.write("x")
                os.unlink(f"{folder}/held")
                done[number] += 1

    every = [threading.Thread(target=take_in_turns, args=(number,)) for number in range(threads)]
    for process in every:
        process.start()
    for process in every:
        process.join()
    if done != [rounds] * threads:
        os._exit(1)


def write(store: Store, name: str, said: bytes) -> None:
    """Put a lease's file there, as another process would have."""
    store.put_bytes(f"claims/{name}.{'0' * 32}.json", said)


def elsewhere(**changes: object) -> bytes:
    """What a lease of another host says."""
    said = {"who": "sweep y", "host": "far", "pid": 12, "since": "now", "place": "far b n", "started": "7"}
    return json.dumps(said | {"first": 0, "last": 1, "beat": 0} | changes).encode()

"""A network that fails as it is told to, until a file is there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from torch import nn

import raysurf as rs
from tests.support.cases import tiny_sgd


def net(
    num_classes: int,
    image_shape: tuple[int, int, int],
    fault: str = "",
    until: str = "",
    log: str = "",
    fails: int = 99,
) -> Any:
    """A linear network.

    Args:
        num_classes, image_shape: As ever.
        fault: bug, environment, memory, gpu_memory, exit or hang.
        until: A file; when it is there, nothing fails.
        log: A file; a line is added to it at every try.
        fails: How many tries fail.
    """
    tries = 0
    if log:
        with Path(log).open("a") as file:
            file.write("tried\n")
        tries = len(Path(log).read_text().splitlines())
    if fault and not (until and Path(until).exists()) and tries <= fails:
        if fault == "bug":
            raise KeyError("layer7")
        if fault == "environment":
            # A worker has variables of its own, which the driver does not know.
            os.environ["OF_WORKER_TOKEN"] = "w0rker"
            raise RuntimeError(f"{dict(os.environ)} and {os.environ['OF_WORKER_TOKEN']}")
        if fault == "memory":
            raise MemoryError("the examples do not fit")
        if fault == "gpu_memory":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if fault == "exit":
            os._exit(1)
        if fault == "hang":
            time.sleep(600)
    size = image_shape[0] * image_shape[1] * image_shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, num_classes))


NET = "tests.support.flaky:net"


def linear(epochs: int = 1, **options: str | int) -> rs.SGD:
    """An epoch of a network that fails as its options say."""
    data = rs.DataSpec(name="digits", share=0.1)
    return tiny_sgd(model=rs.ModelSpec(name=NET, options=options), data=data, epochs=epochs)

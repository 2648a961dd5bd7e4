"""A network that writes down which process builds it, and brings its group down as it is told to."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch.distributed as dist
from torch import nn


def net(num_classes: int, image_shape: tuple[int, int, int], log: str, fault: str = "") -> nn.Module:
    """A network without batch norm, whose gradient does not depend on how a batch is shared.

    Args:
        num_classes, image_shape: As ever.
        log: A file; ``fault``, rank and process are added to it as a line.
        fault: ``kill`` kills rank 1 the first time; ``bug`` raises on rank 1 alone.
    """
    rank = dist.get_rank() if dist.is_initialized() else 0
    before = Path(log).read_text() if Path(log).exists() else ""
    with Path(log).open("a") as file:
        file.write(f"{fault or '-'} {rank} {os.getpid()}\n")
    if rank == 1 and fault == "kill" and f"{fault} 1 " not in before:
        os.kill(os.getpid(), signal.SIGKILL)
    if rank == 1 and fault == "bug":
        raise KeyError("layer7")
    size = image_shape[0] * image_shape[1] * image_shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.ReLU(), nn.Linear(16, num_classes))

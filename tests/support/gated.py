"""A network that says when it is built, and is not before a file is gone; and processes that train it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from raysurf.jobs.execute import execute, execute_piece
from raysurf.jobs.measuring import MeasuringJob
from raysurf.jobs.parse import parse_job
from raysurf.jobs.provenance import Labels, collect
from raysurf.store.store import Store
from raysurf.training.workers import Workers

# Names a file; while it is there, this process builds no network.
GATE = "RAYSURF_TEST_GATE"


def net(num_classes: int, image_shape: tuple[int, int, int], log: str = "") -> Any:
    """A linear network.

    Args:
        num_classes, image_shape: As ever.
        log: A file that gets a line, this process's number, whenever one is built.
    """
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()}\n")
    gate, began = os.environ.get(GATE), time.monotonic()
    while gate and Path(gate).exists():
        if time.monotonic() - began > 300:
            raise TimeoutError(f"{gate} is still there")
        time.sleep(0.01)
    return nn.Sequential(nn.Flatten(), nn.Linear(image_shape[0] * image_shape[1] * image_shape[2], num_classes))


def builders(log: Path) -> list[int]:
    """The processes that have built a network, once for every one."""
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def labels(sweep: str) -> Labels:
    return Labels(sweep, "trial", "arm", collect())


def run_job(tree: dict[str, Any], uri: str, gate: str, points: tuple[int, ...] = ()) -> None:
    """Do a job, or measure some of its points, behind a gate; on one thread, as the tests' own process does."""
    torch.set_num_threads(1)
    os.environ[GATE] = gate
    job, store = parse_job(tree), Store(uri)
    if points:
        assert isinstance(job, MeasuringJob)
        execute_piece(job, store, Workers(), lambda at: None, points, "other")
    else:
        execute(job, store, Workers(), lambda at: None, labels("other"))


def run_in_group(tree: dict[str, Any], uri: str, gate: str, meeting: str, rank: int, size: int) -> None:
    """Do a job as one worker of a group; the gate is opened when it is told that it waits."""
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    execute(parse_job(tree), Store(uri), Workers(rank, size), lambda at: open_when_waiting(at, gate), labels("group"))
    dist.destroy_process_group()


def open_when_waiting(at: Any, gate: str) -> None:
    """Open the gate as soon as somebody is waited for."""
    if at.waits_for:
        Path(gate).unlink(missing_ok=True)

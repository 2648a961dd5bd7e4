"""A network that writes down every training step that it takes, and the process that takes it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch.distributed as dist
from torch import Tensor, nn

import raysurf as rs
from raysurf.cluster.shutdown import of_ray_worker
from tests.support.cases import tiny_sgd

EPOCHS, STEPS, WAITS_AT = 2, 16, 5
PATIENCE_S = 60.0


class Stepping(nn.Module):
    """A linear network with dropout, every training step of which is a line of a file.

    Args:
        size: Values of an image.
        num_classes: As ever.
        log: The file.
        step_s: What a step takes at least, in seconds.
        waits: Whether the fifth step waits until the process has been told to leave, or ``log.go`` is there.
    """

    def __init__(self, size: int, num_classes: int, log: Path, step_s: float, waits: bool) -> None:
        super().__init__()
        self.drop, self.layer, self.log, self.step_s = nn.Dropout(0.2), nn.Linear(size, num_classes), log, step_s
        self.left = WAITS_AT if waits else 0

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            time.sleep(self.step_s)
            with self.log.open("a") as file:
                file.write(f"{os.getpid()}\n")
            self.left -= 1
            if self.left == 0:
                self._wait()
        logits: Tensor = self.layer(self.drop(images.flatten(1)))
        return logits

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while not of_ray_worker().is_set() and not go_file(self.log).exists() and time.monotonic() < until:
            time.sleep(0.01)


def net(num_classes: int, image_shape: tuple[int, int, int], log: str, step_s: float = 0.0) -> nn.Module:
    """A stepping network; the first that is built for a log waits, or the first of each worker of a group."""
    built, workers = Path(f"{log}.built"), dist.get_world_size() if dist.is_initialized() else 1
    with built.open("a") as file:
        file.write("built\n")
    waits = len(built.read_text().splitlines()) <= workers
    return Stepping(image_shape[0] * image_shape[1] * image_shape[2], num_classes, Path(log), step_s, waits)


def go_file(log: Path) -> Path:
    """What lets go on those that wait, told or not."""
    return log.with_name(f"{log.name}.go")


def stepping(log: Path, step_s: float = 0.0) -> rs.SGD:
    """Two epochs of 16 steps of such a network."""
    model = rs.ModelSpec(name="tests.support.stepping:net", options={"log": str(log), "step_s": step_s})
    return tiny_sgd(model=model, data=rs.DataSpec(name="digits"), epochs=EPOCHS)


def steps_of(log: Path) -> list[int]:
    """The process of every step that was taken, in order."""
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def left_after(steps: int, said: str) -> bool:
    """Whether it was said that training left after so many steps; after the last of an epoch, or after the epoch."""
    epoch, step = divmod(steps - 1, STEPS)
    places = [f"in epoch {epoch + 1}, after step {step + 1}"] + [f"after epoch {epoch + 1}"] * (step + 1 == STEPS)
    return any(f"was told to leave, {place}, and goes on from there" in said for place in places)

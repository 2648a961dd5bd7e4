"""Sweeps of short trials that take as long as they are told to, so that there is time to disturb them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import raysurf as rs

NET = "tests.support.paced:net"
HURRY = "hurry"


class Paced(nn.Module):
    """A linear network, every training step of which waits for ``step_s`` seconds until it may hurry."""

    def __init__(self, size: int, num_classes: int, step_s: float, hurries: Path) -> None:
        super().__init__()
        self.layer, self.step_s, self.hurries = nn.Linear(size, num_classes), step_s, hurries

    def forward(self, images: Tensor) -> Tensor:
        if self.training and not self.hurries.exists():
            time.sleep(self.step_s)
        logits: Tensor = self.layer(images.flatten(1))
        return logits


def net(num_classes: int, image_shape: tuple[int, int, int], step_s: float, log: str) -> nn.Module:
    """A paced network; the process that builds it adds its id to the file ``log``, a line each time."""
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return Paced(image_shape[0] * image_shape[1] * image_shape[2], num_classes, step_s, Path(log).with_name(HURRY))


def paced_file(folder: Path, trials: int = 2, epochs: int = 20, step_s: float = 0.03, more: str = "") -> Path:
    """A file of trials of two steps an epoch, each with a log of its own in the folder: ``log0``, ``log1``, ...

    Args:
        folder: Where to write it.
        trials, epochs: How many.
        step_s: What a step takes, in seconds.
        more: Further lines of the sweep.
    """
    options = [{"step_s": step_s, "log": str(folder / f"log{number}")} for number in range(trials)]
    text = f"""
name: paced
job:
  kind: sgd
  model: {{name: "{NET}", options: !each {json.dumps(options)}}}
  data: {{name: digits, share: 0.1}}
  epochs: {epochs}
  lr: 0.1
  batch_size: 64
"""
    (folder / "paced.yaml").write_text(text + more)
    return folder / "paced.yaml"


def paced(folder: Path, **settings: Any) -> rs.Sweep:
    """The sweep of such a file."""
    (sweep,) = rs.load(paced_file(folder, **settings))
    return sweep


def hurry(folder: Path) -> None:
    """From now on no step of the folder's trials waits: there is nothing more to be disturbed."""
    (folder / HURRY).touch()


def undisturbed(sweeps: Any, folder: Path) -> str:
    """Run sweeps whose trials log in a folder in this process, without a wait; the address of what came of it."""
    hurry(folder)
    calm = str(folder / "calm")
    assert rs.run(sweeps, calm, executor="inline").failed == 0
    return calm


def processes(log: Path) -> list[int]:
    """Ids of the processes that have built the network of a log, the first first."""
    return [int(line) for line in log.read_text().splitlines()]


def first_epochs(uri: str) -> dict[str, float]:
    """By run, how long its first epoch took, in seconds; no two times are the same."""
    rows = rs.results.open(uri).table("epochs", where="epoch = 1").to_pylist()
    return {row["run_id"]: row["epoch_s"] for row in rows}

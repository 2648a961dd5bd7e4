"""A job whose cost is known, and the same work as others would run it, for ``tests.benchmarks.service``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from raysurf import plugs
from raysurf.data.spec import DataSpec
from raysurf.jobs.job import Context, Job
from raysurf.models.spec import ModelSpec


class Work(Job):
    """Epochs that take a given time, with a row and a report each, and saved weights; the figure is (x - 0.3)^2."""

    kind: ClassVar[str] = "work"

    x: float = 0.0
    epochs: int = Field(1, ge=1)
    epoch_s: float = Field(0.0, ge=0, description="time that an epoch takes, in seconds")
    busy: bool = Field(True, description="whether it computes meanwhile, or sleeps")
    weights_kib: int = Field(0, ge=0, description="size of the weights that are saved")

    @property
    def model_spec(self) -> ModelSpec:
        return ModelSpec(name="none")

    @property
    def data_spec(self) -> DataSpec:
        return DataSpec(name="none")

    @property
    def epochs_to_train(self) -> int:
        return self.epochs

    def run(self, context: Context) -> dict[str, float]:
        metrics: dict[str, float] = {}

        def after_epoch(epoch: int, value: float) -> None:
            measured = {
                f"{split}_{name}": value for split in ("train", "validation") for name in ("loss", "error", "nll")
            }
            context.report(
                "epochs", {"epoch": epoch, "weights": "iterate", "lr": 0.1, **measured, "epoch_s": self.epoch_s}
            )
            metrics["validation/nll"] = value
            context.progress(epoch, self.epochs, metrics)

        work(self.x, self.epochs, self.epoch_s, self.busy, after_epoch)
        if self.weights_kib:
            context.save("weights", {"point/w": torch.zeros(256 * self.weights_kib)})
        return metrics


plugs.GROUPS["jobs"].own[Work.kind] = f"{__name__}:Work"


def work(x: float, epochs: int, epoch_s: float, busy: bool, after_epoch: Callable[[int, float], Any]) -> None:
    """What every one of them does: so many epochs, each told with the figure."""
    for epoch in range(1, epochs + 1):
        compute(epoch_s) if busy else time.sleep(epoch_s)
        after_epoch(epoch, (x - 0.3) ** 2 + 0.01 / epoch)


def compute(cpu_s: float) -> None:
    """Use one core for so many seconds of its time, however many share it."""
    until, square = time.thread_time() + cpu_s, np.ones((100, 100))
    while time.thread_time() < until:
        square @ square

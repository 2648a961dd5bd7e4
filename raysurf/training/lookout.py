"""When a group of workers saves a state in the middle of an epoch, and when it leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from raysurf.training.workers import Workers, never


class Seen(NamedTuple):
    """What all workers of a group are to do now: leave, and save a state beforehand or anyway."""

    leave: bool
    save: bool


class Lookout:
    """Finds out, for all workers of a group after the same step, whether any of them has been told to leave.

    A lone worker looks after every step. A group, whose look is a message, looks about every ``EVERY_S`` seconds: at
    each look rank 0 says after how many steps the next one is.
    """

    EVERY_S = 1.0

    def __init__(self, workers: Workers) -> None:
        self.workers = workers
        self._ahead = self._left = 1
        self._looked = time.perf_counter()

    def look(self, is_due: Callable[[], bool] = never) -> Seen:
        """What is to be done after this step, which every worker must ask after each.

        Args:
            is_due: Whether a state should be saved anyway; rank 0 is asked.
        """
        workers = self.workers
        if workers.size == 1:
            told = workers.is_told()
            return Seen(told, told or is_due())
        self._left -= 1
        if self._left:
            return Seen(False, False)
        is_first = workers.rank == 0
        said = [workers.is_told(), is_first and is_due(), is_first * self._next()]
        told_by, due, ahead = workers.sum(torch.tensor(said, dtype=torch.float64, device=workers.device)).tolist()
        self._ahead = self._left = int(ahead)
        self._looked = time.perf_counter()
        return Seen(told_by > 0, told_by > 0 or due > 0)

    def _next(self) -> int:
        """Steps of ``EVERY_S`` seconds, as fast as those since the last look; not many more than those were."""
        if self.workers.device.type == "cuda":
            torch.cuda.synchronize(self.workers.device)
        step_s = (time.perf_counter() - self._looked) / self._ahead
        return max(1, min(10 * self._ahead, int(self.EVERY_S / max(step_s, 1e-9))))

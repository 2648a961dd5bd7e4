"""The group of data-parallel workers of a job, and its random numbers by key."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def never() -> bool:
    """No."""
    return False


@dataclass(frozen=True)
class Workers:
    """A group of workers that hold the same weights and share every batch.

    Args:
        rank: This worker's number, from 0.
        size: How many there are.
        device: Where this worker's tensors live.
        is_told: Whether this worker has been told to leave, since its process or node will be gone soon.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009
    is_told: Callable[[], bool] = never

    def share(self, count: int) -> slice:
        """This worker's part of ``count`` things; the parts are disjoint and cover all.

        No part is of one thing alone, which batch norm cannot be trained on, unless there is but one: of few things
        the last workers have none.
        """
        size = min(self.size, max(1, count // 2))
        return slice(*(count * min(rank, size) // size for rank in (self.rank, self.rank + 1)))

    def sum(self, value: Tensor) -> Tensor:
        """Add a tensor over the group, in place, and return it."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def least(self, value: Tensor) -> Tensor:
        """Take the smallest of a tensor over the group, in place, and return it."""
        if self.size > 1:
            dist.all_reduce(value, dist.ReduceOp.MIN)
        return value

    def sum_all(self, values: Sequence[Tensor]) -> None:
        """Add many tensors over the group in place, as one message."""
        if self.size == 1 or not values:
            return
        values = [torch.view_as_real(value) if value.is_complex() else value for value in values]
        flat = torch.cat([value.reshape(-1) for value in values])
        dist.all_reduce(flat)
        parts = torch.split(flat, [value.numel() for value in values])
        torch._foreach_copy_(list(values), [part.view_as(value) for part, value in zip(parts, values, strict=True)])

    def rows(self, own: Tensor) -> Tensor:
        """What every worker has, [size, ...], in the order of ranks; a new tensor, on the device of ``own``."""
        if self.size == 1:
            return own[None].clone()
        values = [torch.empty_like(own, device=self.device) for _ in range(self.size)]
        dist.all_gather(values, own.to(self.device))
        return torch.stack(values).to(own.device)

    def follow(self, values: Iterable[Tensor]) -> None:
        """Take rank 0's values, in place."""
        if self.size > 1:
            for value in values:
                dist.broadcast(value, src=0)

    def union(self, own: Collection[str]) -> list[str]:
        """What any worker of the group has, sorted."""
        by_worker: list[Any] = [list(own)]
        if self.size > 1:
            by_worker = [None] * self.size
            dist.all_gather_object(by_worker, list(own))
        return sorted({item for part in by_worker for item in part})

    def agree(self, flag: bool) -> bool:
        """What rank 0 says, on every worker."""
        if self.size == 1:
            return flag
        said = torch.tensor([int(flag)], device=self.device)
        dist.broadcast(said, src=0)
        return bool(said.item())

    def is_any_told(self) -> bool:
        """Whether any worker has been told to leave."""
        if self.size == 1:
            return self.is_told()
        return bool(self.sum(torch.tensor([int(self.is_told())], device=self.device)).item())

    def barrier(self) -> None:
        """Wait for the whole group."""
        if self.size > 1:
            dist.barrier()


def stream(*key: object) -> random.Random:
    """Random numbers that depend on a key alone, so that resuming needs no generator's state."""
    return random.Random("/".join(map(str, key)))

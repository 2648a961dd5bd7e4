"""Which examples form the batches of an epoch: shuffled ones, or labelled and unlabelled ones in fixed numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raysurf.training.cycles import num_batches


def shuffled(num_examples: int, size: int, generator: torch.Generator, device: torch.device) -> list[Tensor]:
    """Batches of all examples in a random order.

    Args:
        num_examples: How many there are.
        size: Examples a batch.
        generator: Of the order, on the CPU.
        device: Where the batches, int64, are wanted.
    """
    order = torch.randperm(num_examples, generator=generator).to(device)
    return _cut(order, size, num_batches(num_examples, size))


@dataclass(frozen=True)
class TwoStreams:
    """Batches of two kinds of examples: an epoch is one pass over the unlabelled, while labelled ones are cycled.

    Args:
        labelled, unlabelled: Numbers of the examples, [L] and [U] int64 on the CPU.
        batch_size: Examples a batch.
        labelled_batch: Labelled ones among them, in every batch.

    Source:
        Tarvainen & Valpola 2017, code. Deviation: it drops a last batch that is not full; here the rule of
        ``num_batches`` holds, so that no example is left out.
    """

    labelled: Tensor
    unlabelled: Tensor
    batch_size: int
    labelled_batch: int

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return num_batches(len(self.unlabelled), self.batch_size - self.labelled_batch)

    def epoch(self, generator: torch.Generator, device: torch.device) -> list[Tensor]:
        """The batches of one epoch, each in a random order, so that every worker's part has both kinds."""
        wanted = self.steps * self.labelled_batch
        rounds = -(-wanted // len(self.labelled))
        cycled = torch.cat([_permuted(self.labelled, generator) for _ in range(rounds)])[:wanted]
        once = _cut(_permuted(self.unlabelled, generator), self.batch_size - self.labelled_batch, self.steps)
        pairs = zip(once, torch.split(cycled, self.labelled_batch), strict=True)
        batches = [_permuted(torch.cat(pair), generator) for pair in pairs]
        return list(torch.split(torch.cat(batches).to(device), [len(batch) for batch in batches]))


def _permuted(values: Tensor, generator: torch.Generator) -> Tensor:
    return values[torch.randperm(len(values), generator=generator)]


def _cut(order: Tensor, size: int, count: int) -> list[Tensor]:
    return list(order.tensor_split([i * size for i in range(1, count)]))

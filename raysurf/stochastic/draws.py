"""Random numbers for noise: fresh ones for training, and ones that can be had again for predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


class Draws:
    """Fresh numbers from torch's global generator; what training uses."""

    def normal(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Standard normal numbers for a batch, [B, ...] or whatever the network makes of it."""
        return torch.randn(tuple(shape), device=like.device, dtype=like.dtype)

    def uniform(self, shape: Sequence[int], like: Tensor, axis: int | None = None) -> Tensor:
        """Numbers from U(0, 1) for a batch; ``axis`` is where its examples are, if that is known."""
        return torch.rand(tuple(shape), device=like.device, dtype=like.dtype)

    def weights(self, shape: Sequence[int], like: Tensor, uniform: bool = False) -> Tensor:
        """Numbers for weights: one set, whatever the batch."""
        return self.uniform(shape, like) if uniform else self.normal(shape, like)

    def order(self, count: int, device: torch.device) -> Tensor:
        """A random order of ``count`` things, int64."""
        return torch.randperm(count, device=device)


class RepeatableDraws(Draws):
    """Numbers that depend on seed, sample and example alone: not on batches, workers, or what was drawn before.

    Examples lie in blocks of ``BLOCK``; each block of each sample has a generator of its own, whose numbers go to the
    noise of a network in the order in which its pass asks for them. The batch may be another axis than the first, or
    the outer part of one; noise of a shape without it is of the sample alone.

    Args:
        seed: Of all draws.
        sample: Number of the sample, from 0.
        first: Number of the batch's first example in its split.
        count: Examples of the batch.
        device: Where numbers are drawn; the same on one kind of device only.
    """

    BLOCK = 128

    def __init__(self, seed: int, sample: int, first: int, count: int, device: torch.device) -> None:
        self.seed, self.sample, self.first, self.count, self.device = seed, sample, first, count, device
        self._generators: dict[int, torch.Generator] = {}

    def normal(self, shape: Sequence[int], like: Tensor) -> Tensor:
        return self._drawn(shape, like, uniform=False)

    def uniform(self, shape: Sequence[int], like: Tensor, axis: int | None = None) -> Tensor:
        return self._drawn(shape, like, uniform=True, axis=axis)

    def weights(self, shape: Sequence[int], like: Tensor, uniform: bool = False) -> Tensor:
        out = torch.empty(tuple(shape), device=like.device, dtype=like.dtype)
        generator = self._generator(-1)
        return out.uniform_(generator=generator) if uniform else out.normal_(generator=generator)

    def order(self, count: int, device: torch.device) -> Tensor:
        return torch.randperm(count, generator=self._generator(-1), device=device)

    def _drawn(self, shape: Sequence[int], like: Tensor, uniform: bool, axis: int | None = None) -> Tensor:
        if axis is None:
            axis = self._batch_axis(shape)
        if axis is None or shape[axis] % self.count:
            return self.weights(shape, like, uniform)
        rest = (*shape[:axis], *shape[axis + 1 :])
        out = self._by_example((self.count, shape[axis] // self.count, *rest), like, uniform)
        return out.flatten(0, 1).movedim(0, axis)

    def _batch_axis(self, shape: Sequence[int]) -> int | None:
        """First axis as long as the batch, else the first whose length is a multiple of it."""
        whole = [axis for axis, size in enumerate(shape) if size == self.count]
        shared = [axis for axis, size in enumerate(shape) if size and size % self.count == 0]
        return next(iter(whole + shared), None)

    def _by_example(self, shape: Sequence[int], like: Tensor, uniform: bool) -> Tensor:
        out = torch.empty(tuple(shape), device=like.device, dtype=like.dtype)
        at, end = self.first, self.first + self.count
        while at < end:
            block, offset = divmod(at, self.BLOCK)
            size = min(self.BLOCK - offset, end - at)
            rows = out[at - self.first : at - self.first + size]
            # Part of a block has the numbers that it would have in the whole one.
            drawn = rows if size == self.BLOCK else out.new_empty(self.BLOCK, *shape[1:])
            generator = self._generator(block)
            _ = drawn.uniform_(generator=generator) if uniform else drawn.normal_(generator=generator)
            if drawn is not rows:
                rows.copy_(drawn[offset : offset + size])
            at += size
        return out

    def _generator(self, block: int) -> torch.Generator:
        if block not in self._generators:
            digest = hashlib.blake2b(f"{self.seed}/{self.sample}/{block}".encode(), digest_size=8).digest()
            generator = torch.Generator(self.device)
            generator.manual_seed(int.from_bytes(digest, "big") >> 1)
            self._generators[block] = generator
        return self._generators[block]


FRESH = Draws()

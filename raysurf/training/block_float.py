"""Block floating point: numbers of a block share an exponent, and each has a few bits of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def quantise(
    values: Tensor, bits: int, rounding: str, by_slice: bool, generator: torch.Generator | None = None
) -> Tensor:
    """Round to multiples of 2^(e - bits + 2) within 2^(e + 1), where e = floor(log2 max |x|) over the block.

    Args:
        values: Any shape, floating.
        bits: Of each number, its sign among them; 2 at least.
        rounding: ``nearest`` (halves to even), or ``stochastic``: up with a chance of the part that is cut off, so that
            the mean is the value, except above the largest number, 2^(e + 1) - 2^(e - bits + 2).
        by_slice: A block is a slice along the first dimension; else, and of a vector, all of it.
        generator: Of stochastic rounding, on the values' device; torch's global one if None.

    Returns:
        New values of the same shape; zeros stay zeros, and a block with a NaN or an infinity is NaN.

    Source:
        Yang et al. 2019 (arXiv:1904.11943), section 5, and its code. Deviation: e is at least bits - 128, so that the
        step is a normal float32 number.
    """
    if values.numel() == 0:
        return values.clone()
    dims = tuple(range(1, values.dim())) if by_slice and values.dim() > 1 else tuple(range(values.dim()))
    largest = values.abs().amax(dim=dims, keepdim=True)
    exponent = (torch.frexp(largest).exponent - 1).clamp_(min=bits - 128)
    step = torch.ldexp(torch.ones_like(largest), exponent - (bits - 2))
    step = torch.where(largest.isfinite(), step, torch.nan)
    scaled = values / step
    if rounding == "nearest":
        scaled.round_()
    else:
        chance = torch.rand(scaled.shape, dtype=scaled.dtype, device=scaled.device, generator=generator)
        scaled.add_(chance).floor_()
    return scaled.clamp_(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1).mul_(step)


class _RoundBothWays(torch.autograd.Function):
    """Rounds what goes forward, and the error that comes back, each to bits of its own (None: not at all)."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, bits: int | None, error_bits: int | None, rounding: str, by_slice: bool
    ) -> Tensor:
        ctx.how = (error_bits, rounding, by_slice)
        return values.view_as(values) if bits is None else quantise(values, bits, rounding, by_slice)

    @staticmethod
    def backward(ctx: Any, *errors: Tensor) -> tuple[Tensor | None, ...]:
        bits, rounding, by_slice = ctx.how
        (error,) = errors
        return (error if bits is None else quantise(error, bits, rounding, by_slice), None, None, None, None)


def round_both_ways(values: Tensor, bits: int | None, error_bits: int | None, rounding: str, by_slice: bool) -> Tensor:
    """Quantise activations, and on the way back their errors.

    Args:
        values: [b, ...], which gradients go through.
        bits, error_bits: Of both; None to leave them as they are.
        rounding, by_slice: As of ``quantise``.
    """
    rounded: Tensor = _RoundBothWays.apply(values, bits, error_bits, rounding, by_slice)
    return rounded

"""Block floating point, and the cross-entropy of a network trained in it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from raysurf.training.objective import cross_entropy


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


class BlockFloatLoss:
    """Mean cross-entropy of a network whose activations, errors, gradients, momenta and weights have few bits.

    Rounded are the inputs of linear and convolutional layers but the images, and the outputs of convolutions without a
    bias, which batch norm follows; the errors that come back at these places; then in each step
    g = Q_G(g), a = Q_Acc(SGD(a, g)), w = Q_W(a), m = Q_G(m). The network computes with w, which is what a job leaves
    and what averages are of. Sums and products themselves are float32, and so is evaluation's forward pass.

    Args:
        model: Its modules and the names of its parameters stay as they are.
        spec: A ``BlockFloat``: bits and blocks.
        decay: L2 coefficient, by the optimiser, of the accumulators.

    Source:
        Yang et al. 2019 (arXiv:1904.11943), algorithm 2, and its code. Deviations: its low-precision network is
        evaluated with rounded activations; its PreResNet does not round the inputs of shortcuts and of the last layer.
        It rounds weights twice, here they are rounded once: the second time changes a block whose largest number has
        been rounded to -2^(e + 1), as some .275 % of blocks are, since its step is twice as long then.
    """

    own_rates: Mapping[str, float] = {}

    def __init__(self, model: nn.Module, spec: Any, decay: float) -> None:
        self.model, self.spec, self.decay = model, spec, decay
        self.trainables: Mapping[str, Tensor] = dict(model.named_parameters())
        self._shared = random.Random(0)

    def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
        # Weights must be rounded alike on every worker, activations need not be.
        self._shared = draw
        with self._rounded_activations():
            return cross_entropy(self.model, inputs, labels, num_examples, "fp32")

    @contextmanager
    def _rounded_activations(self) -> Iterator[None]:
        spec = self.spec
        by_slice = spec.activation_block == "example"

        def rounded(value: Any) -> Any:
            if not isinstance(value, Tensor) or not value.requires_grad:
                return value
            return round_both_ways(value, spec.activations, spec.errors, spec.rounding, by_slice)

        def before(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            return (rounded(arguments[0]), *arguments[1:])

        def after(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
            return rounded(output)

        handles = []
        for module in self.model.modules():
            if isinstance(module, nn.Linear | _ConvNd):
                handles.append(module.register_forward_pre_hook(before))
            if isinstance(module, _ConvNd) and module.bias is None:
                handles.append(module.register_forward_hook(after))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def own_step(self, optimiser: torch.optim.Optimizer) -> Callable[[], object]:
        """The optimiser's step with its inputs and outcome rounded; accumulators stay in the optimiser's state.

        There are accumulators apart from the weights only if they have other bits.
        """
        spec = self.spec
        apart = spec.accumulators != spec.weights
        tensors = list(self.trainables.values())

        @torch.no_grad()
        def step() -> None:
            generator = torch.Generator(tensors[0].device).manual_seed(self._shared.getrandbits(63))

            def round_(tensor: Tensor | None, bits: int | None) -> None:
                if tensor is not None and bits is not None:
                    tensor.copy_(quantise(tensor, bits, spec.rounding, spec.block == "channel", generator))

            for tensor in tensors:
                round_(tensor.grad, spec.gradients)
                if apart and (accumulator := optimiser.state[tensor].get("accumulator")) is not None:
                    tensor.copy_(accumulator)
            optimiser.step()
            for tensor in tensors:
                kept = optimiser.state[tensor]
                round_(tensor, spec.accumulators)
                if apart:
                    kept.setdefault("accumulator", torch.empty_like(tensor)).copy_(tensor)
                    round_(tensor, spec.weights)
                round_(kept.get("momentum_buffer"), spec.gradients)

        return step

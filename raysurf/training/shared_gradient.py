"""An SGD step of tensors whose gradients are multiples of one gradient, none of which is written to main memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from raysurf.training.layout import flat_views
from raysurf.training.optimisers import SGD

# Elements at a time: what is written of them is still in a core's cache when it is read. A multiple of a cache line, so
# that the same elements as in a whole tensor go through the vector instructions, whose last bit may differ.
CHUNK = 2**18


def serves(optimiser: torch.optim.Optimizer) -> TypeGuard[torch.optim.SGD]:
    """Whether ``sgd_step`` does what this optimiser does."""
    if type(optimiser) not in (torch.optim.SGD, SGD) or len(optimiser.param_groups) != 1:
        return False
    group = optimiser.param_groups[0]
    return bool(group["fused"]) and group["dampening"] == 0


@torch.no_grad()
def sgd_step(
    optimiser: torch.optim.SGD, tensors: Sequence[Tensor], gradient: Tensor, multiples: Sequence[float]
) -> bool:
    """Take the step that the optimiser would if each tensor's ``.grad`` were its multiple of one gradient.

    m_i = momentum m_i + c_i g;  theta_i = theta_i - lr m_i,  with Nesterov theta_i - lr (c_i g + momentum m_i)

    It equals ``optimiser.step()`` to the last bit, and momenta stay in the optimiser's state. They begin as zeros,
    where torch's are copies of the first gradients: the sign of a zero may differ.

    Args:
        optimiser: One that ``serves``, of these tensors among others.
        tensors: theta_i, of one shape; changed in place.
        gradient: g, of the same shape.
        multiples: c_i, one a tensor.

    Returns:
        False, with nothing done, unless gradient and tensors all lie in memory in one order and without gaps.
    """
    flat = flat_views([gradient, *tensors])
    if flat is None:
        return False
    group = optimiser.param_groups[0]
    kept = [_momentum(optimiser, tensor) for tensor in tensors] if group["momentum"] else []
    momenta = flat_views([tensors[0], *kept])
    assert momenta is not None, "a momentum is laid out as its tensor"
    settings = {key: group[key] for key in ("weight_decay", "momentum", "lr", "dampening", "nesterov", "maximize")}
    scratch = tensors[0].new_empty(len(tensors), min(CHUNK, gradient.numel()))
    for first in range(0, gradient.numel(), CHUNK):
        part, *values = (view[first : first + CHUNK] for view in flat)
        gradients = [torch.mul(part, c, out=row[: len(part)]) for row, c in zip(scratch, multiples, strict=True)]
        sgd(values, gradients, [view[first : first + CHUNK] for view in momenta[1:]], fused=True, **settings)
    return True


def _momentum(optimiser: torch.optim.SGD, tensor: Tensor) -> Tensor:
    found: Tensor | None = optimiser.state[tensor].get("momentum_buffer")
    if found is None:
        found = optimiser.state[tensor]["momentum_buffer"] = torch.zeros_like(tensor)
    return found

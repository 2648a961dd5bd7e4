"""Faster steps on a CPU: memory layout, small maps, optimisers without torch.compile, and shared gradients."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.sgd import sgd

from raysurf.weightspace.point import Point, require_kinds, require_same

# Places of a map up to which a product of patches is faster, at fp32 and at bf16; up to which, at fp32, the contiguous
# kernels are; and channels from which it matters.
PLACES = {torch.float32: 4, torch.bfloat16: 16}
CONTIGUOUS_PLACES = 16
CHANNELS = 128


class SmallMapConv2d(nn.Conv2d):
    """A 3x3 convolution that goes the fastest way for small maps, and is ``nn.Conv2d`` for all others.

    Its parameters, results (up to rounding) and derivatives are those of ``nn.Conv2d``.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
        places = input.shape[-1] * input.shape[-2]
        if input.device.type == "cpu" and input.dim() == 4 and places <= CONTIGUOUS_PLACES:
            if places <= PLACES.get(dtype, 0):
                return convolve_patches(input.to(dtype), weight, bias)
            out: Tensor = super()._conv_forward(input.contiguous(), weight.contiguous(), bias)
            return out.contiguous(memory_format=torch.channels_last)
        out = super()._conv_forward(input, weight, bias)
        return out


def convolve_patches(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with a 3x3 kernel, stride 1 and a border of one zero, as a matrix product.

    Args:
        images: Shape (N, C, H, W); fast if stored channels last.
        weight: Shape (O, C, 3, 3); fast if stored channels last.
        bias: Shape (O,).

    Returns:
        Shape (N, O, H, W), stored channels last.
    """
    count, channels, height, width = images.shape
    bordered = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    shifts = [bordered[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    patches = torch.cat(shifts, -1).view(count * height * width, 9 * channels)
    kernel = weight.permute(0, 2, 3, 1).reshape(len(weight), 9 * channels)
    return F.linear(patches, kernel, bias).view(count, height, width, -1).permute(0, 3, 1, 2)


def speed_up_small_maps(model: nn.Module) -> None:
    """Let the plain wide 3x3 convolutions of a network take the faster way where their maps are small."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.__class__ = SmallMapConv2d


def _is_plain(conv: nn.Conv2d) -> bool:
    form = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    is_plain = form == ((3, 3), (1, 1), (1, 1), (1, 1)) and conv.groups == 1 and conv.padding_mode == "zeros"
    return is_plain and conv.in_channels >= CHANNELS


@torch.no_grad()
def channels_last(model: nn.Module, image_shape: tuple[int, int, int]) -> nn.Module:
    """Store a network's convolutions channels last, unless its forward pass cannot take it; see also ``small_maps``.

    Args:
        model: Changed in place; left as it is if it has no two-dimensional convolution, or if it raises on two images
            (as one does that calls ``view`` on what a convolution gives).
        image_shape: Channels, height, width.

    Returns:
        The model.
    """
    if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return model
    was_training = model.training
    _store(model.eval(), torch.channels_last)
    try:
        model(torch.zeros(2, *image_shape, device=next(model.parameters()).device))
    except RuntimeError:
        _store(model, torch.contiguous_format)
    else:
        speed_up_small_maps(model)
    return model.train(was_training)


def _store(model: nn.Module, layout: torch.memory_format) -> None:
    """Set the memory layout of a model's 4-d tensors; ``Module.to`` fails on 5-d ones."""
    for value in (*model.parameters(), *model.buffers()):
        if value.dim() == 4:
            value.data = value.data.to(memory_format=layout)


def laid_out_like(point: Mapping[str, Tensor], model: nn.Module) -> Point:
    """A copy of a point whose tensors have the memory layout of a model's parameters, so that copying is fast.

    Args:
        point: Names and shapes as in the model.
        model: Whose layout is taken.

    Raises:
        PointMismatchError: If names, shapes or kinds of numbers differ from the model's.
    """
    own = dict(model.named_parameters())
    require_same(own, point)
    require_kinds(own, point)
    return {
        name: torch.empty_like(value, memory_format=torch.preserve_format).copy_(point[name])
        for name, value in own.items()
    }


def flat_views(tensors: Sequence[Tensor]) -> list[Tensor] | None:
    """See tensors of one shape as vectors in the order of their memory, so that they go together element by element.

    Args:
        tensors: At least one; channels last, transposed or otherwise.

    Returns:
        A view of each; None unless all lie in memory in one order and without gaps.
    """
    order = sorted(range(tensors[0].dim()), key=tensors[0].stride, reverse=True)
    ordered = [tensor.permute(order) for tensor in tensors]
    return [tensor.view(-1) for tensor in ordered] if all(tensor.is_contiguous() for tensor in ordered) else None


class SGD(torch.optim.SGD):
    """``torch.optim.SGD``, step for step, in a process that loads no compiler: 1.2 s and 150 MiB less.

    Its methods are torch's without the wrappers that import the compiler when they are first called.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)


class Adam(torch.optim.Adam):
    """``torch.optim.Adam``, step for step; see ``SGD``."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)


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
    momentum: Tensor | None = optimiser.state[tensor].get("momentum_buffer")
    if momentum is None:
        momentum = optimiser.state[tensor]["momentum_buffer"] = torch.zeros_like(tensor)
    return momentum

"""The memory layout of convolutions: channels last where the network allows it, since it is faster on CPUs and GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raysurf.training.small_maps import speed_up_small_maps
from raysurf.weightspace.point import Point, require_kinds, require_same


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

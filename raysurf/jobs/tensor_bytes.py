"""Named tensors as safetensors bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

# What the reader raises on bytes that are something else.
UNDECODABLE = (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OverflowError)

decode = load


def encode(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors of any device and layout, as bytes that every reader of safetensors knows."""
    return save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})


def as_they_lie(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Tensors whose dimensions stand in the order of their memory, since bringing them into another one takes time.

    Returns:
        The tensors, contiguous where they lie without gaps; and the order of the dimensions of each that is not in its
        own.
    """
    found, orders = {}, {}
    for name, value in tensors.items():
        order = sorted(range(value.dim()), key=value.stride, reverse=True)
        if order != sorted(order) and value.permute(order).is_contiguous():
            found[name], orders[name] = value.permute(order), order
        else:
            found[name] = value
    return found, orders


def as_they_were(tensors: Mapping[str, Tensor], orders: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The inverse of ``as_they_lie``; raises one of ``UNDECODABLE`` if an order is none of its tensor's."""
    found = dict(tensors)
    for name, order in orders.items():
        inverse = [list(order).index(i) for i in range(len(order))]
        found[name] = found[name].permute(inverse)
    return found

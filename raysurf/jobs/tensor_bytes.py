"""Named tensors as safetensors bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from raysurf.errors import OutputError

# What the reader raises on bytes that are something else.
UNDECODABLE = (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OverflowError)

decode = load


def encode(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors of any device and layout, as bytes that every reader of safetensors knows."""
    return save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})


def require_storable(tensors: Mapping[str, Tensor]) -> None:
    """Check, before anything is trained, that tensors of these names could be kept.

    Raises:
        OutputError: At the first that is sparse, or whose numbers safetensors does not know.
    """
    for name, value in tensors.items():
        try:
            save({name: value.new_empty(0, device="cpu")})
        except KeyError as error:
            kept = "numbers that can be stored, such as float32, float64 or complex64"
            raise OutputError(f"{name} of {str(value.dtype).removeprefix('torch.')}", kept) from error
        except ValueError as error:
            raise OutputError(f"{name}, a {str(value.layout).removeprefix('torch.')} tensor", "a dense one") from error


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

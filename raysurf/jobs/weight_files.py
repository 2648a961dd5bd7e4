"""Weights from files of elsewhere: read without running code, and judged before a network takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from raysurf.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


def state_in(file: str) -> dict[str, Tensor]:
    """The state dict in a file.

    Args:
        file: ``.safetensors``, or a plain state dict that torch can load with ``weights_only``.

    Raises:
        DataError: If it is no regular file, or holds something else.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if (path := Path(file)).exists() and not path.is_file():
        # Opening a pipe would wait for its writer.
        what = "a folder" if path.is_dir() else "a pipe, a socket or a device"
        raise DataError(file, what, "a regular file")
    try:
        if file.endswith(".safetensors"):
            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
    except (OSError, SafetensorError, RuntimeError, ValueError, AttributeError) as error:
        raise DataError(file, f"{type(error).__name__}: {error}", "a readable state dict") from error
    except Exception as error:  # torch's UnpicklingError does not say which class it is
        raise DataError(file, f"{type(error).__name__}", "a plain state dict, with no code in it") from error
    tensors = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    )
    if not tensors:
        raise DataError(file, "something else than tensors by name", "a plain state dict, with no code in it")
    return state


def require_usable(source: str, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Check that tensors are ordinary ones of finite numbers, of the kind that the network's are.

    Args:
        source: Where they are from.
        own: The network's state dict.
        state: What is to be written into it.

    Raises:
        DataError: At the first that is not.
    """
    import torch

    from raysurf.weightspace.point import first_not_finite, kind_of

    for name, value in state.items():
        wanted = kind_of(own[name])
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            what = "meta" if value.is_meta else "quantised" if value.is_quantized else str(value.layout)
            raise DataError(source, f"{name}, a {what.removeprefix('torch.')} tensor", f"a dense tensor of {wanted}")
        if kind_of(value) != wanted:
            raise DataError(source, f"{name} of {str(value.dtype).removeprefix('torch.')}", wanted)
    # Float64 may be beyond what the network's numbers can hold.
    if wrong := first_not_finite({name: value.to(own[name].dtype) for name, value in state.items()}):
        raise DataError(source, f"NaN or infinity in {wrong}", "finite weights")

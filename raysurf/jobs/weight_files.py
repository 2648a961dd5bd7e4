"""Weights files from elsewhere: loading without running code, name matching, validation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from raysurf.errors import DataError
from raysurf.weightspace.point import buffers_of, first_names, first_not_finite, kind_of, point_of

SHOWN = 3
# Of DataParallel, DistributedDataParallel and AveragedModel; of Lightning and many scripts; of torch.compile.
PREFIXES = ("module.", "model.", "_orig_mod.")
# AveragedModel's own counter.
COUNTER = "n_averaged"


def state_in(file: str, entry: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file by name.

    Args:
        file: ``.safetensors``, or what torch loads with ``weights_only``.
        entry: Which of the file's entries they are, if it is no state dict itself; None for the only one.

    Raises:
        DataError: If it is no regular file, holds something else, or several state dicts and no entry is named.
    """
    if os.path.exists(file) and not os.path.isfile(file):
        # Opening a pipe would wait for its writer.
        what = "a folder" if os.path.isdir(file) else "a pipe, a socket or a device"
        raise DataError(file, what, "a regular file")
    try:
        if file.endswith(".safetensors"):
            content: Any = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, ValueError, AttributeError) as error:
        raise DataError(file, f"{type(error).__name__}: {error}", "a readable state dict") from error
    except Exception as error:  # torch's UnpicklingError does not say which class it is
        raise DataError(file, f"{type(error).__name__}", "a plain state dict, with no code in it") from error
    if entry is not None or not _is_state(content):
        content = _entry(file, content, entry)
    return {k.removeprefix("point/").removeprefix("buffer/"): v for k, v in content.items()}


def _is_state(content: Any) -> TypeGuard[Mapping[str, Tensor]]:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    )


def _entry(file: str, content: Any, entry: str | None) -> Mapping[str, Tensor]:
    states = (
        {name: value for name, value in content.items() if _is_state(value)} if isinstance(content, Mapping) else {}
    )
    if entry is None and len(states) == 1:
        return next(iter(states.values()))
    if not states:
        raise DataError(file, "something else than tensors by name", "a plain state dict, with no code in it")
    if entry is None or entry not in states:
        known = ", ".join(map(str, states))
        got = f"several state dicts: {known}" if entry is None else f"no entry {entry!r}"
        raise DataError(file, got, f"entry: one of {known}")
    return states[entry]


def fitted(model: nn.Module, state: Mapping[str, Tensor], prefix: str | None = None) -> dict[str, Tensor]:
    """Rename a state dict's tensors to the network's own names.

    Args:
        model: The network. Tensors that it has under several names may have any of these.
        state: Tensors of a file.
        prefix: What their names begin with, tensors of other names being left out; None to find out.
    """
    own = first_names(model)
    if prefix is None:
        names = [name for name in state if name != COUNTER]
        prefix = _prefix(own, names)
        state = {name: state[name] for name in names} if prefix else state
    bare = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    # Of names for one tensor the last would count; a value that is another one keeps its name, and is a misfit.
    renamed: dict[str, Tensor] = {}
    for name, value in bare.items():
        first = own.get(name, name)
        is_other = first in renamed and not _equal(renamed[first], value)
        renamed[name if is_other else first] = value
    return renamed


def _equal(a: Tensor, b: Tensor) -> bool:
    return a is b or (a.dtype == b.dtype and a.layout == b.layout == torch.strided and torch.equal(a, b))


def _prefix(own: Mapping[str, str], names: Sequence[str]) -> str:
    prefix = ""
    while not any(name.removeprefix(prefix) in own for name in names):
        more = next((known for known in PREFIXES if all(name.startswith(prefix + known) for name in names)), None)
        if more is None:
            return ""
        prefix += more
    return prefix


def misfits(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Say how a state dict does not fit a network: tensors that are missing, unknown or of another shape.

    Args:
        model: The network; what is empty in it, as observers' ranges are before the first step, takes any shape.
        state: What is to be written into it, as ``fitted`` gives it; counters of batches may be missing.

    Returns:
        Up to three names of each sort and the number of the others; empty if all fits.
    """
    own, tied = {**point_of(model), **buffers_of(model)}, first_names(model)
    missing = sorted(name for name in own.keys() - state.keys() if not name.endswith("num_batches_tracked"))
    other = [
        f"{name} {list(state[name].shape)}, not {list(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape and value.numel()
    ]
    more = state.keys() - own.keys()
    names_by_sort = {
        "missing": missing,
        "unknown": sorted(more - tied.keys()),
        "of another shape": other,
        "tied in the network and not in the file": sorted(f"{name} and {tied[name]}" for name in more & tied.keys()),
    }
    return "; ".join(f"{sort}: {_first(names)}" for sort, names in names_by_sort.items() if names)


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def require_usable(source: str, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Check that tensors are ordinary ones of finite numbers, of the kind that the network's are.

    Args:
        source: Where they are from.
        own: The network's state dict; what is not finite in it, such as a mask, need not be in the file.
        state: What is to be written into it.

    Raises:
        DataError: At the first that is not.
    """
    for name, value in state.items():
        wanted = kind_of(own[name])
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            what = "meta" if value.is_meta else "quantised" if value.is_quantized else str(value.layout)
            raise DataError(source, f"{name}, a {what.removeprefix('torch.')} tensor", f"a dense tensor of {wanted}")
        if kind_of(value) != wanted:
            raise DataError(source, f"{name} of {str(value.dtype).removeprefix('torch.')}", wanted)
    # Float64 may be beyond what the network's numbers can hold.
    if wrong := first_not_finite(
        {
            name: value.to(own[name].dtype)
            for name, value in state.items()
            if first_not_finite({name: own[name]}) is None
        }
    ):
        raise DataError(source, f"NaN or infinity in {wrong}", "finite weights")

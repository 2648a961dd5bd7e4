"""Making chosen layers of any network stochastic."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from raysurf.errors import UnknownNameError, UnsupportedLayerError
from raysurf.stochastic.effective import copy_of
from raysurf.stochastic.layers import NoisyLayer, operation_of


def convert(model: nn.Module, layers: str, make: Callable[[nn.Module], NoisyLayer]) -> nn.Module:
    """Copy a network and replace layers of it; the network itself is left alone.

    Args:
        model: Any network.
        layers: Names of layers as ``model.named_modules()`` gives them, with ``*`` and ``?``; several patterns are
            separated by commas.
        make: Makes a noisy layer of a layer, such as ``lambda layer: VarianceLayer(layer)``.

    Returns:
        The copy. Layers that share a weight with one that is replaced keep it; a layer that stands in several places is
        one noisy layer there.

    Raises:
        UnknownNameError: If a pattern matches no layer that can be replaced; those that can are named.
        UnsupportedLayerError: If a pattern names a layer without wildcards that cannot be replaced.
    """
    converted = copy_of(model)
    modules = dict(converted.named_modules(remove_duplicate=False))
    refused = {name: _refusal(name, module) for name, module in modules.items() if name}
    possible = [name for name, why in refused.items() if not why]
    chosen: dict[nn.Module, None] = {}
    for pattern in (part.strip() for part in layers.split(",")):
        if refused.get(pattern):
            raise UnsupportedLayerError(f"{pattern}, a {refused[pattern]}")
        matching = [name for name in possible if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            raise UnknownNameError("layer", pattern, possible)
        chosen |= dict.fromkeys(modules[name] for name in matching)
    made = {layer: make(layer) for layer in chosen}
    for name, module in modules.items():
        if module in made:
            parent, _, attribute = name.rpartition(".")
            setattr(modules[parent], attribute, made[module])
    for module in modules.values():
        if isinstance(module, nn.TransformerEncoderLayer):
            # Its fast path in evaluation takes the weights of its layers and never calls them; this turns it off.
            module.activation_relu_or_gelu = 0
    return converted


def _refusal(name: str, module: nn.Module) -> str:
    """Type name of a module that cannot be made noisy, else empty; attention uses its projection's weight directly."""
    if isinstance(module, NonDynamicallyQuantizableLinear) or ".parametrizations." in f".{name}":
        return type(module).__name__
    try:
        operation_of(module)
    except UnsupportedLayerError as error:
        return error.got
    return ""

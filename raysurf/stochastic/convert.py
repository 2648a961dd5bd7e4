"""Making chosen layers of any network stochastic."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Callable

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from raysurf.errors import UnknownNameError, UnsupportedLayerError
from raysurf.stochastic.layers import NoisyLayer, operation_of


def convert(model: nn.Module, layers: str, make: Callable[[nn.Module], NoisyLayer]) -> nn.Module:
    """Copy a network and replace layers of it; the network itself is left alone.

    Args:
        model: Any network.
        layers: Names of layers as ``model.named_modules()`` gives them, with ``*`` and ``?``; several patterns are
            separated by commas.
        make: Makes a noisy layer of a layer, such as ``lambda layer: VarianceLayer(layer)``.

    Returns:
        The copy; layers that share a weight with one that is replaced keep it.

    Raises:
        UnknownNameError: If a pattern matches no layer that can be replaced; those that can are named.
        UnsupportedLayerError: If a pattern names a layer without wildcards that cannot be replaced.
    """
    converted = copy.deepcopy(model)
    modules = dict(converted.named_modules())
    possible = [name for name, module in modules.items() if name and _is_possible(module)]
    chosen: dict[str, None] = {}
    for pattern in (part.strip() for part in layers.split(",")):
        if pattern in modules and pattern not in possible:
            raise UnsupportedLayerError(f"{pattern}, a {type(modules[pattern]).__name__}")
        matching = [name for name in possible if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            raise UnknownNameError("layer", pattern, possible)
        chosen |= dict.fromkeys(matching)
    for name in chosen:
        parent, _, attribute = name.rpartition(".")
        setattr(modules[parent], attribute, make(modules[name]))
    for module in modules.values():
        if isinstance(module, nn.TransformerEncoderLayer):
            # Its fast path in evaluation takes the weights of its layers and never calls them; this turns it off.
            module.activation_relu_or_gelu = 0
    return converted


def _is_possible(module: nn.Module) -> bool:
    """Whether it is a layer with weights that its network calls; attention takes its projection's weights itself."""
    if isinstance(module, NonDynamicallyQuantizableLinear):
        return False
    try:
        operation_of(module)
    except UnsupportedLayerError:
        return False
    return True

"""Effective weights of a layer: parametrisations, weight and spectral norm and pruning applied."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

# torch's hooks that compute a layer's weight before each pass.
REWEIGHTING = (WeightNorm, SpectralNorm, BasePruningMethod)


@torch.no_grad()
def effective(layer: nn.Module, name: str = "weight") -> Tensor | None:
    """What a layer computes with in evaluation: its own parameter, or the outcome of a parametrisation or a hook.

    Args:
        layer: Of any kind; ``torch.nn.utils``' parametrisations, weight and spectral norm and pruning are folded in.
        name: ``weight`` or ``bias``.

    Returns:
        A new tensor, or None if the layer has none.
    """
    was_training = layer.training
    layer.eval()
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, REWEIGHTING):
            hook(layer, ())
    value = getattr(layer, name)
    layer.train(was_training)
    return None if value is None else torch.as_tensor(value).detach().clone()


def parameter_of(layer: nn.Module, name: str = "weight") -> nn.Parameter | None:
    """``effective`` as a parameter, which is frozen if the layer's own is."""
    value, own = effective(layer, name), layer._parameters.get(name)
    return None if value is None else nn.Parameter(value, requires_grad=own is None or own.requires_grad)


def copy_of(model: nn.Module) -> nn.Module:
    """Deep copy of a network, also if hooks have stored non-leaf tensors (weight norm)."""
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                vars(module)[name] = value.detach()
    return copy.deepcopy(model)

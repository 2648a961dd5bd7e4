"""Networks whose weights, batches or outputs are not where most networks have them, by dotted path."""

from __future__ import annotations

import warnings

from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils import spectral_norm as spectral_hook
from torch.nn.utils import weight_norm as weight_hook

Shape = tuple[int, int, int]


def _mlp(num_classes: int, image_shape: Shape, first: nn.Module | None = None) -> nn.Sequential:
    size = image_shape[0] * image_shape[1] * image_shape[2]
    middle = nn.Linear(size, size) if first is None else first
    return nn.Sequential(
        nn.Flatten(), middle, nn.ReLU(), nn.Linear(size, size), nn.ReLU(), nn.Linear(size, num_classes)
    )


def spectral_parametrised(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    parametrizations.spectral_norm(net[1])
    parametrizations.spectral_norm(net[3])
    return net


def weight_normed(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    parametrizations.weight_norm(net[1])
    return net


def spectral_hooked(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    spectral_hook(net[1])
    return net


def weight_hooked(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        weight_hook(net[1])
    return net


def pruned(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    prune.random_unstructured(net[1], "weight", amount=0.5)
    return net


def tied(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    net[3].weight = net[1].weight
    return net


def twice(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    net[3] = net[1]
    return net

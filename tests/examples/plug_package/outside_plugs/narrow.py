"""A network."""

from __future__ import annotations

import math

from torch import nn


def build(num_classes: int, image_shape: tuple[int, int, int], width: int = 8) -> nn.Module:
    """Two dense layers, the first of them ``width`` wide."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(image_shape), width), nn.ReLU(), nn.Linear(width, num_classes)
    )

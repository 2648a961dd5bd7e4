"""Random directions in weight space: plain, or scaled filter by filter to the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from raysurf.weightspace.point import Point

NORMALISATIONS = ("unit", "filter")


@torch.no_grad()
def random_direction(like: Mapping[str, Tensor], normalise: str, seed: int, number: int) -> Point:
    """Draw a direction, the same on every device.

    unit: d / |d|, d ~ N(0, I), so that a step of 1 is one of weight distance 1.
    filter: d_ij <- d_ij |theta_ij| / |d_ij| for every filter j of layer i (a slice of the first axis of a tensor with
    two axes or more); biases and normalisation parameters, which have one axis or none, stay where they are.

    Args:
        like: The weights theta; they decide shapes, dtype, device and, for ``filter``, the scale.
        normalise: ``unit`` or ``filter``.
        seed: Decides the directions.
        number: Which of them, from 0.

    Returns:
        A new point.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), section 4.3 (unit rays); Li et al. 2018 (arXiv:1712.09913), section 4
        (filter), whose code leaves out biases and batch norm in the same way.
    """
    assert normalise in NORMALISATIONS, normalise
    generator = torch.Generator().manual_seed((seed << 20) + number)
    drawn = {k: torch.randn(v.shape, generator=generator, dtype=torch.float64) for k, v in like.items()}
    if normalise == "unit":
        norm = math.sqrt(sum(float(v.square().sum()) for v in drawn.values()))
        return {k: (v / norm).to(like[k]) for k, v in drawn.items()}
    return {k: _filterwise(v, like[k]).to(like[k]) for k, v in drawn.items()}


def _filterwise(drawn: Tensor, weights: Tensor) -> Tensor:
    if drawn.dim() < 2:
        return torch.zeros_like(drawn)
    filters, scale = drawn.flatten(1), weights.detach().cpu().double().flatten(1).norm(dim=1, keepdim=True)
    scaled: Tensor = filters * scale / filters.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return scaled.view_as(drawn)

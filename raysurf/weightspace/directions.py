"""Random directions in weight space: plain, or scaled filter by filter to the weights."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from raysurf.weightspace.point import Point, parts, wide

NORMALISATIONS = ("unit", "filter")


@torch.no_grad()
def random_direction(
    like: Mapping[str, Tensor], normalise: str, seed: int, number: int, fixed: Collection[str] = ()
) -> Point:
    """Draw a direction, the same on every device.

    unit: d / |d|, d ~ N(0, I), so that a step of 1 is one of weight distance 1.
    filter: d_ij <- d_ij |theta_ij| / |d_ij| for every filter j of layer i (a slice of the first axis of a tensor with
    two axes or more); biases and normalisation parameters, which have one axis or none, stay where they are.

    Args:
        like: The weights theta; they decide shapes, dtype, device and, for ``filter``, the scale.
        normalise: ``unit`` or ``filter``.
        seed: Decides the directions.
        number: Which of them, from 0.
        fixed: Names of weights that stay where they are, such as those that are never trained.

    Returns:
        A new point.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), section 4.3 (unit rays); Li et al. 2018 (arXiv:1712.09913), section 4
        (filter), whose code leaves out biases and batch norm in the same way.
    """
    assert normalise in NORMALISATIONS, normalise
    generator = torch.Generator().manual_seed((seed << 20) + number)
    drawn = {k: torch.randn(parts(v).shape, generator=generator, dtype=torch.float64) for k, v in like.items()}
    drawn |= {k: torch.zeros_like(drawn[k]) for k in fixed}
    if normalise == "unit":
        norm = math.sqrt(sum(float(v.square().sum()) for v in drawn.values()))
        scaled = {k: v / norm for k, v in drawn.items()}
    else:
        scaled = {k: _filterwise(v, like[k]) for k, v in drawn.items()}
    return {k: (torch.view_as_complex(v) if like[k].is_complex() else v).to(like[k]) for k, v in scaled.items()}


def _filterwise(drawn: Tensor, weights: Tensor) -> Tensor:
    if weights.dim() < 2:
        return torch.zeros_like(drawn)
    filters, scale = drawn.flatten(1), wide(weights).cpu().flatten(1).norm(dim=1, keepdim=True)
    scaled: Tensor = filters * scale / filters.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return scaled.view_as(drawn)

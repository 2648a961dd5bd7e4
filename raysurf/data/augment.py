"""Augmentation of whole batches, without a loop over images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def draw_crops(count: int, generator: torch.Generator, padding: int = 4) -> tuple[Tensor, Tensor]:
    """Draw where images are cropped and which of them are flipped.

    Args:
        count: How many images.
        generator: On the CPU; it is left in the same state whatever the images are.
        padding: Pixels on each side.

    Returns:
        Offsets [2, count, 1] int64, of rows and columns, and flips [count, 1] bool; on the CPU.
    """
    offsets = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator)
    return offsets, torch.rand(count, 1, generator=generator) < 0.5


def crop_flip(images: Tensor, generator: torch.Generator, padding: int = 4, reflect: bool = False) -> Tensor:
    """Pad, crop each image at its own random place, and flip half of them left to right.

    Args:
        images: [B, C, H, W], any dtype and device.
        generator: On the CPU; the same state gives the same crops on every device.
        padding: Pixels on each side; a crop's offset is uniform over 0 .. 2 padding, each way.
        reflect: Whether they are the image reflected about its border pixels, else zeros.

    Returns:
        New images of the same shape and dtype.

    Source:
        He et al. 2015 (arXiv:1512.03385), section 4.2; reflected, the translation of the codes of Tarvainen & Valpola
        2017 (arXiv:1703.01780) and Athiwaratkun et al. 2019 (arXiv:1806.05594).
    """
    count, channels, height, width = images.shape
    offsets, flips = draw_crops(count, generator, padding)
    rows = torch.arange(height) + offsets[0]
    columns = torch.arange(width).expand(count, width)
    columns = torch.where(flips, width - 1 - columns, columns) + offsets[1]
    if reflect:
        source, rows, columns = images, _reflected(rows - padding, height), _reflected(columns - padding, width)
    else:
        source = F.pad(images, (padding,) * 4)
    flat = (rows[:, :, None] * source.shape[3] + columns[:, None, :]).view(count, 1, height * width)
    chosen = flat.to(images.device).expand(count, channels, height * width)
    return source.flatten(2).gather(2, chosen).view(images.shape)


def _reflected(places: Tensor, size: int) -> Tensor:
    """Reflect indices beyond 0 .. size - 1 about the ends."""
    period = max(1, 2 * (size - 1))
    within = places % period
    return torch.minimum(within, period - within)

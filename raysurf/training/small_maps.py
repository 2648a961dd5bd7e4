"""Convolutions of small maps on a CPU, where oneDNN's channels-last ones are slow, most at the kernel's gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Places of a map up to which a product of patches is faster, at fp32 and at bf16; up to which, at fp32, the contiguous
# kernels are; and channels from which it matters.
PLACES = {torch.float32: 4, torch.bfloat16: 16}
CONTIGUOUS_PLACES = 16
CHANNELS = 128


class SmallMapConv2d(nn.Conv2d):
    """A 3x3 convolution that goes the fastest way for small maps, and is ``nn.Conv2d`` for all others.

    Its parameters, results (up to rounding) and derivatives are those of ``nn.Conv2d``.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
        places = input.shape[-1] * input.shape[-2]
        if input.device.type == "cpu" and input.dim() == 4 and places <= CONTIGUOUS_PLACES:
            if places <= PLACES.get(dtype, 0):
                return convolve_patches(input.to(dtype), weight, bias)
            out: Tensor = super()._conv_forward(input.contiguous(), weight.contiguous(), bias)
            return out.contiguous(memory_format=torch.channels_last)
        out = super()._conv_forward(input, weight, bias)
        return out


def convolve_patches(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with a 3x3 kernel, stride 1 and a border of one zero, as a matrix product.

    Args:
        images: Shape (N, C, H, W); fast if stored channels last.
        weight: Shape (O, C, 3, 3); fast if stored channels last.
        bias: Shape (O,).

    Returns:
        Shape (N, O, H, W), stored channels last.
    """
    count, channels, height, width = images.shape
    bordered = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    shifts = [bordered[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    patches = torch.cat(shifts, -1).view(count * height * width, 9 * channels)
    kernel = weight.permute(0, 2, 3, 1).reshape(len(weight), 9 * channels)
    return F.linear(patches, kernel, bias).view(count, height, width, -1).permute(0, 3, 1, 2)


def speed_up_small_maps(model: nn.Module) -> None:
    """Let the plain wide 3x3 convolutions of a network take the faster way where their maps are small."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.__class__ = SmallMapConv2d


def _is_plain(conv: nn.Conv2d) -> bool:
    form = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    is_plain = form == ((3, 3), (1, 1), (1, 1), (1, 1)) and conv.groups == 1 and conv.padding_mode == "zeros"
    return is_plain and conv.in_channels >= CHANNELS

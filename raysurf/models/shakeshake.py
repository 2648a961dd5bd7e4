"""Shake-Shake network for 32 x 32 images: Shake-Shake-26 2x64d."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.models.init_weights import normal_by_fan_out


class Shake(torch.autograd.Function):
    """alpha a + (1 - alpha) b forward, whose gradient flows back as if beta had stood where alpha did.

    Args of ``apply``: a, b of one shape [B, C, H, W]; alpha, beta [B, 1, 1, 1] in [0, 1], of their dtype and device.

    Source:
        Gastaldi 2017 (arXiv:1705.07485), section 1.2.
    """

    @staticmethod
    def forward(a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        return torch.lerp(b, a, alpha)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[3])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (beta,), (gradient,) = ctx.saved_tensors, gradients
        return gradient * beta, gradient * (1.0 - beta), None, None


def shake(a: Tensor, b: Tensor) -> Tensor:
    """Mix two branches at random, forward and backward and for each image by itself: Shake-Shake-Image.

    Args:
        a: [B, C, H, W].
        b: Shaped like ``a``.

    Returns:
        Shaped like ``a``; alpha and then beta come from U(0, 1) of torch's global generator of their device, both in
        the forward pass, so that the order in which gradients are found decides nothing.
    """
    alpha, beta = torch.rand(2, len(a), 1, 1, 1, device=a.device).to(a.dtype)
    mixed: Tensor = Shake.apply(a, b, alpha, beta)
    return mixed


class Branch(nn.Module):
    """ReLU, a 3 x 3 convolution and batch norm, twice."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H / stride, W / stride] of [B, channels, H, W]."""
        out: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(F.relu(x))))))
        return out


class ShiftedShortcut(nn.Module):
    """ReLU, then two 1 x 1 convolutions of half the width side by side, and batch norm.

    The second sees the image shifted by one pixel right and down, so that at a stride of two it sees other pixels.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width // 2, 1, stride, bias=False)
        self.conv2 = nn.Conv2d(channels, width // 2, 1, stride, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H / stride, W / stride] of [B, channels, H, W]."""
        x = F.relu(x)
        out: Tensor = self.bn(torch.cat([self.conv1(x), self.conv2(F.pad(x, (1, -1, 1, -1)))], dim=1))
        return out


class ShakeBlock(nn.Module):
    """Two branches, mixed at random in training and evenly in evaluation, beside a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.branch1, self.branch2 = Branch(channels, width, stride), Branch(channels, width, stride)
        self.shortcut = ShiftedShortcut(channels, width, stride) if channels != width else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H / stride, W / stride] of [B, channels, H, W]."""
        a, b = self.branch1(x), self.branch2(x)
        mixed = shake(a, b) if self.training else 0.5 * (a + b)
        added: Tensor = mixed + (x if self.shortcut is None else self.shortcut(x))
        return added


class ShakeShake(nn.Module):
    """Three stages of blocks of two branches, of widths d, 2 d, 4 d.

    Args:
        num_classes: Outputs.
        channels: Channels of the image.
        depth: 6 n + 2; n blocks a stage.
        width: d.

    Source:
        Gastaldi 2017 (arXiv:1705.07485); layout and initialisation as in the author's shakeshake.lua and
        shakeshakeblock.lua.
    """

    def __init__(self, num_classes: int, channels: int, depth: int, width: int) -> None:
        super().__init__()
        assert (depth - 2) % 6 == 0, depth
        self.stem, self.bn = nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        blocks: list[nn.Module] = []
        inputs = 16
        for outputs, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
            for i in range((depth - 2) // 6):
                blocks.append(ShakeBlock(inputs, outputs, stride if i == 0 else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, num_classes)
        normal_by_fan_out(self)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, C, H, W]; ReLU and global average pooling before the head."""
        out = F.relu(self.blocks(self.bn(self.stem(images))))
        logits: Tensor = self.head(out.mean(dim=(2, 3)))
        return logits


def shakeshake26_2x64d(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """Shake-Shake-26 2x64d."""
    return ShakeShake(num_classes, image_shape[0], 26, 64)

"""Pyramidal residual network for 32 x 32 images: PyramidNet-272 with alpha 200."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.models.init_weights import normal_by_fan_out

EXPANSION = 4


class PyramidBottleneck(nn.Module):
    """Convolutions 1 x 1, 3 x 3, 1 x 1 with batch norm before the first and after each; ReLU between them alone."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * EXPANSION
        self.bn1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, width, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3, self.conv3 = nn.BatchNorm2d(width), nn.Conv2d(width, out, 1, bias=False)
        self.bn4 = nn.BatchNorm2d(out)
        self.stride, self.added_channels = stride, out - channels

    def forward(self, x: Tensor) -> Tensor:
        """The block's output plus its input, averaged over 2 x 2 pixels at a stride, with channels of zeros added."""
        out = self.conv1(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(out)))
        out = self.bn4(self.conv3(F.relu(self.bn3(out))))
        shortcut = x if self.stride == 1 else F.avg_pool2d(x, self.stride)
        added: Tensor = out + F.pad(shortcut, (0, 0, 0, 0, 0, self.added_channels))
        return added


class PyramidNet(nn.Module):
    """Three stages of bottlenecks, each wider than the one before by the same number, rounded: additive widening.

    width_k = round(16 + k alpha / N) for block k of N, k from 1

    Args:
        num_classes: Outputs.
        channels: Channels of the image.
        depth: 9 n + 2; n blocks a stage.
        alpha: Channels that all blocks together add to the width.

    Source:
        Han et al. 2017 (arXiv:1610.02915), equation 3, figure 6 d (no ReLU first, batch norm last) and zero-padded
        shortcuts of section 3.3; checked against the authors' addpyramidnet.lua, whose initialisation this is too.
    """

    def __init__(self, num_classes: int, channels: int, depth: int, alpha: int) -> None:
        super().__init__()
        assert (depth - 2) % 9 == 0, depth
        per_stage = (depth - 2) // 9
        self.stem, self.stem_bn = nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        blocks: list[nn.Module] = []
        inputs = 16
        for k in range(1, 3 * per_stage + 1):
            width = math.floor(16 + k * alpha / (3 * per_stage) + 0.5)
            blocks.append(PyramidBottleneck(inputs, width, 2 if k in (per_stage + 1, 2 * per_stage + 1) else 1))
            inputs = width * EXPANSION
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(inputs)
        self.head = nn.Linear(inputs, num_classes)
        normal_by_fan_out(self)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, C, H, W], H and W divisible by 4; global average before the head."""
        out = F.relu(self.bn(self.blocks(self.stem_bn(self.stem(images)))))
        logits: Tensor = self.head(out.mean(dim=(2, 3)))
        return logits


def pyramidnet272(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """PyramidNet-272 with bottlenecks and alpha 200."""
    return PyramidNet(num_classes, image_shape[0], 272, 200)

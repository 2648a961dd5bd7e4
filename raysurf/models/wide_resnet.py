"""Wide residual network for 32 x 32 images: WRN-28-10."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class WideBlock(nn.Module):
    """Batch norm, ReLU and a 3 x 3 convolution, twice; the second convolution has the stride."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, width, 3, padding=1)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, stride, 1)
        self.shortcut = nn.Conv2d(channels, width, 1, stride) if stride != 1 or channels != width else None

    def forward(self, x: Tensor) -> Tensor:
        """The block's output plus its input, projected where shapes differ."""
        out = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        added: Tensor = out + (x if self.shortcut is None else self.shortcut(x))
        return added


class WideResNet(nn.Module):
    """Three stages of blocks of two convolutions, of widths 16 k, 32 k, 64 k; no dropout.

    Args:
        num_classes: Outputs.
        channels: Channels of the image.
        depth: 6 n + 4; n blocks a stage.
        widening: k.

    Source:
        Zagoruyko & Komodakis 2016 (arXiv:1605.07146), layout as in the codes of Garipov et al. 2018 and Izmailov et al.
        2018 (models/wide_resnet.py), which differ from that paper: convolutions have biases, the second of a block has
        the stride, weights are as torch draws them, and the last batch norm's statistics have momentum 0.9.
    """

    def __init__(self, num_classes: int, channels: int, depth: int, widening: int) -> None:
        super().__init__()
        assert (depth - 4) % 6 == 0, depth
        self.stem = nn.Conv2d(channels, 16, 3, padding=1)
        blocks: list[nn.Module] = []
        inputs = 16
        for width, stride in ((16 * widening, 1), (32 * widening, 2), (64 * widening, 2)):
            for i in range((depth - 4) // 6):
                blocks.append(WideBlock(inputs, width, stride if i == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(inputs, momentum=0.9)
        self.head = nn.Linear(inputs, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, C, H, W]; global average pooling before the head."""
        out = F.relu(self.bn(self.blocks(self.stem(images))))
        logits: Tensor = self.head(out.mean(dim=(2, 3)))
        return logits


def wrn28_10(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """WRN-28-10."""
    return WideResNet(num_classes, image_shape[0], 28, 10)

"""Pre-activation residual networks for 32 x 32 images: PreResNet-110 and -164."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.models.init_weights import normal_by_fan_out

EXPANSION = 4


class Bottleneck(nn.Module):
    """Batch norm, ReLU, convolution, thrice: 1 x 1 in, 3 x 3, 1 x 1 out to four times the width."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * EXPANSION
        self.bn1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, width, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3, self.conv3 = nn.BatchNorm2d(width), nn.Conv2d(width, out, 1, bias=False)
        self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False) if stride != 1 or channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        """The block's output plus its input, projected where shapes differ."""
        out = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        out = self.conv3(F.relu(self.bn3(out)))
        added: Tensor = out + (x if self.shortcut is None else self.shortcut(x))
        return added


class PreResNet(nn.Module):
    """Three stages of bottleneck blocks of widths 16, 32, 64.

    Args:
        num_classes: Outputs.
        channels: Channels of the image.
        depth: 9 n + 2; n blocks a stage.

    Source:
        He et al. 2016 (arXiv:1603.05027); layout and initialisation as in the codes of Garipov et al. 2018 and
        Izmailov et al. 2018, which use bottlenecks at depth 110 too.
    """

    def __init__(self, num_classes: int, channels: int, depth: int) -> None:
        super().__init__()
        assert (depth - 2) % 9 == 0, depth
        blocks: list[nn.Module] = []
        self.stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        inputs = 16
        for width, stride in ((16, 1), (32, 2), (64, 2)):
            for i in range((depth - 2) // 9):
                blocks.append(Bottleneck(inputs, width, stride if i == 0 else 1))
                inputs = width * EXPANSION
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(inputs)
        self.head = nn.Linear(inputs, num_classes)
        normal_by_fan_out(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, C, H, W]; global average pooling before the head."""
        out = F.relu(self.bn(self.blocks(self.stem(images))))
        logits: Tensor = self.head(out.mean(dim=(2, 3)))
        return logits


def preresnet110(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """PreResNet-110."""
    return PreResNet(num_classes, image_shape[0], 110)


def preresnet164(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """PreResNet-164."""
    return PreResNet(num_classes, image_shape[0], 164)

"""DenseNet for 32 x 32 images: DenseNet-40-12."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.models.init_weights import normal_by_fan_out


class DenseLayer(nn.Module):
    """Batch norm, ReLU and a 3 x 3 convolution whose output is put beside its input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels + growth, H, W] of [B, channels, H, W]."""
        return torch.cat([x, self.conv(F.relu(self.bn(x)))], dim=1)


class Transition(nn.Module):
    """Batch norm, ReLU, a 1 x 1 convolution, and average pooling by two."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H / 2, W / 2] of [B, channels, H, W]."""
        return F.avg_pool2d(self.conv(F.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """Three dense blocks without bottlenecks or compression.

    Args:
        num_classes: Outputs.
        channels: Channels of the image.
        depth: 3 n + 4; n layers a block.
        growth: Channels that each layer adds.
        first_channels: Outputs of the first convolution.

    Source:
        Huang et al. 2017 (arXiv:1608.06993), the plain DenseNet (L = 40, k = 12) of table 2, without dropout as Draxler
        et al. 2018 (arXiv:1803.00885) train it with augmentation.
    """

    def __init__(self, num_classes: int, channels: int, depth: int, growth: int, first_channels: int = 16) -> None:
        super().__init__()
        assert (depth - 4) % 3 == 0, depth
        width = first_channels
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
        for block in range(3):
            for _ in range((depth - 4) // 3):
                layers.append(DenseLayer(width, growth))
                width += growth
            if block < 2:
                layers.append(Transition(width))
        self.features = nn.Sequential(*layers)
        self.bn = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, num_classes)
        normal_by_fan_out(self)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, C, H, W]; global average pooling before the head."""
        out = F.relu(self.bn(self.features(images)))
        logits: Tensor = self.head(out.mean(dim=(2, 3)))
        return logits


def densenet40_12(num_classes: int, image_shape: tuple[int, int, int], first_channels: int = 16) -> nn.Module:
    """DenseNet-40 with growth rate 12; its paper has 16 first channels, the code of Draxler et al. 2018 has 24."""
    return DenseNet(num_classes, image_shape[0], 40, 12, first_channels)

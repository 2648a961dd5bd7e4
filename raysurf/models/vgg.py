"""VGG-16 for 32 x 32 images, as the mode-connectivity and SWA papers use it."""

from __future__ import annotations

import math

from torch import Tensor, nn

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(nn.Module):
    """Thirteen 3 x 3 convolutions in five pooled blocks, and a head of 512-512-512 with dropout 0.5.

    Args:
        num_classes: Outputs.
        channels: Channels of the image; height and width must be 32.
        batchnorm: Whether each convolution is followed by batch norm.

    Source:
        Simonyan & Zisserman 2015; head and initialisation as in the codes of Garipov et al. 2018 and Izmailov et al.
        2018, whose own batch-norm variant leaves out about half the layers; this one does not.
    """

    def __init__(self, num_classes: int, channels: int, batchnorm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for block in WIDTHS:
            for width in block:
                conv = nn.Conv2d(channels, width, 3, padding=1)
                nn.init.normal_(conv.weight, 0.0, math.sqrt(2.0 / (9 * width)))
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
                layers += [conv, *([nn.BatchNorm2d(width)] if batchnorm else []), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(512, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(512, 512),
            nn.ReLU(inplace=True),
            nn.Linear(512, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, C, 32, 32]."""
        out: Tensor = self.classifier(self.features(images).flatten(1))
        return out


def vgg16(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """The papers' VGG-16: no batch norm."""
    return VGG(num_classes, image_shape[0], batchnorm=False)


def vgg16_bn(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """VGG-16 with batch norm after every convolution."""
    return VGG(num_classes, image_shape[0], batchnorm=True)

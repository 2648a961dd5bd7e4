"""VGG-16 of the curve and SWA papers, and the VGG-like network of the dropout papers, for 32 x 32 images."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn

from raysurf.errors import Fault, SpecError
from raysurf.models.init_weights import normal_by_fan_out

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


BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg_like(
    num_classes: int,
    image_shape: tuple[int, int, int],
    head_dropout: bool = True,
    dense_dropout: bool | None = None,
    bn_eps: float = 1e-5,
    initial: Literal["torch", "msr", "xavier"] = "torch",
) -> nn.Module:
    """Thirteen 3 x 3 convolutions ``conv1`` .. ``conv13`` in five pooled blocks, then ``dense1`` (512) and ``dense2``.

    Batch norm and ReLU after every layer but the last; dropout of 0.3 after the first convolution, 0.4 after others
    that no pooling follows, 0.5 before ``dense1`` and before ``dense2``.

    Args:
        num_classes: Outputs.
        image_shape: Channels, height, width; 32 x 32.
        head_dropout: Whether there is dropout before conv12, conv13, dense1 and dense2; noisy layers have their own.
        dense_dropout: Whether there is before dense1 and dense2; None for ``head_dropout``.
        bn_eps: What batch norm adds to variances.
        initial: Initial weights: ``torch`` for torch's, ``msr`` for convolutions as ``normal_by_fan_out`` draws them,
            ``xavier`` for convolutions after Glorot & Bengio 2010 and dense layers from N(0, 0.01^2), cut off at two
            deviations. Biases of layers whose weights are so drawn are zero.

    Raises:
        SpecError: If ``initial`` is none of these.

    Source:
        Zagoruyko 2015 (cifar.torch, with ``msr``), as in Molchanov et al. 2017 (arXiv:1701.05369) and Neklyudov et al.
        2018 (arXiv:1803.03764). The latter's code has dropout before the dense layers alone of the last four, beside
        the noise too, ``bn_eps`` 1e-3 and ``xavier``. Deviations from it: batch norm has a scale, and noisy dense
        layers are drawn about zero (there from N(0.01, 1), since 0.01 stands in the place of the mean).
    """
    if initial not in ("torch", "msr", "xavier"):
        raise SpecError([Fault("model.options.initial", repr(initial), "torch, msr or xavier")])
    if dense_dropout is None:
        dense_dropout = head_dropout
    channels, layers, number = image_shape[0], OrderedDict[str, nn.Module](), 0
    for block, widths in enumerate(BLOCKS, start=1):
        for place, width in enumerate(widths):
            number += 1
            layers[f"conv{number}"] = nn.Conv2d(channels, width, 3, padding=1)
            layers[f"bn{number}"], layers[f"relu{number}"] = nn.BatchNorm2d(width, eps=bn_eps), nn.ReLU()
            if place + 1 < len(widths) and (head_dropout or number < 10):
                layers[f"drop{number}"] = nn.Dropout(0.3 if number == 1 else 0.4)
            channels = width
        layers[f"pool{block}"] = nn.MaxPool2d(2)
    layers["flat"] = nn.Flatten()
    if dense_dropout:
        layers["drop13"] = nn.Dropout(0.5)
    layers["dense1"], layers["bn14"], layers["relu14"] = nn.Linear(512, 512), nn.BatchNorm1d(512, eps=bn_eps), nn.ReLU()
    if dense_dropout:
        layers["drop14"] = nn.Dropout(0.5)
    layers["dense2"] = nn.Linear(512, num_classes)
    net = nn.Sequential(layers)
    if initial != "torch":
        _draw(net, initial)
    return net


def _draw(net: nn.Sequential, initial: str) -> None:
    """Draw the initial weights, unless torch's are wanted."""
    if initial == "msr":
        normal_by_fan_out(net)
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            if initial == "xavier":
                nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        elif isinstance(layer, nn.Linear) and initial == "xavier":
            nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.02, b=0.02)
            nn.init.zeros_(layer.bias)

"""The VGG-like network of the dropout and variance-network papers, for 32 x 32 images."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from raysurf.errors import Fault, SpecError
from raysurf.models.initial import normal_by_fan_out

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def build(
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

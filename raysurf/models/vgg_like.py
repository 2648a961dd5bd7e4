"""The VGG-like network of the dropout and variance-network papers, for 32 x 32 images."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def build(num_classes: int, image_shape: tuple[int, int, int], head_dropout: bool = True) -> nn.Module:
    """Thirteen 3 x 3 convolutions ``conv1`` .. ``conv13`` in five pooled blocks, then ``dense1`` (512) and ``dense2``.

    Batch norm and ReLU after every layer but the last; dropout of 0.3 after the first convolution, 0.4 after others
    that no pooling follows, 0.5 before ``dense1`` and before ``dense2``.

    Args:
        num_classes: Outputs.
        image_shape: Channels, height, width; 32 x 32.
        head_dropout: Whether there is dropout before conv12, conv13, dense1 and dense2; noisy layers have their own.

    Source:
        Zagoruyko 2015 (cifar.torch), as in Molchanov et al. 2017 (arXiv:1701.05369) and Neklyudov et al. 2018
        (arXiv:1803.03764).
    """
    channels, layers, number = image_shape[0], OrderedDict[str, nn.Module](), 0
    for block, widths in enumerate(BLOCKS, start=1):
        for place, width in enumerate(widths):
            number += 1
            layers[f"conv{number}"] = nn.Conv2d(channels, width, 3, padding=1)
            layers[f"bn{number}"], layers[f"relu{number}"] = nn.BatchNorm2d(width), nn.ReLU()
            if place + 1 < len(widths) and (head_dropout or number < 10):
                layers[f"drop{number}"] = nn.Dropout(0.3 if number == 1 else 0.4)
            channels = width
        layers[f"pool{block}"] = nn.MaxPool2d(2)
    layers["flat"] = nn.Flatten()
    if head_dropout:
        layers["drop13"] = nn.Dropout(0.5)
    layers["dense1"], layers["bn14"], layers["relu14"] = nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU()
    if head_dropout:
        layers["drop14"] = nn.Dropout(0.5)
    layers["dense2"] = nn.Linear(512, num_classes)
    return nn.Sequential(layers)

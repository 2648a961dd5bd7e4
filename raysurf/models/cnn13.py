"""The 13-layer convolutional network of the semi-supervised papers, for 32 x 32 images."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

# Outputs, kernel and padding of each convolution; a block ends in max pooling and dropout, the last in an average.
BLOCKS = (3 * ((128, 3, 1),), 3 * ((256, 3, 1),), ((512, 3, 0), (256, 1, 0), (128, 1, 0)))


def build(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """Nine convolutions ``conv1`` .. ``conv9`` in three blocks, global average pooling, and ``dense``.

    Batch norm and leaky ReLU (0.1) after every convolution; 2 x 2 max pooling and dropout of 0.5 after the first two
    blocks; weights and biases as torch draws them, from U(-1, 1) / sqrt(fan-in). Thirteen are the nine convolutions,
    the three poolings and the dense layer.

    Args:
        num_classes: Outputs.
        image_shape: Channels, height, width; height and width 12 or more.

    Source:
        Laine & Aila 2017 (arXiv:1610.02242), table 5; Tarvainen & Valpola 2017 (arXiv:1703.01780); Athiwaratkun et al.
        2019 (arXiv:1806.05594) and its code (mean_teacher/architectures.py, ``cifar_cnn``). Deviations from that code:
        one head, not two, which a supervised loss leaves without a use; and no weight norm, since the batch norm after
        each convolution undoes the scale of its weights anyway.
    """
    channels, layers, number = image_shape[0], OrderedDict[str, nn.Module](), 0
    for block, convolutions in enumerate(BLOCKS, start=1):
        for width, kernel, padding in convolutions:
            number += 1
            layers[f"conv{number}"] = nn.Conv2d(channels, width, kernel, padding=padding)
            layers[f"bn{number}"], layers[f"relu{number}"] = nn.BatchNorm2d(width), nn.LeakyReLU(0.1)
            channels = width
        if block < len(BLOCKS):
            layers[f"pool{block}"], layers[f"drop{block}"] = nn.MaxPool2d(2), nn.Dropout(0.5)
    layers["pool3"], layers["flat"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    layers["dense"] = nn.Linear(channels, num_classes)
    return nn.Sequential(layers)

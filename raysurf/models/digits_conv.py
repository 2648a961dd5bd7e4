"""A small convolutional network for the 8 x 8 digits that ship with scikit-learn."""

from __future__ import annotations

from torch import nn


def build(num_classes: int, image_shape: tuple[int, int, int], width: int = 16) -> nn.Module:
    """Two 3 x 3 convolutions with batch norm, each halving the image, and two linear layers.

    Args:
        num_classes: Outputs.
        image_shape: Channels, height, width; height and width divisible by 4.
        width: Channels of the first convolution; the second has twice as many.
    """
    channels, height, columns = image_shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * (height // 4) * (columns // 4), 64),
        nn.ReLU(),
        nn.Linear(64, num_classes),
    )

"""LeNet-5 with batch norm, its layers named, as in the variance networks' code."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def build(num_classes: int, image_shape: tuple[int, int, int], bias: bool = True) -> nn.Module:
    """``conv1`` (20, 5 x 5), ``conv2`` (50, 5 x 5), ``dense1`` (500), ``dense2``.

    Batch norm and ReLU after the first three, 2 x 2 max pooling after each convolution; weights and biases as torch
    draws them, from U(-1, 1) / sqrt(fan-in).

    Args:
        num_classes: Outputs.
        image_shape: Channels, height, width.
        bias: Whether the four layers have biases, 580 in all; the code's have none.

    Source:
        Neklyudov et al. 2018 (arXiv:1803.03764) and its code (lenet5-vdo.py, lenet5-vn.py): batch norm before the
        activation. Dropout of its baseline is noise of kind ``dropout`` on ``dense1``.
    """
    channels, height, columns = image_shape
    left = ((height - 4) // 2 - 4) // 2, ((columns - 4) // 2 - 4) // 2
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 20, 5, bias=bias),
            bn1=nn.BatchNorm2d(20),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(20, 50, 5, bias=bias),
            bn2=nn.BatchNorm2d(50),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flat=nn.Flatten(),
            dense1=nn.Linear(50 * left[0] * left[1], 500, bias=bias),
            bn3=nn.BatchNorm1d(500),
            relu3=nn.ReLU(),
            dense2=nn.Linear(500, num_classes, bias=bias),
        )
    )

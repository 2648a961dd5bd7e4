"""LeNet-5 in the 20-50-500 form of the variance-network and dropout papers."""

from __future__ import annotations

from torch import nn


def build(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """Two 5 x 5 convolutions (20, 50), each with ReLU and 2 x 2 max pooling, then 500 hidden units.

    430,500 weights without biases on 28 x 28 grey images with 10 classes.

    Args:
        num_classes: Outputs.
        image_shape: Channels, height, width.

    Source:
        LeCun et al. 1998; sizes as in Neklyudov et al. 2018 (arXiv:1803.03764), there with batch norm, here without.
    """
    channels, height, columns = image_shape
    left = ((height - 4) // 2 - 4) // 2, ((columns - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 20, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * left[0] * left[1], 500),
        nn.ReLU(),
        nn.Linear(500, num_classes),
    )

"""The small network of the variance networks' toy problem, with a bottleneck of two outputs."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def build(num_classes: int, image_shape: tuple[int, int, int], width: int = 100) -> nn.Module:
    """Four hidden layers, then ``bottleneck`` of two outputs, one more hidden layer, and the classes; all leaky ReLU.

    Args:
        num_classes: Outputs.
        image_shape: Its numbers are the inputs, flattened; two of them in the toy problem.
        width: Units of a hidden layer.

    Source:
        Neklyudov et al. 2018 (arXiv:1803.03764), toy problem of its code: 2-100-100-100-100-2-100-4, the bottleneck a
        variance layer. Deviation: there a softmax stands before the cross-entropy, which takes another.
    """
    channels, height, columns = image_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict(flat=nn.Flatten())
    inputs = channels * height * columns
    for number in range(1, 5):
        layers[f"hidden{number}"], layers[f"relu{number}"] = nn.Linear(inputs, width), nn.LeakyReLU()
        inputs = width
    layers["bottleneck"], layers["relu5"] = nn.Linear(width, 2), nn.LeakyReLU()
    layers["hidden5"], layers["relu6"] = nn.Linear(2, width), nn.LeakyReLU()
    layers["out"] = nn.Linear(width, num_classes)
    return nn.Sequential(layers)

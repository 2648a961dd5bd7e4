"""Small networks: LeNet-5, MLP of the toy problem, networks for digits and for consistency training."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def lenet5_bn(num_classes: int, image_shape: tuple[int, int, int], bias: bool = True) -> nn.Module:
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


def lenet5(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
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


# Outputs, kernel and padding of each convolution; a block ends in max pooling and dropout, the last in an average.
BLOCKS = (3 * ((128, 3, 1),), 3 * ((256, 3, 1),), ((512, 3, 0), (256, 1, 0), (128, 1, 0)))


def cnn13(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
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


def digits_conv(num_classes: int, image_shape: tuple[int, int, int], width: int = 16) -> nn.Module:
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


def toy_mlp(num_classes: int, image_shape: tuple[int, int, int], width: int = 100) -> nn.Module:
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

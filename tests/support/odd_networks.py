"""Networks whose weights, batches or outputs are not where most networks have them, by dotted path."""

from __future__ import annotations

import warnings
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils import spectral_norm as spectral_hook
from torch.nn.utils import weight_norm as weight_hook

Shape = tuple[int, int, int]


def _mlp(num_classes: int, image_shape: Shape, first: nn.Module | None = None) -> nn.Sequential:
    size = image_shape[0] * image_shape[1] * image_shape[2]
    middle = nn.Linear(size, size) if first is None else first
    return nn.Sequential(
        nn.Flatten(), middle, nn.ReLU(), nn.Linear(size, size), nn.ReLU(), nn.Linear(size, num_classes)
    )


def spectral_parametrised(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    parametrizations.spectral_norm(net[1])
    parametrizations.spectral_norm(net[3])
    return net


def weight_normed(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    parametrizations.weight_norm(net[1])
    return net


def spectral_hooked(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    spectral_hook(net[1])
    return net


def weight_hooked(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        weight_hook(net[1])
    return net


def pruned(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    prune.random_unstructured(net[1], "weight", amount=0.5)
    return net


def tied(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    net[3].weight = net[1].weight
    return net


def twice(num_classes: int, image_shape: Shape) -> nn.Module:
    net = _mlp(num_classes, image_shape)
    net[3] = net[1]
    return net


class Dropping(nn.Module):
    """An encoder whose dropout torch's fast path skips, dropout called as a function, and noise of training alone."""

    def __init__(self, num_classes: int, image_shape: Shape, hidden: bool) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(image_shape[2], 2, 16, dropout=0.3, batch_first=True)
        self.head = nn.Linear(image_shape[1] * image_shape[2], num_classes)
        self.hidden = hidden

    def forward(self, images: Tensor) -> Tensor:
        out = nn.functional.dropout(self.layer(images.squeeze(1)).flatten(1), 0.2, self.training)
        if self.training and self.hidden:
            out = out + torch.randn_like(out)
        logits: Tensor = self.head(out)
        return logits


def dropping(num_classes: int, image_shape: Shape, hidden: bool = False) -> nn.Module:
    return Dropping(num_classes, image_shape, hidden)


class Complex(nn.Module):
    """A layer of complex weights, or the same in real numbers."""

    def __init__(self, num_classes: int, image_shape: Shape, real: bool, wide: bool) -> None:
        super().__init__()
        size = image_shape[1] * image_shape[2]
        self.head = nn.Linear(16, num_classes)
        weight = torch.randn(16, size, dtype=torch.complex64) / size**0.5
        weight = weight.to(torch.complex128) if wide else weight
        self.real = nn.Parameter(weight.real.clone() if real else weight)
        self.imaginary = nn.Parameter(weight.imag.clone()) if real else None

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1)
        if self.imaginary is None:
            out = (x.to(self.real.dtype) @ self.real.T).abs().float()
        else:
            out = ((x @ self.real.T).square() + (x @ self.imaginary.T).square()).sqrt()
        logits: Tensor = self.head(out)
        return logits


def complex_weights(num_classes: int, image_shape: Shape, real: bool = False, wide: bool = False) -> nn.Module:
    return Complex(num_classes, image_shape, real, wide)


def frozen(num_classes: int, image_shape: Shape) -> nn.Module:
    """Its first layer is the same whatever the seed, and never trained."""
    net = _mlp(num_classes, image_shape)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in net[1].requires_grad_(False).parameters():
            value.normal_(0, 0.1, generator=generator)
    return net


def lazy(num_classes: int, image_shape: Shape) -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(num_classes))


class FiveDimensions(nn.Module):
    """A convolution over space, and one over channels taken for depth, whose kernel has five dimensions."""

    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__()
        self.flat, self.deep = nn.Conv2d(image_shape[0], 4, 3), nn.Conv3d(1, 2, 3)
        self.head = nn.Linear(2 * 2 * (image_shape[1] - 4) * (image_shape[2] - 4), num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.deep(self.flat(images)[:, None]).flatten(1))
        return logits


def five_dimensions(num_classes: int, image_shape: Shape) -> nn.Module:
    return FiveDimensions(num_classes, image_shape)


class TimeFirst(nn.Module):
    """An encoder in torch's own order, [places, batch, width], and a layer on patches merged into the batch."""

    def __init__(self, num_classes: int, image_shape: Shape) -> None:
        super().__init__()
        self.embed = nn.Linear(image_shape[2], 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2)
        self.patch = nn.Linear(8, 8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        out = self.layer(self.embed(images.squeeze(1).transpose(0, 1))).transpose(0, 1)
        patches = self.patch(out.reshape(-1, 8)).relu().view(len(images), -1, 8)
        logits: Tensor = self.head(patches.mean(1))
        return logits


def time_first(num_classes: int, image_shape: Shape) -> nn.Module:
    return TimeFirst(num_classes, image_shape)


@dataclass
class Answer:
    logits: Tensor
    features: Tensor


Named = namedtuple("Named", ("logits", "aux"))
FORMS: dict[str, Any] = {
    "tensor": lambda logits, aux: logits,
    "tuple": lambda logits, aux: (logits, aux),
    "dict": lambda logits, aux: {"aux": aux, "logits": logits},
    "one entry": lambda logits, aux: {"out": logits},
    "dataclass": lambda logits, aux: Answer(logits, aux),
    "named": lambda logits, aux: Named(logits, aux),
    "unnamed dict": lambda logits, aux: {"aux": aux, "main": logits},
    "transposed": lambda logits, aux: logits.T,
}


class Wrapped(nn.Module):
    """Answers in a form of its own: always, or in training alone."""

    def __init__(self, num_classes: int, image_shape: Shape, form: str, always: bool) -> None:
        super().__init__()
        self.net, self.form, self.always = _mlp(num_classes, image_shape), form, always

    def forward(self, images: Tensor) -> Any:
        logits = self.net(images)
        return FORMS[self.form](logits, 2 * logits) if self.always or self.training else logits


def wrapped(
    num_classes: int, image_shape: Shape, form: str = "tensor", always: bool = True, more: int = 0
) -> nn.Module:
    return Wrapped(num_classes + more, image_shape, form, always)

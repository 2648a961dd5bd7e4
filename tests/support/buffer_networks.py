"""Networks with buffers that are not those of batch norm, and batch norms that are not trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import raysurf as rs
from tests.support.cases import tiny_sgd


class RunningRMS(nn.Module):
    """Divides by a running root mean square, also while it is trained, and counts its steps."""

    square: Tensor
    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("square", torch.ones(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.square.mul_(0.9).add_(x.detach().square().mean(), alpha=0.1)
            self.steps.add_(1)
        return x / self.square.sqrt()


def _network(*middle: nn.Module, num_classes: int, pixels: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, 24), *middle, nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, num_classes)
    )


def rms(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """A network with a buffer of one's own."""
    return _network(RunningRMS(), num_classes=num_classes, pixels=image_shape[1] * image_shape[2])


def spectral(num_classes: int, image_shape: tuple[int, int, int], hook: bool = False) -> nn.Module:
    """A network with torch's spectral norm, as a parametrization or as a hook."""
    net = _network(num_classes=num_classes, pixels=image_shape[1] * image_shape[2])
    norm = nn.utils.spectral_norm if hook else nn.utils.parametrizations.spectral_norm
    for layer in (net[1], net[4]):
        norm(layer)
    return nn.Sequential(net, Scale())


class Scale(nn.Module):
    """Makes logits that can be told apart."""

    def forward(self, x: Tensor) -> Tensor:
        return 8.0 * x


def spectral_hook(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """The same by the older hook."""
    return spectral(num_classes, image_shape, hook=True)


def instance(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """A network with instance norm that keeps running statistics."""
    side = image_shape[1] - 2
    return nn.Sequential(
        nn.Conv2d(image_shape[0], 4, 3),
        nn.InstanceNorm2d(4, track_running_stats=True),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * side * side, num_classes),
    )


class Range(nn.Module):
    """Keeps the running range of every feature, empty before the first step, and divides by it; it has a mask."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(0))
        self.register_buffer("high", torch.zeros(0))
        self.register_buffer("mask", torch.full((1,), float("-inf")))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            low, high = x.detach().amin(0), x.detach().amax(0)
            first = not len(self.low)
            self.low, self.high = (low, high) if first else (0.9 * self.low + 0.1 * low, 0.9 * self.high + 0.1 * high)
        return x / (self.high - self.low).clamp_min(0.1) if len(self.low) else x


def ranges(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """A network with buffers that begin empty."""
    return _network(Range(), num_classes=num_classes, pixels=image_shape[1] * image_shape[2])


class Frozen(nn.Sequential):
    """Its first batch norm stays in evaluation, as that of a network that is fine-tuned."""

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self[2].eval()
        return self


def frozen_norm(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """A network with two batch norms, of which one is never trained."""
    middle = nn.BatchNorm1d(24), nn.BatchNorm1d(24)
    net = _network(*middle, num_classes=num_classes, pixels=image_shape[1] * image_shape[2])
    nn.init.constant_(middle[0].running_mean, 0.3)
    return Frozen(*net)


def base(name: str, **changes: object) -> rs.SGD:
    """Three epochs of one of these."""
    return tiny_sgd(model=rs.ModelSpec(name=f"tests.support.buffer_networks:{name}"), epochs=3, **changes)

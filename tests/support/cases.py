"""A registry of small things to test on; lambdas, so that nothing is built at import."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import raysurf as rs
from raysurf.weightspace.point import Point

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"


class Killed(BaseException):
    """What a job does not hear of: nothing of it runs after this."""


def random_point(seed: int, dtype: torch.dtype = torch.float64) -> Point:
    """A point of two tensors."""
    g = torch.Generator().manual_seed(seed)
    return {"a": torch.randn(3, 2, generator=g, dtype=dtype), "b": torch.randn(4, generator=g, dtype=dtype)}


def tiny_sgd(**changes: object) -> rs.SGD:
    """Two epochs of the digits network, half a second of work."""
    settings: dict[str, object] = {
        "model": rs.ModelSpec(name="digits_conv", options={"width": 4}),
        "data": rs.DataSpec(name="digits", share=0.2),
        "epochs": 2,
        "lr": 0.1,
        "weight_decay": 1e-4,
        "batch_size": 64,
    }
    return rs.SGD(**{**settings, **changes})  # type: ignore[arg-type]


def tiny_curve(**changes: object) -> rs.Curve:
    """Two epochs of a curve between two of these."""
    settings: dict[str, object] = {"start": tiny_sgd(), "end": tiny_sgd(seed=1), "epochs": 2, "lr": 0.05}
    return rs.Curve(**{**settings, **changes})  # type: ignore[arg-type]


def tiny_noise(**changes: object) -> rs.Variational:
    """Two epochs of the digits network with a noisy dense layer."""
    settings: dict[str, object] = {
        "model": rs.ModelSpec(name="digits_conv", options={"width": 4}),
        "data": rs.DataSpec(name="digits", share=0.2),
        "epochs": 2,
        "lr": 1e-3,
        "batch_size": 64,
        "noise": (rs.VariationalDropout(layers="9", sharing="layer", log_alpha=-1.0),),
        "num_samples": 3,
        "elbo_samples": 2,
    }
    return rs.Variational(**{**settings, **changes})  # type: ignore[arg-type]


def tiny_fge() -> rs.FGE:
    return rs.FGE(start=tiny_sgd(), epochs=6, cycle_epochs=2, schedule=rs.Triangle(high=0.05, low=0.005))


def tiny_swag() -> rs.SWAG:
    return rs.SWAG(start=tiny_sgd(), epochs=4, lr=0.05, rank=3, num_samples=3)


class Encoder(nn.Module):
    """A small transformer over the rows of an image, with tied weights, layer norm, attention and a buffer."""

    def __init__(self, num_classes: int, image_shape: tuple[int, int, int], width: int = 16) -> None:
        super().__init__()
        channels, height, columns = image_shape
        self.embed = nn.Linear(channels * columns, width)
        self.again = nn.Linear(channels * columns, width)
        self.again.weight = self.embed.weight
        self.register_buffer("places", torch.linspace(-1, 1, height * width).view(height, width))
        self.layer = nn.TransformerEncoderLayer(width, 2, 2 * width, dropout=0.0, batch_first=True)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = images.transpose(1, 2).flatten(2)
        logits: torch.Tensor = self.head(self.layer(self.embed(rows) + self.again(rows.flip(1)) + self.places).mean(1))
        return logits


def transformer(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """A small transformer."""
    return Encoder(num_classes, image_shape)


def group_norm(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """A convolution with group norm, and a ``view`` that cannot take channels-last tensors."""

    class View(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.view(len(x), -1)

    size = 8 * image_shape[1] * image_shape[2]
    return nn.Sequential(
        nn.Conv2d(image_shape[0], 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), View(), nn.Linear(size, num_classes)
    )


def residual(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """Torchvision's ResNet of a block a stage, its first convolution made for the image's channels."""
    from torchvision.models.resnet import BasicBlock, ResNet

    net: nn.Module = ResNet(BasicBlock, [1, 1, 1, 1], num_classes)
    net.conv1 = nn.Conv2d(image_shape[0], 64, 3, padding=1, bias=False)
    return net


JOBS: dict[str, Callable[[], object]] = {
    "sgd": tiny_sgd,
    "swa": lambda: rs.SWA(start=tiny_sgd(), epochs=3, cycle_epochs=1, lr=0.05),
    "swa by steps": lambda: rs.SWA(start=tiny_sgd(), budget=2.5, cycle_steps=3, lr=0.05, average_on="cpu"),
    "swag": tiny_swag,
    "fge": tiny_fge,
    "swalp": lambda: rs.SWA(start=tiny_sgd(objective=rs.BlockFloat(accumulators=10)), epochs=3, lr=0.05),
    "mean teacher": lambda: tiny_sgd(
        data=rs.DataSpec(name="digits", share=0.2, labelled=40), objective=rs.Consistency(labelled_batch=16, noise=0.3)
    ),
    "curve": lambda: rs.Curve(start=tiny_sgd(), end=tiny_sgd(seed=1), num_bends=2, epochs=2, lr=0.05),
    "profile": lambda: rs.Profile(along=rs.Line(start=tiny_sgd(), end=tiny_sgd(seed=1)), num_points=3),
    "chain": lambda: rs.Profile(
        along=rs.Chain(weights=(tiny_sgd(), tiny_sgd(seed=1), tiny_sgd(seed=2))), num_points=5, batchnorm="interpolate"
    ),
    "plane": lambda: rs.Plane(
        weights=(tiny_sgd(), tiny_sgd(seed=1), rs.PointOf(of=tiny_curve(), name="bend1")),
        grid=(3, 2),
        draw=(tiny_curve(),),
    ),
    "rays": lambda: rs.Rays(weights=(tiny_sgd(), tiny_sgd(seed=1)), num_rays=2, num_points=3, length=2.0),
    "path": lambda: rs.Path(
        start=tiny_sgd(),
        end=tiny_sgd(seed=1),
        cycles=(rs.Cycle(epochs=2, lr=0.1, insert=2), rs.Cycle(epochs=1, lr=0.05)),
        num_between=2,
    ),
    "variational": lambda: tiny_noise(kl_warmup=(0, 1), samples=2, noise_rate=3.0),
    "variance": lambda: tiny_noise(
        noise=(rs.VarianceNoise(layers="9"), rs.Dropout(layers="11", p=0.2)),
        init=rs.SigmaFromMeans(of=tiny_sgd(), alpha=0.5),
    ),
    "predict": lambda: rs.Predict(weights=tiny_sgd(), batchnorm="reestimate"),
    "predict noise": lambda: rs.Predict(
        weights=tiny_noise(),
        schemes=("deterministic", "stochastic", "zero_mean", "permuted", "ensemble"),
        num_samples=4,
    ),
    "predict swag": lambda: rs.Predict(weights=tiny_swag(), num_samples=2),
    "predict members": lambda: rs.Predict(weights=tiny_fge(), members=(3, 1)),
    "predict curve": lambda: rs.Predict(weights=tiny_curve(), num_samples=2),
    "predict fge": lambda: rs.Predict(weights=tiny_fge(), num_samples=2),
    "noise": lambda: rs.NoiseOf(weights=tiny_noise(), layer="9", neurons=(0, 3), num_samples=2, num_draws=4),
    "regions": lambda: rs.Regions(
        weights=tiny_noise(
            model=rs.ModelSpec(name="toy_mlp", options={"width": 10}),
            data=rs.DataSpec(name="toy_gaussians", share=0.1),
            noise=(rs.VarianceNoise(layers="bottleneck"),),
        ),
        grid=4,
        num_samples=2,
    ),
}

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "batchnorm": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 10)
    ),
    "plain": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)),
}


def any_options(num_classes: int, image_shape: tuple[int, int, int], **options: Any) -> nn.Module:
    """A linear network that takes any options and has no use for them."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), num_classes))

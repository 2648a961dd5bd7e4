"""A registry of small things to test on; lambdas, so that nothing is built at import."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import raysurf as rs
from raysurf.weightspace.point import Point

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"


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


JOBS: dict[str, Callable[[], object]] = {
    "sgd": tiny_sgd,
    "swa": lambda: rs.SWA(start=tiny_sgd(), epochs=3, cycle_epochs=1, lr=0.05),
    "curve": lambda: rs.Curve(start=tiny_sgd(), end=tiny_sgd(seed=1), num_bends=2, epochs=2, lr=0.05),
    "profile": lambda: rs.Profile(along=rs.Line(start=tiny_sgd(), end=tiny_sgd(seed=1)), num_points=3),
    "predict": lambda: rs.Predict(weights=tiny_sgd(), batchnorm="reestimate"),
}

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "batchnorm": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 10)
    ),
    "plain": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)),
}

"""Rows of surfaces, and a line on which some points fail."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

import raysurf as rs
from raysurf.jobs.job import Job
from raysurf.store.store import Store
from raysurf.store.tables import rows_of_run


def surface(store: Store, job: Job) -> dict[tuple[int, str], dict[str, Any]]:
    """A job's rows by point and split, without what depends on the clock."""
    rows = rows_of_run(store, "surface", job.id)
    places = {(row["point"], row["split"]): {k: v for k, v in row.items() if k != "point_s"} for row in rows}
    assert len(places) == len(rows), "a row stands twice"
    return places


class Fragile(nn.Module):
    """A linear network that cannot stand weights in the middle between two seeds'."""

    def __init__(self, size: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, num_classes)
        self.bound = nn.Parameter(torch.rand(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if abs(self.bound.item() - 0.6) < 0.02:
            raise RuntimeError("out of memory, say")
        logits: torch.Tensor = self.linear(images.flatten(1))
        return logits / (self.bound - 0.4 if abs(self.bound.item() - 0.4) > 0.02 else self.bound * 0)


def fragile(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """A network that fails at some weights, and overflows at others."""
    return Fragile(math.prod(image_shape), num_classes)


def fragile_line(folder: Path) -> tuple[rs.Profile, Store]:
    """A line on which bound goes from 0 to 1 in steps of 0.1."""
    ends = []
    for seed, bound in ((0, 0.0), (1, 1.0)):
        torch.manual_seed(seed)
        net = fragile(10, (1, 8, 8))
        state = {k: v.detach().clone() for k, v in net.state_dict().items()} | {"bound": torch.tensor([bound])}
        (folder / f"{seed}.safetensors").write_bytes(save(state))
        model = rs.ModelSpec(name="tests.support.surfaces:fragile")
        ends.append(rs.Weights(model=model, data=rs.DataSpec(name="digits"), file=str(folder / f"{seed}.safetensors")))
    return rs.Profile(along=rs.Line(start=ends[0], end=ends[1]), num_points=11), Store(str(folder / "r"))

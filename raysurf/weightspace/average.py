"""The running average of points."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from raysurf.weightspace.point import Point, require_same


class RunningAverage:
    """The mean of the points added so far, kept in fp32 or better.

    w_avg <- w_avg + (w - w_avg) / (n + 1)

    Args:
        average: The mean so far, or None to start empty.
        count: How many points it is the mean of.
        device: Where the mean is kept; None for that of the first point.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), algorithm 1.
    """

    def __init__(self, average: Point | None = None, count: int = 0, device: torch.device | str | None = None) -> None:
        assert (average is None) == (count == 0), "a mean has members"
        self.average, self.count, self.device = average, count, device

    @torch.no_grad()
    def add(self, point: Mapping[str, Tensor]) -> None:
        """Take one more point into the mean.

        Raises:
            PointMismatchError: If its names or shapes are not those of the points before.
        """
        if self.average is None:
            self.average = {
                name: value.detach().to(self.device, torch.promote_types(value.dtype, torch.float32), copy=True)
                for name, value in point.items()
            }
        else:
            require_same(self.average, point)
            mean = list(self.average.values())
            new = [point[name].to(value) for name, value in self.average.items()]
            torch._foreach_lerp_(mean, new, 1.0 / (self.count + 1))
        self.count += 1

    def state(self) -> dict[str, Tensor]:
        """Tensors that ``restore`` needs to go on."""
        return dict(self.average or {})

    def restore(self, state: Mapping[str, Tensor], count: int) -> None:
        """Go on from a state of so many points."""
        self.average = {name: value.to(self.device) for name, value in state.items()} if state else None
        self.count = count

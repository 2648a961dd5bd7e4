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
        device: Where the mean is kept; None for where the first point is.

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
                k: v.detach().to(self.device, torch.promote_types(v.dtype, torch.float32), copy=True)
                for k, v in point.items()
            }
        else:
            require_same(self.average, point)
            mean = list(self.average.values())
            new = [point[k].to(v) for k, v in self.average.items()]
            torch._foreach_lerp_(mean, new, 1.0 / (self.count + 1))
        self.count += 1

"""``profile``: loss and error at points along a curve, a path, a straight line or a chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from raysurf.errors import DegenerateError
from raysurf.jobs.geometry import Along
from raysurf.jobs.measuring import ALONG, MeasuringJob, Spot, along_metrics, spread_names
from raysurf.jobs.sources import Source

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.store import Row


class Profile(MeasuringJob):
    """Measure a curve, a path, or the line or chain between weights, at evenly spaced t; every point is a row.

    Metrics per split and quantity: ``max``, ``min`` and ``mean`` over the points; ``t_integral``, the integral over t
    in [0, 1]; ``arc_integral``, the mean over arc length (sum of (v_i + v_i+1)/2 dl over sum of dl, dl the distance of
    neighbours; the paper's l-hat); ``frankle_barrier``, the worst value minus the mean of the two ends';
    ``entezari_barrier``, the most by which a point exceeds the straight line between the two ends' values; ``barrier``,
    the older name of the latter; and the ``length``. With a margin, integrals, barriers and length are those of the
    part between the ends.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 3 and the reference code's evaluation; the barriers of Frankle
        et al. 2020 (arXiv:1912.05671), section 2, and Entezari et al. 2022 (arXiv:2110.06296), definition 1, measured
        along the curve. Batch norm interpolated: the convention of Draxler et al. 2018.
    """

    kind: ClassVar[str] = "profile"

    along: Along = Field(description="a curve or path job, or kind: line or chain of weights")
    num_points: int = Field(61, ge=2, description="points, both ends included")
    margin: float = Field(0.0, ge=0, description="how far to go on beyond both ends, as a share of the line's length")

    @model_validator(mode="after")
    def _straight_beyond(self) -> Self:
        if self.margin and not self.along.goes_beyond:
            raise ValueError(f"margin {self.margin:g} along a {self.along.kind}; only a line goes on beyond its ends")
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.along.sources

    def setting(self, name: str) -> Any:
        """A training setting of the curve or path, or of the line's start."""
        return self.along.setting(name)

    @property
    def points_to_measure(self) -> int:
        return self.num_points

    def metric_names(self) -> tuple[str, ...]:
        return ("length", *spread_names(*ALONG))

    def survey(self, context: Context) -> Callable[[int], Spot]:
        from raysurf.weightspace.curve import arc_lengths

        track = self.along.track(context)
        width = (1.0 + 2 * self.margin) / (self.num_points - 1)
        ts = [i * width - self.margin for i in range(self.num_points - 1)] + [1.0 + self.margin]
        distances = arc_lengths(track.shape, track.points, ts)
        if not distances[-1] > 0:
            raise DegenerateError(track.geometry, "ends that are equal", "different weights")

        def spot(number: int) -> Spot:
            t = ts[number]
            columns = {"geometry": track.geometry, "t": t, "distance": distances[number]}
            return Spot(track.position(self.batchnorm, t), columns)

        return spot

    def metrics(self, rows: Sequence[Row]) -> dict[str, float]:
        return along_metrics(rows)

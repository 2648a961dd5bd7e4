"""``rays``: loss and error along random directions from one or several weights, for the width of optima."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raysurf.jobs.geometry import Position, Trained
from raysurf.jobs.job import SPLITS
from raysurf.jobs.measuring import QUANTITIES, MeasuringJob, Spot, spread, spread_names
from raysurf.jobs.sources import Source, Sources, require_joinable

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.store import Row
    from raysurf.weightspace.point import Point


class Rays(MeasuringJob):
    """Measure along the same random rays from every one of several weights.

    ``unit`` rays are of length one in weight distance, and ``length`` is a weight distance. ``filter`` rays are scaled
    filter by filter to the first weights, and ``length`` counts how many times that ray is gone along. A profile of the
    line between two weights is the other picture of their width.

    Metrics: ``max``, ``min`` and ``mean`` over all points, and ``edge``, the mean over all rays at their far end.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), section 4.3, figure 4; Li et al. 2018 (arXiv:1712.09913), section 4.
    """

    kind: ClassVar[str] = "rays"

    weights: Sources = Field(description="one or more weights that rays start from; the same network")
    num_rays: int = Field(10, ge=1, description="random directions")
    num_points: int = Field(11, ge=2, description="points on a ray, the origin included")
    length: float = Field(gt=0, description="how far a ray goes")
    normalise: Literal["unit", "filter"] = Field("unit", description="scale of the directions")
    seed: int = Field(0, ge=0, description="decides the directions")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not self.weights:
            raise ValueError("no weights; at least one")
        require_joinable(*self.weights)
        if self.batchnorm == "interpolate":
            raise ValueError("batchnorm interpolate; a ray has one end, so use reestimate or fixed")
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.weights

    @property
    def points_to_measure(self) -> int:
        return len(self.weights) * self._per_origin

    @property
    def _per_origin(self) -> int:
        return 1 + self.num_rays * (self.num_points - 1)

    def metric_names(self) -> tuple[str, ...]:
        return spread_names("edge")

    def survey(self, context: Context) -> Callable[[int], Spot]:
        from raysurf.jobs.network import Network
        from raysurf.weightspace.directions import random_direction
        from raysurf.weightspace.point import combine, squared_norm

        opened = [source.opened(context) for source in self.weights]
        fixed = [name for name, value in Network(self, context).model.named_parameters() if not value.requires_grad]

        @functools.lru_cache(maxsize=1)
        def direction(ray: int) -> tuple[Point, float]:
            drawn = random_direction(opened[0][0], self.normalise, self.seed, ray, fixed)
            return drawn, squared_norm(drawn) ** 0.5

        def spot(number: int) -> Spot:
            which, place = divmod(number, self._per_origin)
            (origin, buffers), source = opened[which], self.weights[which]
            columns = {"geometry": "ray", "origin": source.label, "t": 0.0, "distance": 0.0}
            trained, mix = Trained([origin], [buffers]), [1.0]
            if place > 0:
                ray, step = divmod(place - 1, self.num_points - 1)
                t = (step + 1) / (self.num_points - 1)
                towards, norm = direction(ray)
                trained, mix = Trained([origin, towards], [buffers, {}]), [1.0, t * self.length]
                columns |= {"ray": ray, "t": t, "distance": t * self.length * norm}
            statistics = buffers if source.has_statistics else opened[0][1]
            return Spot(Position(combine(trained.points, mix), statistics, trained, mix), columns)

        return spot

    def metrics(self, rows: Sequence[Row]) -> dict[str, float]:
        metrics = spread(rows)
        for split in SPLITS:
            for name in QUANTITIES:
                far = (row[name] for row in rows if row["split"] == split and row["t"] == 1.0)
                if ends := [value for value in far if value is not None]:
                    metrics[f"{split}/edge_{name}"] = sum(ends) / len(ends)
        return metrics

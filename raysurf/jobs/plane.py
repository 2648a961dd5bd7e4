"""``plane``: loss and error over a grid on the plane through three weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from raysurf.jobs.geometry import AlongJob, Position, Trained, interpolated
from raysurf.jobs.measuring import MeasuringJob, Spot, spread, spread_names
from raysurf.jobs.sources import PointOf, Source, Sources, WeightsJob, require_joinable
from raysurf.values import BY_KIND, as_tuple

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.store import Row
    from raysurf.weightspace.plane import Plane as Frame

Drawn = Annotated[WeightsJob | PointOf | AlongJob, BY_KIND]
Count = Annotated[int, Field(ge=2)]
COORDINATES = ("x", "y", "off_plane")


def _both_ways(value: Any) -> Any:
    """One number counts for both directions."""
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else as_tuple(value)


class Plane(MeasuringJob):
    """Measure the plane through any three weights; x goes from the first towards the second, y to the third's side.

    Coordinates are weight distances, and the three weights have theirs exactly. What is drawn on the plane (the three
    weights, further weights, curves and paths) is projected onto it: rows of ``landmarks``.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), appendix A.1; Izmailov et al. 2018 (arXiv:1803.05407), figure 1.
    """

    kind: ClassVar[str] = "plane"

    weights: Sources = Field(description="three weights that are not on one line")
    grid: Annotated[
        tuple[Count, Count], BeforeValidator(_both_ways, json_schema_input_type=Count | tuple[Count, Count])
    ] = Field((21, 21), description="points each way: one number, or [x, y]")
    margin: float = Field(0.2, ge=0, description="beyond the weights on every side, as a share of their extent")
    draw: Annotated[tuple[Drawn, ...], BeforeValidator(as_tuple)] = Field(
        (), description="further weights, curves and paths to draw on it"
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if len(self.weights) != 3:
            raise ValueError(f"a plane through {len(self.weights)} weights; weights has three")
        require_joinable(*self.weights)
        for drawn in self.draw:
            data, own = drawn.data_spec.identity, self.data_spec.identity
            if (drawn.model_spec, data) != (self.model_spec, own):
                raise ValueError(f"{drawn.kind} of another network or other data to draw; give what lies in one space")
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.weights

    @property
    def points_to_measure(self) -> int:
        return self.grid[0] * self.grid[1]

    def metric_names(self) -> tuple[str, ...]:
        return spread_names()

    def survey(self, context: Context) -> Callable[[int], Spot]:
        from raysurf.weightspace.plane import plane_through

        opened = [source.opened(context) for source in self.weights]
        plane = plane_through(*(point for point, _ in opened))
        xs, ys = plane.grid(*self.grid, self.margin)
        buffers = [own for _, own in opened]
        trained = Trained([point for point, _ in opened], buffers)

        def spot(number: int) -> Spot:
            x, y = xs[number % len(xs)], ys[number // len(xs)]
            mix = plane.affine(x, y)
            statistics = interpolated(buffers, mix) if self.batchnorm == "interpolate" else buffers[0]
            columns = {"geometry": "plane", "x": x, "y": y, "distance": (x * x + y * y) ** 0.5}
            return Spot(Position(plane.at(x, y), statistics, trained, mix), columns)

        return spot

    def metrics(self, rows: Sequence[Row]) -> dict[str, float]:
        return spread(rows)

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.weightspace.plane import plane_through

        frame = plane_through(*(source.opened(context)[0] for source in self.weights))
        context.report("landmarks", *self._landmarks(frame, context))
        return super().run(context)

    def _landmarks(self, frame: Frame, context: Context) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for number, drawn in enumerate((*self.weights, *self.draw)):
            fixed: dict[str, Any] = {"landmark": number, "name": drawn.label, "source": drawn.id}
            if isinstance(drawn, AlongJob):
                track = drawn.track(context)
                many = drawn.num_drawn(track)
                ts = [position / (many - 1) for position in range(many)]
                for position, (t, where) in enumerate(zip(ts, track.located(frame, ts), strict=True)):
                    place = dict(zip(COORDINATES, where, strict=True))
                    rows.append({**fixed, "geometry": drawn.kind, "position": position, "t": t, **place})
            else:
                corner = number < len(frame.corners)
                at = (*frame.corners[number], 0.0) if corner else frame.locate(drawn.opened(context)[0])
                place = dict(zip(COORDINATES, at, strict=True))
                rows.append({**fixed, "geometry": "weights", "position": 0, "t": None, **place})
        return rows

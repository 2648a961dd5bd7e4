"""Where weights lie: straight lines and chains, and the track that a profile follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from raysurf.errors import DegenerateError
from raysurf.jobs.job import Job
from raysurf.jobs.sources import Source, Sources, require_joinable
from raysurf.values import Node

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.job import Context
    from raysurf.training.checkpoints import State
    from raysurf.weightspace.plane import Plane


# Points at which a curve is drawn.
DRAWN = 61


def require_apart(geometry: str, start: State, end: State) -> None:
    """Check that the ends of something to be trained are not one point.

    Raises:
        DegenerateError: If they are equal.
        PointMismatchError: If they differ in names or shapes.
    """
    from raysurf.weightspace.point import distance

    if not distance(start, end) > 0:
        raise DegenerateError(geometry, "ends that are equal", "different weights")


@dataclass(frozen=True)
class Trained:
    """Trained weights that span a curve, a line, a chain or a plane, each with its buffers; empty for those without."""

    points: Sequence[State]
    buffers: Sequence[State]

    @cached_property
    def _gram(self) -> Tensor:
        from raysurf.weightspace.point import differences_gram

        return differences_gram(self.points)

    def nearest(self, coefficients: Sequence[float]) -> State:
        """The buffers of the weights that are nearest to a mixture of them all, whose coefficients sum to one."""
        from raysurf.weightspace.point import nearest_point

        known = [number for number, buffers in enumerate(self.buffers) if buffers]
        number = known[0] if len(known) == 1 else nearest_point(self._gram, coefficients, known) if known else 0
        return self.buffers[number]


@dataclass(frozen=True)
class Position:
    """A mixture of trained weights, and the buffers that a network gets there.

    Args:
        point: The weights.
        statistics: Buffers whose batch-norm statistics are taken, unless those are re-estimated.
        trained: What the weights are mixed of.
        coefficients: One for each of these; they sum to one if several have buffers.
    """

    point: State
    statistics: State
    trained: Trained
    coefficients: Sequence[float]

    @property
    def buffers(self) -> State:
        """The buffers of the nearest of the trained weights."""
        return self.trained.nearest(self.coefficients)

    @property
    def is_trained(self) -> bool:
        """Whether these are trained weights themselves, with buffers of their own."""
        taken = [(c, own) for c, own in zip(self.coefficients, self.trained.buffers, strict=True) if c != 0.0]
        return len(taken) == 1 and taken[0][0] == 1.0 and bool(taken[0][1])


def interpolated(buffers: Sequence[State], coefficients: Sequence[float]) -> State:
    """A mixture of floating buffers."""
    from raysurf.weightspace.point import combine

    return combine([{k: v for k, v in own.items() if v.is_floating_point()} for own in buffers], coefficients)


@dataclass(frozen=True)
class Track:
    """A curve through weight space with batch-norm statistics at stations that are evenly spaced in t.

    Args:
        geometry: curve, line, chain or path.
        shape: ``polygonal`` or ``bezier``.
        points: Control points, ends included.
        statistics: At least two.
        buffers: Of every control point; empty for one without its own.
    """

    geometry: str
    shape: str
    points: Sequence[State]
    statistics: Sequence[State]
    buffers: Sequence[State]

    @cached_property
    def _trained(self) -> Trained:
        return Trained(self.points, self.buffers)

    def control_point(self, number: int) -> tuple[State, State]:
        """A control point and its buffers, empty if it has none of its own."""
        return self.points[number], self.buffers[number]

    def at(self, t: float) -> State:
        """The point at t."""
        from raysurf.weightspace.curve import evaluate

        return evaluate(self.shape, self.points, t)

    def located(self, plane: Plane, ts: Sequence[float]) -> list[tuple[float, float, float]]:
        """Coordinates of the points at some t on a plane, and their distances from it."""
        return plane.locate_mixtures(self.points, [self._coefficients(t) for t in ts])

    def _coefficients(self, t: float) -> tuple[float, ...]:
        from raysurf.weightspace.curve import coefficients

        return coefficients(self.shape, len(self.points) - 2, t)

    def position(self, choice: str, t: float) -> Position:
        """The point at t; its statistics are those of the start, or interpolated between the stations beside t."""
        from raysurf.weightspace.curve import coefficients

        statistics = self.statistics[0]
        if choice == "interpolate":
            statistics = interpolated(self.statistics, coefficients("polygonal", len(self.statistics) - 2, t))
        return Position(self.at(t), statistics, self._trained, self._coefficients(t))


class Along(Node):
    """What a profile follows, from one of its sources to another.

    Attributes:
        goes_beyond: Whether it may be followed beyond its ends.
    """

    goes_beyond: ClassVar[bool] = False

    @property
    def sources(self) -> tuple[Source, ...]:
        """The weights that it joins."""
        raise AssertionError(f"{type(self).__name__} joins no weights")

    def setting(self, name: str) -> Any:
        """A training setting of it, or of its first source."""
        return self.sources[0].setting(name)

    def track(self, context: Context) -> Track:
        """The points along it, opened."""
        raise AssertionError(f"{type(self).__name__} has no track")


class AlongJob(Job, Along):
    """A job that leaves a curve through weight space."""

    has_statistics: ClassVar[bool] = False

    def num_drawn(self, track: Track) -> int:
        """Points at which it is drawn."""
        return DRAWN


class Line(Along):
    """The straight segment between two weights."""

    kind: ClassVar[str] = "line"
    goes_beyond: ClassVar[bool] = True
    PLUGS: ClassVar[str] = "places"
    start: Source = Field(description="weights at t = 0")
    end: Source = Field(description="weights at t = 1")

    @model_validator(mode="after")
    def _joinable(self) -> Self:
        require_joinable(self.start, self.end)
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.start, self.end

    def track(self, context: Context) -> Track:
        return _straight("line", self.sources, context)


class Chain(Along):
    """Straight segments from each of several weights to the next."""

    kind: ClassVar[str] = "chain"
    PLUGS: ClassVar[str] = "places"
    weights: Sources = Field(description="two or more weights, in order")

    @model_validator(mode="after")
    def _joinable(self) -> Self:
        if len(self.weights) < 2:
            raise ValueError(f"a chain of {len(self.weights)}; it has two or more weights")
        require_joinable(*self.weights)
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.weights

    def track(self, context: Context) -> Track:
        return _straight("chain", self.weights, context)


def _straight(geometry: str, sources: Sequence[Source], context: Context) -> Track:
    opened = [source.opened(context) for source in sources]
    points, buffers = [point for point, _ in opened], [buffers for _, buffers in opened]
    return Track(geometry, "polygonal", points, buffers, buffers)

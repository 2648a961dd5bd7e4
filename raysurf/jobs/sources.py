"""What a job may look at: one point of weight space, by the job that left it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from raysurf.data.spec import DataSpec
from raysurf.errors import nearest
from raysurf.jobs.job import METRICS, SAMPLES, SPLITS, Job
from raysurf.models.spec import ModelSpec
from raysurf.stochastic.spec import CONTROLS, Scheme
from raysurf.values import BY_KIND, Node, as_tuple

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.training.checkpoints import State


class WeightsJob(Job):
    """A job whose outcome is one point of weight space, so that others can start from it.

    Attributes:
        draws_weights: Whether its samples are weights of their own, each with statistics to re-estimate.
    """

    draws_weights: ClassVar[bool] = False

    def opened(self, context: Context) -> tuple[State, State]:
        """The point and its buffers."""
        return context.weights(self)

    @property
    def possible_schemes(self) -> tuple[Scheme, ...]:
        return schemes_of_point(self.model_spec)


def schemes_of_point(spec: ModelSpec) -> tuple[Scheme, ...]:
    """Prediction schemes of one point: those of its noise; without noise, a network with dropout can give samples."""
    controls = [name for name in CONTROLS if spec.noise and all(name in noise.CONTROLS for noise in spec.noise)]
    return ("deterministic", "stochastic", "ensemble", *controls)


def scheme_metric_names(schemes: Sequence[Scheme]) -> tuple[str, ...]:
    """The metrics of predictions by several schemes, as ``split/scheme_name``."""
    return tuple(f"{split}/{scheme}_{name}" for split in SPLITS for scheme in schemes for name in METRICS)


class OfWeights(Job):
    """A job that looks at finished weights, with their network, data and settings."""

    weights: WeightsJob = Field(description="the weights")

    @property
    def source(self) -> WeightsJob:
        return self.weights


class PointOf(Node):
    """One point of a job that leaves several: a curve's ``bend1``, the ``last`` iterate of SWA, a path's ``pivot3``."""

    kind: ClassVar[str] = "point"
    PLUGS: ClassVar[str] = "places"
    draws_weights: ClassVar[bool] = False

    of: Job = Field(description="the job")
    name: str = Field(description="which of its points")

    @model_validator(mode="after")
    def _is_there(self) -> Self:
        known = self.of.point_names
        if self.name not in known:
            near = nearest(self.name, known)
            hint = f" (did you mean {near!r}?)" if near else ""
            raise ValueError(f"{self.of.kind} has no point {self.name!r}, but {', '.join(known) or 'none'}{hint}")
        return self

    @property
    def id(self) -> str:
        """The job's id and the point's name."""
        return f"{self.of.id}/{self.name}"

    @property
    def model_spec(self) -> ModelSpec:
        """Its network."""
        return self.of.model_spec

    @property
    def data_spec(self) -> DataSpec:
        """Its data."""
        return self.of.data_spec

    @property
    def has_statistics(self) -> bool:
        """Whether it has batch-norm statistics of its own; the points of curves and paths have none."""
        return self.of.has_statistics

    def setting(self, name: str) -> Any:
        """A training setting of the job."""
        return self.of.setting(name)

    @property
    def owner(self) -> Job:
        """The job."""
        return self.of

    @property
    def label(self) -> str:
        """What it is called in pictures."""
        return f"{self.of.kind} {self.name}"

    @property
    def possible_schemes(self) -> tuple[Scheme, ...]:
        """Prediction schemes that may be asked of it."""
        return schemes_of_point(self.model_spec)

    @property
    def max_samples(self) -> int | None:
        """As of a job."""
        return None

    @property
    def usual_samples(self) -> int:
        """As of a job."""
        return SAMPLES

    def opened(self, context: Context) -> tuple[State, State]:
        """The point and its buffers."""
        return self.of.named_point(context, self.name)


Source = Annotated[WeightsJob | PointOf, BY_KIND]
Sources = Annotated[tuple[Source, ...], BeforeValidator(as_tuple)]


def require_joinable(*sources: Source) -> None:
    """Check that weights are of one network and data set, and that no two are the same.

    Raises:
        ValueError: Saying which of these fails.
    """
    first = sources[0]
    for i, other in enumerate(sources[1:], start=1):
        if other.id in [source.id for source in sources[:i]]:
            raise ValueError("two of the weights are the same job; give one of them another seed")
        if other.model_spec != first.model_spec:
            names = f"{first.model_spec.name} and {other.model_spec.name}"
            raise ValueError(f"weights of {names}; all must be of one network")
        if other.data_spec.identity != first.data_spec.identity:
            raise ValueError("weights that were trained on different data")

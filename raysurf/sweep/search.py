"""How the holes of a sweep are searched: metrics, sampler, budget, initial trials and early stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

from raysurf import plugs
from raysurf.sweep.assignments import fitted
from raysurf.sweep.stopping import Stopping
from raysurf.values import Node, PathFault, Value, as_tuple, fault, faults_of, refusal

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

# Each is nested in the next.
MAX_GENERATIONS = 50
# Trials of all configurations together; with seeds, runs.
MAX_TRIALS = 100_000
Mode = Literal["max", "min"]
# Metrics that are the better the larger they are; all others the smaller.
LARGE = ("accuracy", "elbo")
# The better name of ``points``, which is the older one.
INITIAL = "initial"


def _metrics(value: Any) -> Any:
    names = value if isinstance(value, list | tuple) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError("a metric as split/name, or a list of them")
    return as_tuple(value)


def _modes(value: Any) -> Any:
    modes = value if isinstance(value, list | tuple) else [value]
    if value is not None and (not modes or any(mode not in ("max", "min") for mode in modes)):
        raise ValueError("max or min, or a list of them")
    return as_tuple(value)


def _sources(value: Any) -> Any:
    names = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    if not isinstance(value, bool) and not names:
        raise ValueError("true, or a list of names of sweeps")
    return as_tuple(value)


class Sweep(Protocol):
    """What is asked of a sweep."""

    @property
    def name(self) -> str: ...
    @property
    def job(self) -> Any: ...
    @property
    def search(self) -> Search | None: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...
    @property
    def parameters(self) -> dict[str, Any]: ...
    @property
    def is_searched(self) -> bool: ...
    @property
    def configurations(self) -> list[dict[str, Any]]: ...
    @property
    def samples(self) -> Sequence[Any]: ...
    def trials_in(self, configuration: Mapping[str, Any]) -> int: ...
    def grid(self, configuration: Mapping[str, Any]) -> list[dict[str, Any]]: ...


class Asked(Protocol):
    """A suggester of the assignments of one configuration."""

    def ask(self, number: int, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The assignment of a trial, or the one that an earlier run has suggested for it."""
        ...

    def tell(self, number: int, values: tuple[float, ...] | None, failed: bool) -> None:
        """Say what came of a trial; one without finite values has failed, or was stopped."""
        ...


class Sampler(Node):
    """How assignments are suggested: by one of Optuna's samplers, or in a way of its own.

    Attributes:
        BY_VALUES: Whether it goes by parameters and values alone, and notes nothing down with the trials it suggests.
        LEARNS: Whether it learns from trials that were only added to its study.
        LISTS: Whether its points are all that is tried.
        IN_GENERATIONS: Whether it suggests a population at a time, whose members go on from one another.
        NUMBERS: Why it cannot choose among options; empty if it can.
        ONE_METRIC: Why it cannot have several metrics; empty if it can.
        SETTINGS: Fields of a search that only some samplers have, of those that it has.
    """

    PLUGS: ClassVar[str] = "samplers"
    BY_VALUES: ClassVar[bool] = False
    LEARNS: ClassVar[bool] = False
    LISTS: ClassVar[bool] = False
    IN_GENERATIONS: ClassVar[bool] = False
    NUMBERS: ClassVar[str] = ""
    ONE_METRIC: ClassVar[str] = ""
    SETTINGS: ClassVar[tuple[str, ...]] = ()

    def __str__(self) -> str:
        stated = ", ".join(f"{name}: {getattr(self, name)}" for name in sorted(self.model_fields_set))
        return f"{self.kind} ({stated})" if stated else self.kind

    def build(self, search: Search, seed: int | None) -> BaseSampler:
        """Optuna's sampler."""
        raise AssertionError(f"{type(self).__name__} is none of Optuna's samplers")

    def asked(self, tree: Any, search: Search, first: int, points: Sequence[Mapping[str, Any]]) -> Asked | None:
        """What is asked instead of an Optuna study.

        Args:
            tree: The job, with holes.
            search: The search.
            first: Number of the configuration's first trial.
            points: Assignments to begin with; a partial one is to be completed.
        """
        return None

    def points(self, sweep: Sweep, configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The initial assignments of a configuration."""
        return [fitted(sweep.job, point) for point in sweep.search.points] if sweep.search else []

    def num_trials(self, search: Search, num_assignments: float) -> int:
        """The number of trials of a configuration with this many assignments."""
        return int(min(search.trials or math.inf, num_assignments))

    def at_a_time(self, search: Search) -> int:
        """Trials that are suggested together, when all before them have ended; 1 if each is suggested by itself."""
        return 1 if search.seed is None else search.batch

    def faults(self, sweep: Sweep, search: Search) -> list[PathFault]:
        """What is wrong with a sweep that is searched by it."""
        if search.trials is None:
            return [fault(("search", "trials"), "nothing", "how many assignments to try")]
        return []

    def most_points(self, search: Search) -> tuple[int | None, str]:
        """How many assignments may be given to begin with, if that is limited, and what of."""
        return search.trials, "trials"

    def notes(self, search: Search) -> list[str]:
        """What the plan says of it, in lines."""
        return []


def _sampler(value: Any, info: ValidationInfo) -> Any:
    """A sampler without settings is its name."""
    tree = {"kind": value} if isinstance(value, str) else value
    try:
        sampler = Sampler.model_validate(tree, context=info.context)
    except ValidationError as error:
        faults = faults_of(Sampler, error, ())
        # Of a name alone the kind is the whole of it.
        raise refusal(*((() if tree is not value and p == ("kind",) else p, wrong) for p, wrong in faults)) from None
    return sampler if sampler.model_fields_set else sampler.kind


class Search(Value):
    """How the holes of a sweep are filled."""

    metric: Annotated[str | tuple[str, ...], BeforeValidator(_metrics)] = Field(
        description="what is searched for, as split/name; of several the Pareto front"
    )
    mode: Annotated[Mode | tuple[Mode, ...] | None, BeforeValidator(_modes)] = Field(
        None, description="default: max for accuracy and elbo, min for all else; one a metric"
    )
    sampler: Annotated[str | Sampler, BeforeValidator(_sampler)] = Field(
        "tpe", description="one of Optuna's samplers by name, or population-based training (pbt)"
    )
    trials: int | None = Field(
        None,
        ge=1,
        le=MAX_TRIALS,
        description="assignments to try per configuration; a grid tries all, pbt population times generations",
    )
    seed: int | None = Field(None, ge=0, description="makes the suggestions reproducible at any concurrency")
    batch: int = Field(4, ge=1, le=MAX_TRIALS, description="with a seed: trials suggested at a time")
    population: int = Field(50, ge=2, le=MAX_TRIALS, description="nsga2, pbt: trials a generation; the first is random")
    generations: int | None = Field(None, ge=1, le=MAX_GENERATIONS, description="pbt: each trains the job's epochs")
    exploit_share: float = Field(
        0.25, gt=0, le=0.5, description="pbt: the worst of a generation, which go on from one of as many best"
    )
    perturb: Annotated[tuple[float, float], BeforeValidator(as_tuple)] = Field(
        (0.8, 1.2),
        description="pbt: factors, one of which is drawn for each value of a member that goes on from another",
    )
    resample: float = Field(0.25, ge=0, le=1, description="pbt: how often a value is drawn anew instead")
    points: Annotated[tuple[dict[str, Any], ...], BeforeValidator(as_tuple)] = Field(
        (), description="initial trials, by hole; what one leaves out the sampler adds. `initial` is another name of it"
    )
    warm_start: Annotated[bool | tuple[str, ...], BeforeValidator(_sources)] = Field(
        False, description="sweeps whose finished trials the sampler learns from; true: earlier definitions of this one"
    )
    stopping: Stopping | None = Field(None, description="early stopping")

    @model_validator(mode="before")
    @classmethod
    def _initial_is_points(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or INITIAL not in values:
            return values
        if "points" in values:
            raise ValueError("points and initial, which are two names of one thing; expected one of them")
        return {("points" if name == INITIAL else name): value for name, value in values.items()}

    @cached_property
    def method(self) -> Sampler:
        """The sampler."""
        if isinstance(self.sampler, Sampler):
            return self.sampler
        method: Sampler = plugs.find("samplers", self.sampler)()
        return method

    @property
    def at_a_time(self) -> int:
        """Trials that are suggested together, when all before them have ended; 1 if each is suggested by itself."""
        return self.method.at_a_time(self)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is searched for, one or several."""
        return (self.metric,) if isinstance(self.metric, str) else self.metric

    @property
    def directions(self) -> tuple[Mode, ...]:
        """Whether each metric is to be large or small."""
        if isinstance(self.mode, tuple):
            return self.mode
        return tuple(self.mode or ("max" if metric.endswith(LARGE) else "min") for metric in self.metrics)


class Budget(Value):
    """Limits of a sweep, over all its configurations and resumptions; a trial that could pass one does not begin."""

    trials: int | None = Field(None, ge=1, description="trials that begin")
    epochs: float | None = Field(None, gt=0, description="epochs trained, inputs and baselines included")
    device_hours: float | None = Field(None, gt=0, description="hours of training and measuring, times the workers")
    wall_hours: float | None = Field(None, gt=0, description="hours in which anything of the sweep runs")

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if not self.limits:
            raise ValueError(f"a budget without a limit; expected one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def limits(self) -> dict[str, float]:
        """Those that are given, by name."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: limit for name, limit in given.items() if limit is not None}

    def __str__(self) -> str:
        """In words, such as ``at most 40 epochs and 2 device hours``."""
        return "at most " + " and ".join(f"{limit:g} {name.replace('_', ' ')}" for name, limit in self.limits.items())

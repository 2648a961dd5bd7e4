"""What every job has: inputs, an identity that is its content, and a seed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from pydantic import BaseModel

from raysurf.data.spec import DataSpec
from raysurf.errors import Fault, SpecError
from raysurf.models.spec import ModelSpec
from raysurf.stochastic.spec import Scheme
from raysurf.store import Row
from raysurf.values import Node, Value, inner_values

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.store.store import Store
    from raysurf.training.checkpoints import Checkpoints, State
    from raysurf.training.workers import Workers


SPLITS = ("train", "validation", "test")
SETTINGS: dict[str, Any] = {
    "batch_size": 128,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 0.0,
    "precision": "fp32",
    "optimiser": "sgd",
    "objective": None,
}
# Of predictions.
METRICS = ("accuracy", "error", "nll", "brier", "ece")
# Members of an ensemble unless a job says otherwise.
SAMPLES = 20
# Measuring a point takes two or three forward passes; an epoch's steps are forward and backward.
POINT_EPOCHS = 0.7


class Context(Protocol):
    """What a job sees of the world while it runs: its inputs' weights, its workers, and where rows and weights go.

    ``skipped`` names the files of the job's data that this process could not read; ``elsewhere_s`` is the time that
    other sittings and processes took for its points.
    """

    job: Job
    store: Store
    workers: Workers
    skipped: Collection[str]
    elsewhere_s: float

    @property
    def checkpoints(self) -> Checkpoints:
        """Where the training loop keeps its state."""

    def saw(self, fingerprints: Mapping[str, str | None]) -> None:
        """Keep the fingerprints of the job's network and data.

        Raises:
            ChangedError: If its inputs saw others, and that is not accepted.
        """

    def report(self, table: str, *rows: Row) -> None:
        """Add rows of a table."""

    def flush(self) -> None:
        """Write the rows so far."""

    def recall(self, table: str) -> list[Row]:
        """Rows that an earlier sitting wrote into this part; they count as reported."""

    def rows_of_all_parts(self, table: str) -> list[Row]:
        """This part's rows, as reported, and those that other processes have written of the same job."""

    def progress(self, epoch: int, epochs: int, metrics: Mapping[str, float] | None = None) -> None:
        """Say how far the job is."""

    def save(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep named tensors of this job."""

    def load(self, job: Job, name: str) -> State:
        """The tensors that a finished input kept under a name, on this worker's device.

        Raises:
            StoreError: If they are missing or corrupt.
        """

    def weights(self, job: Job, name: str = "weights") -> tuple[State, State]:
        """A finished input's point and buffers.

        Args:
            job: The input.
            name: What it kept them under.

        Raises:
            StoreError: If they are missing or corrupt.
            DataError: If a weight is NaN or infinite.
        """


class Job(Node):
    """A value that says everything that decides an outcome; its inputs are jobs in its fields.

    Two jobs with the same id have the same outcome. A field that equals its default is no part of the id,
    so a new field may be added to a kind as long as its default means what was done before.
    """

    PLUGS: ClassVar[str] = "jobs"

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The job as one would write it in YAML, what was not stated left out, nested inputs included."""
        tree: dict[str, Any] = to_tree(self)
        return tree

    @cached_property
    def id(self) -> str:
        """``<kind>-<16 hex digits>``: a hash of the canonical JSON of everything that decides the outcome."""
        return f"{self.kind}-{_digest(to_tree(self, left_out=True))}"

    @cached_property
    def group(self) -> str:
        """The id with every seed left out: the same for all replicates of one setting."""
        return f"{self.kind}-{_digest(_without_seeds(to_tree(self, left_out=True)))}"

    @cached_property
    def inputs(self) -> tuple[Job, ...]:
        """The jobs whose outcomes this one needs, in the order of its fields, each once."""
        return tuple({job.id: job for job in _jobs_inside(self)}.values())

    @cached_property
    def ancestors(self) -> tuple[Job, ...]:
        """Every job that must be done before this one, inputs before what needs them, each once."""
        ancestors: dict[str, Job] = {}
        for job in self.inputs:
            for needed in (*job.ancestors, job):
                ancestors.setdefault(needed.id, needed)
        return tuple(ancestors.values())

    def with_seed(self, seed: int) -> Self:
        """The same job with ``seed`` here and in every input, except where a seed was stated."""
        seeded: Self = _with_seed(self, seed)
        return seeded

    @property
    def source(self) -> Any:
        """The weights, if any, whose network, data and settings it has where it does not say its own."""
        return None

    @property
    def model_spec(self) -> ModelSpec:
        """The network that the job is about."""
        spec: ModelSpec = self.source.model_spec
        return spec

    @property
    def data_spec(self) -> DataSpec:
        """The data that the job is about."""
        spec: DataSpec = self.source.data_spec
        return spec

    @property
    def weights_file(self) -> str | None:
        """A file that it takes weights from."""
        return None

    def with_holes(self, holes: Mapping[str, Any] | None = None, /, **by_name: Any) -> dict[str, Any]:
        """The job as a tree with holes in it, for a sweep.

        Args:
            holes: Holes by dotted path, such as ``{"start.lr": Float(0.01, 1.0)}``.
            **by_name: Holes in the job's own fields.

        Raises:
            SpecError: If a path leads to no field.
        """
        tree: dict[str, Any] = to_tree(self)
        for path, hole in {**(holes or {}), **by_name}.items():
            *parents, name = path.split(".")
            node: Any = tree
            for parent in parents:
                node = node.get(parent) if isinstance(node, dict) else None
            if not isinstance(node, dict):
                raise SpecError([Fault(path, "no such place", f"a path into the {self.kind} job")])
            node[name] = to_tree(hole)
        return tree

    # Whether its weights or points have batch-norm statistics of their own.
    has_statistics: ClassVar[bool] = True

    @property
    def owner(self) -> Job:
        """The job that its weights are of."""
        return self

    @property
    def label(self) -> str:
        """What it is called in pictures."""
        return f"{self.kind} seed {seed_of(self)}"

    def setting(self, name: str) -> Any:
        """A training setting (batch size, weight decay, precision …) as it holds for this job; else the default."""
        return SETTINGS[name] if self.source is None else self.source.setting(name)

    @property
    def point_names(self) -> tuple[str, ...]:
        """Names of the points that this job leaves besides its outcome, such as a curve's ``bend1``."""
        return ()

    def named_point(self, context: Context, name: str) -> tuple[State, State]:
        """One of those points, and its batch-norm statistics (empty if it has none of its own)."""
        raise AssertionError(f"{type(self).__name__} has no point {name!r}")

    @property
    def possible_schemes(self) -> tuple[Scheme, ...]:
        """Prediction schemes that may be asked of its outcome; none if it has no weights to predict with."""
        return ()

    @property
    def max_samples(self) -> int | None:
        """The most members that an ensemble of it can have, if that is limited."""
        return None

    @property
    def usual_samples(self) -> int:
        """Members of an ensemble of it unless a job says otherwise."""
        return self.max_samples or SAMPLES

    @property
    def sample_buffers(self) -> str:
        """Whose the buffers of its members are, for rows."""
        return "fixed" if self.has_statistics else "nearest"

    def draw_members(self, context: Context, num_samples: int, seed: int) -> Iterator[tuple[State, State]]:
        """Members of an ensemble, for jobs that are ensembles of weights: points, and statistics where they have them.

        Args:
            context: Where the outcome is.
            num_samples: K.
            seed: Decides which, where members are drawn.
        """
        raise AssertionError(f"{type(self).__name__} has no members")

    @property
    def epochs_to_train(self) -> int:
        """Epochs of training that this job itself costs, its inputs not counted."""
        return 0

    @property
    def points_to_measure(self) -> int:
        """Points of a surface that this job measures."""
        return 0

    @property
    def work(self) -> float:
        """What this job costs by itself, about, in epochs of training."""
        return self.epochs_to_train + POINT_EPOCHS * self.points_to_measure

    @property
    def full_epochs(self) -> int | None:
        """Epochs of a budget of one, of a job that trains from scratch."""
        return None

    @property
    def base_budget(self) -> int | None:
        """Epochs of a budget of one: those of the first job in the chain that says how many they are."""
        return next((epochs for job in (*self.ancestors, self) if (epochs := job.full_epochs)), None)

    @property
    def epochs_before(self) -> int:
        """Epochs that its inputs were trained for, each counted once."""
        return sum(job.epochs_to_train for job in self.ancestors)

    @property
    def budget_spent(self) -> float | None:
        """Epochs spent, inputs counted once, over the base budget; None if nothing says what a budget of one is."""
        base = self.base_budget
        return (self.epochs_before + self.epochs_to_train) / base if base else None

    @property
    def trajectory(self) -> str | None:
        """Id of the training that this job is a part of: jobs that train alike, but not as long, share it."""
        return None

    @property
    def may_go_on(self) -> bool:
        """Whether a longer job may go on from where this one ends, so that its last state is worth keeping."""
        return False

    def trajectory_without(self, names: Collection[str]) -> str:
        """The id of a trajectory: of everything that decides the outcome, but for some fields."""
        tree = {name: value for name, value in to_tree(self, left_out=True).items() if name not in names}
        return f"{self.kind}-{_digest(tree)}"

    @property
    def canonical(self) -> Self:
        """The same job as its id sees it, where one thing can be written in two ways."""
        return self

    def metric_names(self) -> tuple[str, ...]:
        """The metrics that a finished job of this kind has, as ``split/name``."""
        return tuple(f"{split}/{name}" for split in SPLITS for name in METRICS)

    def run(self, context: Context) -> dict[str, float]:
        """Do the job: rows and weights go through the context.

        Returns:
            Its metrics, by the names of ``metric_names``.
        """
        raise AssertionError(f"{type(self).__name__} cannot be run")


def seed_of(job: Job) -> int:
    """The seed of a job, or of the nearest of its inputs that has one."""
    return int(next((needed.seed for needed in (job, *reversed(job.ancestors)) if hasattr(needed, "seed")), 0))


def to_tree(value: Any, left_out: bool = False) -> Any:
    """Turn a value into plain mappings, lists and scalars: the fields that were stated, or differ from their default.

    Args:
        value: A model, a container of models, a hole whose options may be models, or a scalar.
        left_out: Whether to leave out what decides nothing: fields that equal their default though they were stated,
            and those that a model calls ``IDENTITY_EXCLUDED`` (where bytes lie, not what they are).
    """
    if isinstance(value, Job) and left_out:
        value = value.canonical
    if isinstance(value, BaseModel):
        skipped: frozenset[str] = getattr(type(value), "IDENTITY_EXCLUDED", frozenset()) if left_out else frozenset()
        tree: dict[str, Any] = {"kind": value.kind} if isinstance(value, Node) else {}
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            is_default = inner == field.get_default(call_default_factory=True)
            stated = name in value.model_fields_set and inner is not None and not left_out
            if name not in skipped and (stated or not is_default):
                tree[name] = to_tree(inner, left_out)
        return tree
    if isinstance(value, list | tuple):
        return [to_tree(item, left_out) for item in value]
    if isinstance(value, dict):
        return {k: to_tree(v, left_out) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and hasattr(value, "options"):
        return dataclasses.replace(value, options=tuple(to_tree(option, left_out) for option in value.options))
    return value


def _without_seeds(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: _without_seeds(v) for k, v in tree.items() if k != "seed"}
    if isinstance(tree, list):
        return [_without_seeds(item) for item in tree]
    return tree


def _digest(tree: Any) -> str:
    text = json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _jobs_inside(value: Value) -> Iterator[Job]:
    for inner in inner_values(value):
        yield from [inner] if isinstance(inner, Job) else _jobs_inside(inner)


def code_in(value: Value) -> set[str]:
    """``module:name`` of the networks, data and kinds in a value that are no part of raysurf."""
    inside = {code for inner in inner_values(value) for code in code_in(inner)}
    own = value.code if isinstance(value, ModelSpec | DataSpec) else None
    if isinstance(value, Node) and not type(value).__module__.startswith("raysurf."):
        own = f"{type(value).__module__}:{type(value).__qualname__}"
    return inside if own is None else {*inside, own}


def _with_seed(value: Any, seed: int) -> Any:
    if isinstance(value, tuple):
        items = tuple(_with_seed(item, seed) for item in value)
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if not isinstance(value, Node):
        return value
    changes: dict[str, Any] = {}
    for name in type(value).model_fields:
        inner = getattr(value, name)
        if name == "seed" and "seed" not in value.model_fields_set:
            changes["seed"] = seed
        elif (seeded := _with_seed(inner, seed)) is not inner:
            changes[name] = seeded
    if not changes:
        return value
    return type(value)(**{name: getattr(value, name) for name in value.model_fields_set} | changes)

"""What the training jobs share: settings, which fall back on those of the job that they start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from raysurf.data import registry as data_sets
from raysurf.data.source import num_training
from raysurf.data.spec import DataSpec
from raysurf.errors import Fault, SpecError
from raysurf.jobs.job import Job
from raysurf.jobs.sources import WeightsJob
from raysurf.models import registry as models
from raysurf.models.spec import ModelSpec
from raysurf.training.objectives.spec import CrossEntropy, ObjectiveSpec
from raysurf.training.schedules import Constant, Cycles, PlateauLinear, Schedule, cycle_steps
from raysurf.values import LOOK_UP


@dataclass(frozen=True)
class Stage:
    """Epochs of a job that follow one schedule.

    Args:
        schedule: The schedule.
        epochs: How many are trained.
        length: Of the schedule, in epochs, at least ``epochs``.
        cycle_epochs: Length of a cycle, for cyclic schedules and members.
        first_member: Epoch at which weights are taken for the first time; None if none are.
        member_epochs: Epochs from there to the next; None for once a cycle.
    """

    schedule: Schedule
    epochs: int
    length: int
    cycle_epochs: float = 1.0
    first_member: float | None = None
    member_epochs: float | None = None


def _found_model(spec: ModelSpec, info: ValidationInfo) -> ModelSpec:
    if (info.context or {}).get(LOOK_UP):
        models.check(spec.name, spec.options)
    return spec


def _found_data(spec: DataSpec, info: ValidationInfo) -> DataSpec:
    if (info.context or {}).get(LOOK_UP):
        data_sets.check(spec)
    return spec


Model = Annotated[
    ModelSpec, BeforeValidator(ModelSpec.parse, json_schema_input_type=str | ModelSpec), AfterValidator(_found_model)
]
Data = Annotated[
    DataSpec, BeforeValidator(DataSpec.parse, json_schema_input_type=str | DataSpec), AfterValidator(_found_data)
]


class TrainingJob(Job):
    """A job that runs the loop. A setting left out is that of the job it starts from, else the default named."""

    takes_objective: ClassVar[bool] = False

    seed: int = Field(0, ge=0, description="decides initial weights, order, augmentation and every draw")
    origin: int = Field(0, ge=0, description="epochs trained before, whose order, augmentation and draws do not recur")
    lr: float | None = Field(None, gt=0, description="rate of the kind's usual schedule; or give schedule")
    schedule: Schedule | None = Field(None, description="learning-rate schedule")
    batch_size: int | None = Field(None, ge=2, description="examples a step, over all workers; default 128")
    optimiser: Literal["sgd", "adam"] | None = Field(None, description="default sgd")
    momentum: float | None = Field(None, ge=0, lt=1, description="SGD momentum, or Adam's beta1; default 0.9")
    nesterov: bool | None = Field(None, description="Nesterov momentum of SGD; default false")
    weight_decay: float | None = Field(None, ge=0, description="L2: half of it times the sum of squares; default 0")
    precision: Literal["fp32", "bf16"] | None = Field(None, description="bf16 is autocast; weights stay fp32")
    objective: ObjectiveSpec | None = Field(None, description="of sgd, swa, swag and fge; default kind: cross_entropy")
    evaluate_every: int = Field(1, ge=1, description="epochs between evaluations on validation and test")

    @model_validator(mode="after")
    def _one_schedule(self) -> Self:
        if self.lr is not None and self.schedule is not None:
            raise ValueError("lr and schedule are both given; give one of them")
        return self

    @property
    def objective_spec(self) -> ObjectiveSpec:
        """The objective as it holds for this job."""
        objective: ObjectiveSpec = self.setting("objective") or CrossEntropy()
        return objective

    @property
    def source(self) -> Any:
        return getattr(self, "start", None)

    @property
    def epochs_of_objective(self) -> int:
        """Epochs of the jobs that it starts from, as far as they had the same objective."""
        start = self.source
        if start is None or start.setting("objective") != self.setting("objective"):
            return 0
        return int(start.epochs_to_train) + int(getattr(start, "epochs_of_objective", 0))

    def require_objective_fits(self) -> None:
        """Check that the objective is one of this kind's, and fits its data, batches and optimiser.

        Raises:
            ValueError: If it does not; it says what does.
        """
        labelled = self.data_spec.labelled
        if not self.takes_objective:
            if self.objective is not None:
                raise ValueError(
                    f"objective, which {self.kind} has of its own; it is a setting of sgd, swa, swag and fge"
                )
            if labelled is not None:
                raise ValueError(
                    f"data with labelled: {labelled}, which {self.kind} cannot train on; leave labelled out"
                )
            return
        self.objective_spec.require_fits(self.setting, labelled)

    def setting(self, name: str) -> Any:
        """A setting as it holds for this job: its own, else its start's, else the default."""
        value = getattr(self, name)
        return super().setting(name) if value is None else value

    @property
    def rates(self) -> Schedule:
        """The schedule given, or the papers' own at ``lr`` (0.1 if that is not given either)."""
        return self.schedule or PlateauLinear(lr=0.1 if self.lr is None else self.lr)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Its epochs by schedule, in order."""
        return (Stage(self.rates, self.epochs_to_train, self.epochs_to_train),)


class FirstJob(TrainingJob):
    """A training job that needs no start: it has a network and data of its own, or starts from weights with theirs."""

    model: Model | None = Field(None, description="a network by name; or start")
    data: Data | None = Field(None, description="a data set by name; or start")
    start: WeightsJob | None = Field(None, description="weights to start from; model and data are then theirs")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.start is None and (self.model is None or self.data is None):
            raise ValueError("model and data are required unless start gives them")
        if self.start is not None and self.model is not None:
            raise ValueError("model is that of start; leave it out")
        self.require_objective_fits()
        return self

    @property
    def model_spec(self) -> ModelSpec:
        return self.model or super().model_spec

    @property
    def data_spec(self) -> DataSpec:
        return self.data or super().data_spec


class StartedJob(TrainingJob):
    """A training job that starts from weights, with their network and data."""

    start: WeightsJob = Field(description="weights to start from")

    @model_validator(mode="after")
    def _objective_fits(self) -> Self:
        self.require_objective_fits()
        return self


class ContinuedJob(StartedJob):
    """One that goes on for a number of epochs, or until a budget is spent."""

    epochs: int | None = Field(None, ge=1, description="epochs to train; or budget")
    budget: float | None = Field(
        None, gt=0, description="train until this multiple of the base budget is spent, inputs counted; or epochs"
    )

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.budget is None):
            raise ValueError("exactly one of epochs and budget is required")
        if self.budget is None:
            return self
        base = self.base_budget
        if base is None:
            raise ValueError("budget, and no input that says what a budget of one is; give epochs")
        if self.epochs_to_train < 1:
            raise ValueError(
                f"budget {self.budget:g} is {round(self.budget * base)} epochs (of {base} a budget), of which "
                f"{self.epochs_before} are spent before; give more"
            )
        return self

    @property
    def epochs_to_train(self) -> int:
        if self.epochs is not None:
            return self.epochs
        assert self.budget is not None and self.base_budget is not None
        return round(self.budget * self.base_budget) - self.epochs_before

    @property
    def canonical(self) -> Self:
        if self.budget is None:
            return self
        stated = {name: getattr(self, name) for name in self.model_fields_set if name != "budget"}
        return type(self)(**stated | {"epochs": self.epochs_to_train})


class CyclicJob(ContinuedJob):
    """One that takes members of its iterates, a cycle after another."""

    cycle_epochs: float = Field(1, gt=0, description="epochs a cycle; one member is taken in each")
    buffers: Literal["last", "average"] = Field(
        "last",
        description="the average's buffers, but for batch-norm statistics: its last iterate's, or the members' mean",
    )

    @model_validator(mode="after")
    def _has_rates(self) -> Self:
        if self.lr is None and self.schedule is None:
            raise ValueError("lr or schedule is required")
        return self

    @property
    def rates(self) -> Schedule:
        """The schedule given, or ``lr`` all along."""
        if self.schedule is not None:
            return self.schedule
        assert self.lr is not None
        return Constant(lr=self.lr)

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps of an epoch; None where the number of training examples is not known before the data are read."""
        if (known := num_training(self.data_spec)) is None:
            return None
        return self.objective_spec.steps_per_epoch(known, self.setting("batch_size"), self.data_spec.labelled)

    def cycle_length(self, steps_per_epoch: int) -> int:
        """Steps of a cycle of the schedule."""
        return cycle_steps(self.cycle_epochs, steps_per_epoch)

    def cycles(self, steps_per_epoch: int) -> Cycles:
        """The steps after which members are taken."""
        raise AssertionError(f"{type(self).__name__} takes no members")

    def members_in(self, steps_per_epoch: int) -> int:
        """How many members are taken."""
        return self.cycles(steps_per_epoch).members(self.epochs_to_train * steps_per_epoch)

    def require_members(self, steps_per_epoch: int | None) -> None:
        """Check that there are enough members.

        Args:
            steps_per_epoch: Of the data; where it is None the epochs alone are looked at.

        Raises:
            ValueError: If there are not.
        """
        raise AssertionError(f"{type(self).__name__} takes no members")

    def cycles_of_data(self, steps_per_epoch: int) -> Cycles:
        """The steps after which members are taken, checked with the data at hand, before anything is trained.

        Raises:
            SpecError: If they leave too few members, or not those that the job has promised.
        """
        try:
            self.require_members(steps_per_epoch)
        except ValueError as error:
            raise SpecError([Fault(self.kind, str(error), "values that fit together")]) from error
        return self.cycles(steps_per_epoch)

    def stage_of(self, first_member: float, member_epochs: float) -> tuple[Stage, ...]:
        """The only stage; its members are where the steps have them, or as given where these are not known."""
        epochs, known, cycle_epochs = self.epochs_to_train, self.steps_per_epoch, self.cycle_epochs
        if known is not None:
            cycles, cycle_epochs = self.cycles(known), self.cycle_length(known) / known
            first_member, member_epochs = (cycles.first_step + cycles.steps) / known, cycles.steps / known
        return (Stage(self.rates, epochs, epochs, cycle_epochs, first_member, member_epochs),)

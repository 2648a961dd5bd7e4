"""What a training job minimises, as small values that stand in a file. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from raysurf.errors import DataError
from raysurf.training.schedules import num_batches
from raysurf.values import Node

if TYPE_CHECKING:
    from torch import nn

    from raysurf.data.dataset import Dataset
    from raysurf.training.epoch import Recipe, TwoStreams
    from raysurf.training.objective import Objective

Bits = int | None


Setting = Callable[[str], Any]


class Trained(Protocol):
    """A network on its data, and the job that trains it."""

    model: nn.Module
    data: Dataset
    job: Any


class ObjectiveSpec(Node):
    """What the steps of a training job minimise, and in what arithmetic."""

    PLUGS: ClassVar[str] = "objectives"

    def require_fits(self, setting: Setting, labelled: int | None) -> None:
        """Check that it fits a job.

        Args:
            setting: A training setting of the job by its name, such as ``batch_size``.
            labelled: Training examples that keep their label, if not all of them do.

        Raises:
            ValueError: If it does not; it says what does.
        """
        if labelled is not None:
            raise ValueError(
                f"data with labelled: {labelled}, and no objective of kind: consistency; to train on as many examples "
                "alone, give share instead of labelled"
            )

    def steps_per_epoch(self, num_examples: int, batch_size: int, labelled: int | None) -> int:
        """Steps of an epoch over so many training examples, ``labelled`` of them with a label."""
        return num_batches(num_examples, batch_size)

    def streams(self, data: Dataset, batch_size: int) -> TwoStreams | None:
        """How batches are formed, if not of all examples alike."""
        return None

    def build(self, network: Trained, recipe: Recipe) -> Objective:
        """The loss of a network with the weights that it now has, to be minimised by a loop that runs so."""
        raise AssertionError(f"{type(self).__name__} has no loss")


class CrossEntropy(ObjectiveSpec):
    """Mean cross-entropy of all examples; the default, to be stated where a start has another."""

    kind: ClassVar[str] = "cross_entropy"

    def build(self, network: Trained, recipe: Recipe) -> Objective:
        from raysurf.training import objective

        setting = network.job.setting
        return objective.CrossEntropy(network.model, setting("weight_decay"), setting("precision"))


class BlockFloat(ObjectiveSpec):
    """Cross-entropy in block floating point (SWALP): blocks of numbers share an exponent, and each has a few bits.

    Bits count the sign; None leaves a quantity as it is. Averages of the weights stay in full precision.

    Source:
        Yang et al. 2019 (arXiv:1904.11943), algorithm 2, and its code: momenta have the gradients' bits, and all
        activations of a batch share one exponent (its quantiser overlooks the option for smaller blocks).
    """

    kind: ClassVar[str] = "block_float"

    weights: Bits = Field(8, ge=2, le=24, description="bits of the weights that the network computes with")
    activations: Bits = Field(8, ge=2, le=24, description="bits of what layers take in")
    gradients: Bits = Field(8, ge=2, le=24, description="bits of the weights' gradients, and of their momenta")
    errors: Bits = Field(8, ge=2, le=24, description="bits of the gradients that go back through activations")
    accumulators: Bits = Field(8, ge=2, le=24, description="bits of the weights that steps are added to")
    rounding: Literal["stochastic", "nearest"] = Field("stochastic", description="stochastic is right on average")
    block: Literal["channel", "tensor"] = Field(
        "channel", description="what shares an exponent: an output channel of a weight tensor, or all of it"
    )
    activation_block: Literal["tensor", "example"] = Field(
        "tensor", description="what shares an exponent: a layer's activations of a batch, or of each example"
    )

    @model_validator(mode="after")
    def _accumulates_at_least_weights(self) -> Self:
        if self.accumulators is not None and (self.weights is None or self.accumulators < self.weights):
            raise ValueError(
                f"accumulators of {self.accumulators} bits under weights of {self.weights or 'full precision'}; "
                "give accumulators as many bits or more"
            )
        return self

    def require_fits(self, setting: Setting, labelled: int | None) -> None:
        super().require_fits(setting, labelled)
        if (precision := setting("precision")) != "fp32":
            raise ValueError(f"objective block_float, and precision {precision}; it rounds float32 numbers: use fp32")
        if (optimiser := setting("optimiser")) != "sgd":
            raise ValueError(f"objective block_float, and optimiser {optimiser}; it rounds the momenta of sgd")

    def build(self, network: Trained, recipe: Recipe) -> Objective:
        from raysurf.training.objectives.block_float import BlockFloatLoss

        return BlockFloatLoss(network.model, self, network.job.setting("weight_decay"))


class Consistency(ObjectiveSpec):
    """Cross-entropy of the labelled examples, and answers that agree on two views of every image.

    CE summed over the labelled, and w(t) |p - p_teacher|^2 / classes summed over all, both over the batch's size; w(t)
    rises over the first epochs. The teacher answers a view of its own: it is the network itself (``pi``), or the
    exponential average of its weights (``mean_teacher``). An epoch passes once over the unlabelled examples.

    Source:
        Laine & Aila 2017 (arXiv:1610.02242); Tarvainen & Valpola 2017 (arXiv:1703.01780); Athiwaratkun et al. 2019
        (arXiv:1806.05594) and its code, without the second output that its ``logit_distance`` needs.
    """

    kind: ClassVar[str] = "consistency"

    method: Literal["pi", "mean_teacher"] = Field("mean_teacher", description="who the teacher is")
    labelled_batch: int = Field(ge=1, description="labelled examples of every batch; the others are unlabelled")
    weight: float = Field(100.0, ge=0, description="weight of the consistency, once it has risen")
    ramp_up_epochs: int = Field(5, ge=0, description="epochs until then; epochs of the starts count")
    teacher_decay: float = Field(0.97, ge=0, lt=1, description="of the teacher's average: its own share a step")
    noise: float = Field(0.0, ge=0, description="deviation of Gaussian noise on each view of the normalised images")

    def require_fits(self, setting: Setting, labelled: int | None) -> None:
        if labelled is None:
            raise ValueError("objective consistency, and data without labelled: the examples that keep their label")
        if self.labelled_batch > labelled:
            raise ValueError(f"labelled_batch {self.labelled_batch} is more than labelled {labelled}")
        if self.labelled_batch >= (size := setting("batch_size")):
            raise ValueError(f"labelled_batch {self.labelled_batch} leaves no room in batch_size {size}")

    def steps_per_epoch(self, num_examples: int, batch_size: int, labelled: int | None) -> int:
        return num_batches(num_examples - (labelled or 0), batch_size - self.labelled_batch)

    def streams(self, data: Dataset, batch_size: int) -> TwoStreams:
        from raysurf.data.dataset import UNLABELLED
        from raysurf.training.epoch import TwoStreams

        known = data.train.labels.cpu() != UNLABELLED
        if bool(known.all()):
            raise DataError(data.name, "a label of every training example", "a set that labelled can take them from")
        labelled, unlabelled = known.nonzero().flatten(), (~known).nonzero().flatten()
        return TwoStreams(labelled, unlabelled, batch_size, self.labelled_batch)

    def build(self, network: Trained, recipe: Recipe) -> Objective:
        from raysurf.training.objectives.consistency import ConsistencyLoss

        setting, per_epoch = network.job.setting, recipe.steps_per_epoch(len(network.data.train))
        decay, precision, before = setting("weight_decay"), setting("precision"), network.job.epochs_of_objective
        return ConsistencyLoss(network.model, self, decay, precision, per_epoch, before)

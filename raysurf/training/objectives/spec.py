"""What a training job minimises, as small values that stand in a file. No torch here."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from raysurf.values import Node

Bits = int | None


class ObjectiveSpec(Node):
    """What the steps of a training job minimise, and in what arithmetic."""

    PLUGS: ClassVar[str] = "objectives"


class CrossEntropy(ObjectiveSpec):
    """Mean cross-entropy of all examples; the default, to be stated where a start has another."""

    kind: ClassVar[str] = "cross_entropy"


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

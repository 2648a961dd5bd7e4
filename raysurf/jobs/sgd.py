"""``sgd``: train a network by SGD, from scratch or from other weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from raysurf.data.spec import DataSpec
from raysurf.jobs.job import WeightsJob
from raysurf.jobs.training import Data, Model, TrainingJob
from raysurf.models.spec import ModelSpec

if TYPE_CHECKING:
    from raysurf.jobs.context import Context


class SGD(WeightsJob, TrainingJob):
    """Plain SGD; its usual schedule (``lr``) is the papers' plateau, linear decay and floor."""

    kind: ClassVar[str] = "sgd"

    epochs: int = Field(ge=1, description="length of the schedule")
    until: int | None = Field(None, ge=1, description="epoch to stop at, if before the schedule's end")
    model: Model | None = Field(None, description="a network by name; or start")
    data: Data | None = Field(None, description="a data set by name; or start")
    start: WeightsJob | None = Field(None, description="weights to start from; model and data are then theirs")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.start is None and (self.model is None or self.data is None):
            raise ValueError("model and data are required unless start gives them")
        if self.start is not None and self.model is not None:
            raise ValueError("model is that of start; leave it out")
        if self.until is not None and self.until > self.epochs:
            raise ValueError(f"until {self.until} is beyond epochs {self.epochs}")
        return self

    @property
    def model_spec(self) -> ModelSpec:
        return self.model or self.start.model_spec  # type: ignore[union-attr]

    @property
    def data_spec(self) -> DataSpec:
        return self.data or self.start.data_spec  # type: ignore[union-attr]

    @property
    def epochs_to_train(self) -> int:
        return self.until or self.epochs

    @property
    def full_epochs(self) -> int:
        """Epochs of the whole schedule: a budget of one."""
        return self.epochs

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs import network
        from raysurf.training.loop import EpochEnd, fit
        from raysurf.training.objectives import CrossEntropy

        net = network.Network(self, context)
        if self.start is not None:
            net.place(*context.weights(self.start))

        def on_epoch(end: EpochEnd) -> None:
            figures = net.report_epoch(end, "iterate", evaluate=net.is_due(end.epoch))
            context.progress(end.epoch, self.epochs_to_train, figures)

        objective = CrossEntropy(net.model, self.setting("weight_decay"), self.setting("precision"))
        recipe = net.recipe(self.epochs_to_train, self.epochs, self.plateau_linear())
        fit(objective, net.data, recipe, context.workers, on_epoch, checkpoints=context.checkpoints)
        context.save("weights", net.tensors())
        return net.report_predictions("final", "fixed")

"""``sgd``: train a network by SGD, from scratch or from other weights."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from raysurf.jobs.sources import WeightsJob
from raysurf.jobs.training_job import FirstJob, Stage

if TYPE_CHECKING:
    from raysurf.jobs.job import Context


class SGD(WeightsJob, FirstJob):
    """Plain SGD; its usual schedule (``lr``) is the papers' plateau, linear decay and floor."""

    kind: ClassVar[str] = "sgd"
    takes_objective: ClassVar[bool] = True

    epochs: int = Field(ge=1, description="length of the schedule")
    base_epochs: int | None = Field(None, ge=1, description="epochs of a budget of one; default: epochs")
    until: int | None = Field(None, ge=1, description="epoch to stop at, if before the schedule's end")

    @model_validator(mode="after")
    def _stops_within(self) -> Self:
        if self.until is not None and self.until > self.epochs:
            raise ValueError(f"until {self.until} is beyond epochs {self.epochs}")
        return self

    @property
    def epochs_to_train(self) -> int:
        return self.until or self.epochs

    @cached_property
    def trajectory(self) -> str:
        """Id of the training: one that stops early is the beginning of the whole."""
        return self.trajectory_without({"until", "base_epochs"})

    @property
    def may_go_on(self) -> bool:
        return self.epochs_to_train < self.epochs

    @property
    def full_epochs(self) -> int:
        """Epochs of a budget of one; those of the whole schedule unless others are stated."""
        return self.base_epochs or self.epochs

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Stage(self.rates, self.epochs_to_train, self.epochs),)

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs import network
        from raysurf.training.loop import EpochEnd, fit

        net = network.Network(self, context)
        if self.start is not None:
            net.place(*context.weights(self.start))

        def on_epoch(end: EpochEnd) -> None:
            metrics = net.report_epoch(end, "iterate", evaluate=net.is_due(end.epoch))
            context.progress(end.epoch, self.epochs_to_train, metrics)

        recipe = net.recipe(self.epochs_to_train, self.epochs, self.rates)
        objective = net.objective(recipe)
        fit(objective, net.data, recipe, context.workers, on_epoch, checkpoints=context.checkpoints)
        context.save("weights", net.tensors())
        return net.report_predictions("final")

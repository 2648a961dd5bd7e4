"""``curve``: join two trained networks by a low-loss curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raysurf.jobs.job import WeightsJob
from raysurf.jobs.training import ContinuedJob

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.context import Context


class Curve(ContinuedJob):
    """A polygonal chain or Bezier curve between fixed ends, its bends trained at a random t a step.

    Its own figures are those of its middle, t = 0.5, with re-estimated batch-norm statistics.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 3.
    """

    kind: ClassVar[str] = "curve"

    end: WeightsJob = Field(description="the end at t = 1, as start is at t = 0; the same network")
    shape: Literal["polygonal", "bezier"] = Field("bezier", description="polygonal chain or Bezier curve")
    num_bends: int = Field(1, ge=1, description="free control points between the ends")

    @model_validator(mode="after")
    def _joinable(self) -> Self:
        require_joinable(self.start, self.end)
        return self

    def control_points(self, context: Context) -> list[dict[str, Tensor]]:
        """All points of the trained curve, ends included, on the worker's device."""
        bends: list[dict[str, Tensor]] = [{} for _ in range(self.num_bends)]
        for key, value in context.load(self, "bends").items():
            number, _, name = key.partition(".")
            bends[int(number.removeprefix("bend")) - 1][name] = value
        return [context.weights(self.start)[0], *bends, context.weights(self.end)[0]]

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs import network
        from raysurf.training.loop import EpochEnd, fit
        from raysurf.training.objectives import CurveLoss
        from raysurf.weightspace.curve import bends_on_line, evaluate

        net, middle = network.Network(self, context), network.Network(self, context)
        (start, buffers), (end, _) = context.weights(self.start), context.weights(self.end)
        net.place(start, buffers)
        bends = bends_on_line(start, end, self.num_bends)
        objective = CurveLoss(
            net.model, self.shape, start, end, bends, self.setting("weight_decay"), self.setting("precision")
        )

        def place_middle() -> None:
            middle.place(evaluate(self.shape, [start, *bends, end], 0.5))
            middle.reestimate()

        def on_epoch(epoch: EpochEnd) -> None:
            due = net.is_due(epoch.epoch)
            if due:
                place_middle()
            figures = middle.report_epoch(epoch, "t=0.5", evaluate=due, trained=True)
            context.progress(epoch.epoch, self.epochs, figures)

        recipe = net.recipe(self.epochs, self.epochs, self.plateau_linear())
        fit(objective, net.data, recipe, context.workers, on_epoch, checkpoints=context.checkpoints)
        context.save("bends", objective.trainables)
        place_middle()
        return middle.report_predictions("t=0.5", "reestimate")


def require_joinable(start: WeightsJob, end: WeightsJob) -> None:
    """Check that two weights are of one network and data set, and are not the same weights.

    Raises:
        ValueError: Saying which of these fails.
    """
    if start.id == end.id:
        raise ValueError("start and end are the same job; give one of them another seed")
    if start.model_spec != end.model_spec:
        raise ValueError(
            f"start is a {start.model_spec.name} and end a {end.model_spec.name}; both must be one network"
        )
    if start.data_spec != end.data_spec:
        raise ValueError("start and end were trained on different data")

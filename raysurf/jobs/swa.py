"""``swa``: stochastic weight averaging from trained weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from raysurf.jobs.job import WeightsJob
from raysurf.jobs.training import ContinuedJob

if TYPE_CHECKING:
    from raysurf.jobs.context import Context
    from raysurf.training.loop import State


class SWA(WeightsJob, ContinuedJob):
    """Average the weights at the end of each cycle, then re-estimate batch-norm statistics.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), algorithm 1.
    """

    kind: ClassVar[str] = "swa"
    takes_objective: ClassVar[bool] = True
    points_have_statistics: ClassVar[bool] = True

    cycle_epochs: float = Field(1, gt=0, description="epochs a cycle; one member is averaged at the end of each")
    average_from: float = Field(0, ge=0, description="epoch at which the first cycle begins")
    include_start: bool = Field(
        False, description="whether the start weights are a member (the talk: yes; the code: no)"
    )

    @model_validator(mode="after")
    def _averages_something(self) -> Self:
        if self.constant() is None:
            raise ValueError("lr or schedule is required")
        if self.average_from + self.cycle_epochs > self.epochs:
            raise ValueError(
                f"no cycle ends within the run: average_from {self.average_from:g} + cycle_epochs "
                f"{self.cycle_epochs:g} is beyond epochs {self.epochs}"
            )
        return self

    @property
    def point_names(self) -> tuple[str, ...]:
        return ("last",)

    def named_point(self, context: Context, name: str) -> tuple[State, State]:
        """The last SGD iterate."""
        return context.weights(self, name)

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs import network
        from raysurf.training.collectors import CycleAverage
        from raysurf.training.loop import EpochEnd, fit
        from raysurf.weightspace.average import RunningAverage

        net, averaged = network.Network(self, context), network.Network(self, context)
        point, buffers = context.weights(self.start)
        net.place(point, buffers)
        schedule = self.constant()
        assert schedule is not None
        recipe = net.recipe(self.epochs, self.epochs, schedule, self.cycle_epochs)
        average = RunningAverage()
        if self.include_start:
            average.add(point)
        per_epoch = recipe.steps_per_epoch(len(net.data.train))
        collector = CycleAverage(recipe.cycle_steps(len(net.data.train)), round(self.average_from * per_epoch), average)

        def grew_since_last_due(epoch: int) -> bool:
            last_due = (epoch - 1) // self.evaluate_every * self.evaluate_every
            return collector.members(epoch * per_epoch) > collector.members(last_due * per_epoch)

        def on_epoch(end: EpochEnd) -> None:
            due = net.is_due(end.epoch)
            figures = net.report_epoch(end, "iterate", evaluate=due)
            if due and grew_since_last_due(end.epoch):
                assert average.average is not None
                averaged.place(average.average)
                averaged.reestimate()
                figures = averaged.report_epoch(end, "average", evaluate=True)
            context.progress(end.epoch, self.epochs, figures)

        objective = net.objective(recipe)
        fit(objective, net.data, recipe, context.workers, on_epoch, [collector], context.checkpoints)
        assert average.average is not None
        averaged.place(average.average)
        averaged.reestimate()
        context.save("weights", averaged.tensors())
        context.save("last", net.tensors())
        net.report_predictions("last", "fixed")
        return averaged.report_predictions("average", "reestimate")

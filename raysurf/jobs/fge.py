"""``fge``: a fast geometric ensemble, its members taken where a cyclic rate is lowest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from raysurf.jobs.training import ContinuedJob
from raysurf.stochastic.spec import Scheme

if TYPE_CHECKING:
    from raysurf.jobs.context import Context
    from raysurf.training.loop import State


class FGE(ContinuedJob):
    """Go on from weights at a triangular rate, and keep the weights of the middle of every cycle.

    Its points are ``member1``, ``member2`` … and their ``average``. Its predictions are those of the ensemble, the mean
    of the members' probabilities, for the first one, two, … members. Members are ordinary SGD iterates, so their
    batch-norm statistics are their own.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 4, and its code. Deviation: SGD's momentum starts at zero, since
        weights are all that is handed on.
    """

    kind: ClassVar[str] = "fge"
    takes_objective: ClassVar[bool] = True
    points_have_statistics: ClassVar[bool] = True

    cycle_epochs: float = Field(2, gt=0, description="epochs a cycle; one member is taken at the middle of each")

    @model_validator(mode="after")
    def _has_members(self) -> Self:
        if self.constant() is None:
            raise ValueError("lr or schedule is required; the paper's is kind: triangle with high and low")
        if self.num_members < 1:
            raise ValueError(f"no member: half a cycle of {self.cycle_epochs:g} is beyond epochs {self.epochs}")
        return self

    @property
    def num_members(self) -> int:
        """Cycles whose middle is reached."""
        return int(self.epochs / self.cycle_epochs + 0.5)

    @property
    def point_names(self) -> tuple[str, ...]:
        return (*(f"member{i}" for i in range(1, self.num_members + 1)), "average")

    def named_point(self, context: Context, name: str) -> tuple[State, State]:
        return context.weights(self, name)

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network
        from raysurf.training.collectors import CycleAverage
        from raysurf.training.loop import EpochEnd, fit
        from raysurf.weightspace.average import RunningAverage

        net = Network(self, context)
        net.place(*context.weights(self.start))
        schedule = self.constant()
        assert schedule is not None
        recipe = net.recipe(self.epochs, self.epochs, schedule, self.cycle_epochs)
        cycle, average = recipe.cycle_steps(len(net.data.train)), RunningAverage()

        def keep(number: int) -> None:
            context.save(f"member{number}", net.tensors())

        def on_epoch(end: EpochEnd) -> None:
            figures = net.report_epoch(end, "iterate", evaluate=net.is_due(end.epoch))
            context.progress(end.epoch, self.epochs, figures)

        collector = CycleAverage(cycle, cycle // 2 - cycle, average, keep)
        objective = net.objective(recipe)
        fit(objective, net.data, recipe, context.workers, on_epoch, [collector], context.checkpoints)
        context.workers.barrier()
        assert average.average is not None
        members = self.draw_members(context, average.count, self.seed)
        figures = net.report_members("members", ("ensemble",), average.count, members, "fixed")
        net.place(average.average)
        net.reestimate()
        context.save("average", net.tensors())
        net.report_predictions("average", "reestimate")
        return figures

    @property
    def max_samples(self) -> int:
        return self.num_members

    @property
    def possible_schemes(self) -> tuple[Scheme, ...]:
        return ("stochastic", "ensemble")

    def draw_members(self, context: Context, num_samples: int, seed: int) -> Iterator[tuple[State, State]]:
        """The first members, in the order in which they were trained."""
        for number in range(1, num_samples + 1):
            yield context.weights(self, f"member{number}")

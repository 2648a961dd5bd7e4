"""``fge``: a fast geometric ensemble, its members taken where a cyclic rate is lowest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from raysurf.jobs.training import ContinuedJob

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.context import Context
    from raysurf.jobs.network import Network
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
        from raysurf.training.objectives import CrossEntropy
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
        objective = CrossEntropy(net.model, self.setting("weight_decay"), self.setting("precision"))
        fit(objective, net.data, recipe, context.workers, on_epoch, [collector], context.checkpoints)
        context.workers.barrier()
        assert average.average is not None
        figures = self._ensemble(net, context, average.count)
        net.place(average.average)
        net.reestimate()
        context.save("average", net.tensors())
        net.report_predictions("average", "reestimate")
        return figures

    def _ensemble(self, net: Network, context: Context, num_members: int) -> dict[str, float]:
        """Report the predictions of the first one, two, … members; the figures are those of all."""
        from raysurf.training import evaluation, metrics

        totals: dict[str, Tensor] = {}
        figures: dict[str, float] = {}
        for number in range(1, num_members + 1):
            net.place(*context.weights(self, f"member{number}"))
            for name, split in net.splits.items():
                part = context.workers.share(len(split))
                answers = evaluation.log_probabilities(net.model, net.data, split, self.setting("precision"), part)
                own = answers.double().exp()
                totals[name] = totals[name] + own if name in totals else own
                sums = metrics.sums((totals[name] / number).log(), split.labels[part])
                found = metrics.figures(context.workers.sum(sums))
                values = {k: getattr(found, k) for k in ("accuracy", "nll", "brier", "ece")}
                row: dict[str, Any] = {
                    "weights": "members",
                    "scheme": "ensemble",
                    "num_samples": number,
                    "split": name,
                    "num_examples": found.num_examples,
                    "batchnorm": "fixed" if net.has_batchnorm else "none",
                }
                context.report("predictions", row | values)
                figures |= {f"{name}/{k}": v for k, v in values.items()} | {f"{name}/error": found.error}
        return figures

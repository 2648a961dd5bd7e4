"""``fge``: a fast geometric ensemble, its members taken where a cyclic rate is lowest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from raysurf.jobs.ensemble import EnsembleJob
from raysurf.jobs.training_job import CyclicJob, Stage
from raysurf.training.schedules import Cycles

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.jobs.network import MemberAnswers, Network
    from raysurf.training.checkpoints import State


class FGE(CyclicJob, EnsembleJob):
    """Go on from weights at a triangular rate, and keep the weights of the middle of every cycle.

    Its points are ``member1``, ``member2`` … and their ``average``. Its predictions are those of the ensemble, the mean
    of the members' probabilities, for the first one, two, … members; each member's own are kept too, so that
    ``predict`` compares any choice of ``members`` without running the network again. Members are ordinary SGD iterates,
    so their batch-norm statistics are their own.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 4, and its code. Deviation: SGD's momentum starts at zero, since
        weights are all that is handed on.
    """

    kind: ClassVar[str] = "fge"
    takes_objective: ClassVar[bool] = True
    is_numbered: ClassVar[bool] = True

    cycle_epochs: float = Field(2, gt=0, description="epochs a cycle; one member is taken at the middle of each")

    @model_validator(mode="after")
    def _has_members(self) -> Self:
        self.require_members(self.steps_per_epoch)
        return self

    @property
    def num_members(self) -> int:
        """Cycles whose middle is reached; counted in epochs where the steps are not known before the data are read."""
        known = self.steps_per_epoch
        return int(self.epochs_to_train / self.cycle_epochs + 0.5) if known is None else self.members_in(known)

    def require_members(self, steps_per_epoch: int | None) -> None:
        said, epochs = self.num_members, self.epochs_to_train
        if said < 1:
            raise ValueError(f"no member: half a cycle of {self.cycle_epochs:g} is beyond epochs {epochs}")
        if steps_per_epoch is not None and (taken := self.members_in(steps_per_epoch)) != said:
            cycle = self.cycle_length(steps_per_epoch)
            raise ValueError(
                f"{taken} members, of cycles of {cycle} steps where an epoch has {steps_per_epoch}, and not the {said} "
                f"that epochs {epochs} and cycle_epochs {self.cycle_epochs:g} make; give cycle_epochs: "
                f"{cycle / steps_per_epoch:.6g}"
            )

    def cycles(self, steps_per_epoch: int) -> Cycles:
        cycle = self.cycle_length(steps_per_epoch)
        return Cycles(cycle, middle_of(cycle) - cycle)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.stage_of(self.cycle_epochs / 2, self.cycle_epochs)

    @property
    def point_names(self) -> tuple[str, ...]:
        return (*(f"member{i}" for i in range(1, self.num_members + 1)), "average")

    def named_point(self, context: Context, name: str) -> tuple[State, State]:
        return context.weights(self, name)

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network
        from raysurf.training.loop import EpochEnd, fit
        from raysurf.training.objective import CycleAverage, floating_buffers
        from raysurf.weightspace.average import RunningAverage

        net = Network(self, context)
        net.place(*context.weights(self.start))
        epochs = self.epochs_to_train
        recipe = net.recipe(epochs, epochs, self.rates, self.cycle_epochs)
        cycles, average = self.cycles_of_data(recipe.steps_per_epoch(len(net.data.train))), RunningAverage()

        def on_epoch(end: EpochEnd) -> None:
            metrics = net.report_epoch(end, "iterate", evaluate=net.is_due(end.epoch))
            context.progress(end.epoch, epochs, metrics)

        collectors = [CycleAverage(cycles, average, lambda number: context.save(f"member{number}", net.tensors()))]
        mean_buffers = RunningAverage()
        if self.buffers == "average":
            collectors.append(CycleAverage(cycles, mean_buffers, source=floating_buffers))
        objective = net.objective(recipe)
        fit(objective, net.data, recipe, context.workers, on_epoch, collectors, context.checkpoints)
        context.workers.barrier()
        assert average.average is not None
        answers = list(net.answers(self.draw_members(context, average.count, self.seed)))
        context.save("predictions", self._gathered(net, answers))
        metrics = net.report_answers("members", ("ensemble",), answers)
        net.place_average(average.average, context.weights(self, f"member{average.count}")[1], mean_buffers.average)
        context.save("average", net.tensors())
        net.report_predictions("average")
        return metrics

    @property
    def max_samples(self) -> int:
        return self.num_members

    def draw_members(self, context: Context, num_samples: int, seed: int) -> Iterator[tuple[State, State]]:
        """The first members, in the order in which they were trained."""
        for number in range(1, num_samples + 1):
            yield context.weights(self, f"member{number}")

    @staticmethod
    def _gathered(net: Network, answers: Sequence[MemberAnswers]) -> State:
        """What members answered on whole splits, from all workers; the class of an unreadable example is -1."""
        import torch

        workers = net.context.workers
        gathered: State = {}
        for name, split in net.predicted_splits.items():
            labels = answers[0][name].labels
            own = torch.stack([answer[name].log_probabilities for answer in answers])
            first = workers.share(len(split)).start
            part = slice(first, first + len(labels))
            whole, right = own.new_zeros(len(own), len(split), own.shape[2]), labels.new_zeros(len(split))
            whole[:, part], right[part] = own, labels + 1
            gathered |= {name: workers.sum(whole), f"{name}_labels": workers.sum(right) - 1}
        return gathered

    def stored_answers(self, net: Network, context: Context, members: Sequence[int]) -> Iterator[MemberAnswers]:
        from raysurf.training.evaluation import Answers

        whole = context.load(self, "predictions")
        for member in members:
            answers = {}
            for name, split in net.predicted_splits.items():
                part = context.workers.share(len(split))
                labels = whole[f"{name}_labels"][part]
                answers[name] = Answers(whole[name][member - 1, part][labels >= 0], labels[labels >= 0])
            yield answers


def middle_of(cycle_steps: int) -> int:
    """Steps of a cycle after which its member is taken.

    Of an odd cycle the last of them has the lowest rate that the triangle reaches. Of an even one it is the step before
    the lowest, as in the code, which takes members when the epochs of half a cycle are done.

    Args:
        cycle_steps: Length of a cycle, at least 1.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 4, and its code, whose cycles are of even numbers of epochs.
    """
    return (cycle_steps + 1) // 2

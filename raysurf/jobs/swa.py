"""``swa``: stochastic weight averaging from trained weights, and the Gaussian of SWAG."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raysurf.jobs.sources import WeightsJob, scheme_metric_names
from raysurf.jobs.training_job import CyclicJob, Stage
from raysurf.stochastic.spec import Scheme
from raysurf.training.schedules import Cycles

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.jobs.network import Network
    from raysurf.training.checkpoints import State
    from raysurf.training.loop import EpochEnd
    from raysurf.weightspace.average import Moments, RunningAverage


class SWA(WeightsJob, CyclicJob):
    """Average the weights at the end of each cycle, then re-estimate batch-norm statistics; dropout is off for that.

    With a schedule whose rates do not depend on the length, a longer run goes on from where a shorter one ended, so
    that budgets of 1, 1.25 and 1.5 cost one run of 1.5.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), algorithm 1; members within a cycle are fast-SWA, Athiwaratkun et al.
        2019 (arXiv:1806.05594), section 4.
    """

    kind: ClassVar[str] = "swa"
    takes_objective: ClassVar[bool] = True
    IDENTITY_EXCLUDED: ClassVar[frozenset[str]] = frozenset({"average_on"})
    AFTER_TRAINING: ClassVar[frozenset[str]] = frozenset({"epochs"})
    LEAST_MEMBERS: ClassVar[int] = 1

    cycle_steps: int | None = Field(None, ge=1, description="iterations a cycle, instead of cycle_epochs")
    members_per_cycle: int = Field(
        1, ge=1, description="members taken in each cycle, evenly apart, the last at its end (fast-SWA: more than 1)"
    )
    average_from: float = Field(0, ge=0, description="epoch at which the first cycle begins")
    include_start: bool = Field(
        False, description="whether the start weights are a member (the talk: yes; the code: no)"
    )
    average_on: Literal["device", "cpu"] = Field("device", description="where the average is kept, always in fp32")

    @model_validator(mode="after")
    def _averages_something(self) -> Self:
        if self.cycle_steps is not None and "cycle_epochs" in self.model_fields_set:
            raise ValueError("cycle_epochs and cycle_steps are both given; give one of them")
        self.require_members(self.steps_per_epoch)
        return self

    def require_members(self, steps_per_epoch: int | None) -> None:
        epochs = self.epochs_to_train
        if steps_per_epoch is not None:
            taken = self.members_in(steps_per_epoch)
        elif self.cycle_steps is None:
            taken = max(0, int((epochs - self.average_from) / self.member_epochs + 1e-9))
        elif self.average_from < epochs:
            return
        else:
            taken = 0
        by = f"cycle_epochs {self.cycle_epochs:g}" if self.cycle_steps is None else f"cycle_steps {self.cycle_steps}"
        if self.members_per_cycle > 1:
            by += f" / members_per_cycle {self.members_per_cycle}"
        beyond = f"epochs {epochs}" + (f" of {steps_per_epoch} steps" if steps_per_epoch else "")
        if taken < 1:
            raise ValueError(
                f"no cycle ends within the run: average_from {self.average_from:g} + {by} is beyond {beyond}"
            )
        if taken + self.include_start < self.LEAST_MEMBERS:
            raise ValueError(
                f"fewer than {self.LEAST_MEMBERS} members from epoch {self.average_from:g} in {beyond}, by {by}; "
                "give more epochs or shorter cycles"
            )

    def cycle_length(self, steps_per_epoch: int) -> int:
        return self.cycle_steps or super().cycle_length(steps_per_epoch)

    def cycles(self, steps_per_epoch: int) -> Cycles:
        cycle = self.cycle_length(steps_per_epoch)
        between, rest = divmod(cycle, self.members_per_cycle)
        if rest:
            raise ValueError(f"members_per_cycle {self.members_per_cycle} of {cycle} steps a cycle; give a divisor")
        return Cycles(between, round(self.average_from * steps_per_epoch))

    @property
    def member_epochs(self) -> float:
        """Epochs from one member to the next, of cycles that are given in epochs."""
        return self.cycle_epochs / self.members_per_cycle

    @cached_property
    def trajectory(self) -> str:
        """Id of the training: jobs that differ in what is done after it, or in its length if they may, share it."""
        fixed = {"epochs"} if self.rates.depends_on_length else set[str]()
        return self.trajectory_without(self.AFTER_TRAINING - fixed)

    @property
    def may_go_on(self) -> bool:
        return True

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.stage_of(self.average_from + self.member_epochs, self.member_epochs)

    @property
    def point_names(self) -> tuple[str, ...]:
        return ("last",)

    def named_point(self, context: Context, name: str) -> tuple[State, State]:
        """The last SGD iterate."""
        return context.weights(self, name)

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs import network

        net, averaged = network.Network(self, context), network.Network(self, context)
        self._train(context, net, averaged)
        context.save("weights", averaged.tensors())
        context.save("last", net.tensors())
        net.report_predictions("last")
        return averaged.report_predictions("average")

    def _new_average(self, context: Context) -> RunningAverage:
        """What the members go into."""
        from raysurf.weightspace.average import RunningAverage

        return RunningAverage(device=self._average_device(context))

    def _average_device(self, context: Context) -> str:
        return str(context.workers.device) if self.average_on == "device" else "cpu"

    def _train(self, context: Context, net: Network, averaged: Network) -> RunningAverage:
        """Run the loop: ``net`` ends as the last iterate, and ``averaged`` as the average."""
        from raysurf.training.loop import fit
        from raysurf.training.objective import CycleAverage, floating_buffers
        from raysurf.weightspace.average import RunningAverage
        from raysurf.weightspace.point import buffers_of

        point, buffers = context.weights(self.start)
        net.place(point, buffers)
        epochs = self.epochs_to_train
        recipe = net.recipe(epochs, epochs, self.rates, self.cycle_epochs, cycle_iterations=self.cycle_steps)
        objective = net.objective(recipe)
        average, mean_buffers = self._new_average(context), RunningAverage()
        if self.include_start:
            average.add(point)
        per_epoch = recipe.steps_per_epoch(len(net.data.train))
        cycles = self.cycles_of_data(per_epoch)
        collectors = [CycleAverage(cycles, average)]
        if self.buffers == "average":
            if self.include_start:
                mean_buffers.add(floating_buffers(objective))
            collectors.append(CycleAverage(cycles, mean_buffers, source=floating_buffers))

        def place_average() -> None:
            assert average.average is not None
            averaged.place_average(average.average, buffers_of(net.model), mean_buffers.average)

        def on_epoch(end: EpochEnd) -> None:
            due = net.is_due(end.epoch)
            metrics = net.report_epoch(end, "iterate", evaluate=due)
            last_due = (end.epoch - 1) // self.evaluate_every * self.evaluate_every
            if due and cycles.members(end.epoch * per_epoch) > cycles.members(last_due * per_epoch):
                place_average()
                metrics = averaged.report_epoch(end, "average", evaluate=True)
            context.progress(end.epoch, epochs, metrics)

        fit(objective, net.data, recipe, context.workers, on_epoch, collectors, context.checkpoints)
        place_average()
        return average


class SWAG(SWA):
    """SWA that keeps the second moments too: its weights are the average, its samples come from SWAG's Gaussian.

    Samples have batch-norm statistics of their own, re-estimated for each. The metrics are those of the ensemble on
    validation and test, of the average on train; each scheme's own are ``split/scheme_metric``. A job that differs in
    ``covariance``, ``scale`` or ``num_samples`` alone is sampled from the same training, which is not repeated.

    Source:
        Maddox et al. 2019 (arXiv:1902.02476), algorithm 1, and its code, whose first member is the one after the
        first cycle as here.
    """

    kind: ClassVar[str] = "swag"
    AFTER_TRAINING: ClassVar[frozenset[str]] = SWA.AFTER_TRAINING | {"covariance", "scale", "num_samples"}
    # A covariance needs two.
    LEAST_MEMBERS: ClassVar[int] = 2
    SCHEMES: ClassVar[tuple[Scheme, ...]] = ("deterministic", "stochastic", "ensemble")
    draws_weights: ClassVar[bool] = True

    rank: int = Field(20, ge=2, description="deviations that are kept for the low-rank part, the newest")
    covariance: Literal["low_rank", "diagonal"] = Field("low_rank", description="low_rank has the diagonal too")
    scale: float | None = Field(
        None, ge=0, description="factor of the covariance; default the paper's: 0.5, of the diagonal alone 1"
    )
    num_samples: int = Field(30, ge=1, description="samples of the ensemble that is measured at the end")

    def metric_names(self) -> tuple[str, ...]:
        return (*super().metric_names(), *scheme_metric_names(self.SCHEMES))

    @property
    def possible_schemes(self) -> tuple[Scheme, ...]:
        return self.SCHEMES

    @property
    def usual_samples(self) -> int:
        return self.num_samples

    @property
    def sample_buffers(self) -> str:
        return self.buffers

    @property
    def covariance_scale(self) -> float:
        """The factor of the covariance."""
        return self.scale if self.scale is not None else {"low_rank": 0.5, "diagonal": 1.0}[self.covariance]

    def _new_average(self, context: Context) -> Moments:
        from raysurf.weightspace.average import Moments

        return Moments(self.rank, self._average_device(context))

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network
        from raysurf.training.workers import stream
        from raysurf.weightspace.average import Moments

        net, averaged = Network(self, context), Network(self, context)
        moments = self._train(context, net, averaged)
        assert isinstance(moments, Moments)
        context.save("weights", averaged.tensors())
        context.save("last", net.tensors())
        spread = {f"variance/{name}": value for name, value in moments.variance.items()}
        for number, deviation in enumerate(moments.deviations):
            spread |= {f"deviation{number}/{name}": value for name, value in deviation.items()}
        context.save("spread", spread)
        context.workers.barrier()
        net.report_predictions("last")
        average = averaged.report_predictions("average")
        metrics = average | {name.replace("/", "/deterministic_"): value for name, value in average.items()}
        members = self.draw_members(context, self.num_samples, stream(self.seed, "predict").getrandbits(31))
        return metrics | averaged.report_members(
            "samples", self.SCHEMES[1:], self.num_samples, members, reestimate=True, source=self.buffers
        )

    def draw_members(self, context: Context, num_samples: int, seed: int) -> Iterator[tuple[State, State]]:
        """Samples of the Gaussian, with the average's buffers; batch-norm statistics must be re-estimated."""
        import torch

        from raysurf.training.workers import stream
        from raysurf.weightspace.average import sample

        mean, buffers = context.weights(self)
        parts: dict[str, State] = {}
        for key, value in context.load(self, "spread").items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = value
        variance = parts.pop("variance")
        deviations = list(parts.values()) if self.covariance == "low_rank" else []
        for number in range(num_samples):
            generator = torch.Generator().manual_seed(stream(seed, "swag", number).getrandbits(63))
            yield sample(mean, variance, deviations, self.covariance_scale, generator), buffers

"""``curve``: join two trained networks by a low-loss curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raysurf.jobs.ensemble import EnsembleJob
from raysurf.jobs.geometry import AlongJob, Track, require_apart
from raysurf.jobs.sources import Source, WeightsJob, require_joinable
from raysurf.jobs.training_job import ContinuedJob

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.training.checkpoints import State


class Curve(ContinuedJob, AlongJob, EnsembleJob):
    """A polygonal chain or Bezier curve between two ends, its bends trained at a random t a step.

    Its own metrics are those of its middle, t = 0.5, with re-estimated batch-norm statistics.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 3.
    """

    kind: ClassVar[str] = "curve"

    end: WeightsJob = Field(description="the end at t = 1, as start is at t = 0; the same network")
    shape: Literal["polygonal", "bezier"] = Field("bezier", description="polygonal chain or Bezier curve")
    num_bends: int = Field(1, ge=1, description="free control points between the ends")
    fix_start: bool = Field(True, description="whether the end at t = 0 stays where it is")
    fix_end: bool = Field(True, description="whether the end at t = 1 stays where it is")
    via: Source | None = Field(None, description="weights that the bends begin on; else the straight line")
    t_strata: int = Field(1, ge=1, description="parts of a batch, each with its own t from its own part of [0, 1]")

    @model_validator(mode="after")
    def _joinable(self) -> Self:
        require_joinable(self.start, self.end, *([self.via] if self.via is not None else []))
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.start, self.end

    @property
    def label(self) -> str:
        return f"{self.shape} curve, {self.num_bends} bend" + "s" * (self.num_bends > 1)

    @property
    def free(self) -> tuple[int, ...]:
        """Numbers of the control points that are trained."""
        first, last = (0,) * (not self.fix_start), (self.num_bends + 1,) * (not self.fix_end)
        return (*first, *range(1, self.num_bends + 1), *last)

    @property
    def point_names(self) -> tuple[str, ...]:
        return tuple(self._name(number) for number in self.free)

    def _name(self, number: int) -> str:
        return "start" if number == 0 else "end" if number == self.num_bends + 1 else f"bend{number}"

    def named_point(self, context: Context, name: str) -> tuple[State, State]:
        number = next(n for n in self.free if self._name(n) == name)
        return self.track(context).control_point(number)

    def track(self, context: Context) -> Track:
        points: list[State] = [{} for _ in range(self.num_bends + 2)]
        own: State = {}
        for key, value in context.load(self, "points").items():
            part, _, name = key.partition(".")
            (own if part == "buffer" else points[int(part.removeprefix("point"))])[name] = value
        ends = [context.weights(source) for source in (self.start, self.end)]
        for number, (end, _) in zip((0, -1), ends, strict=True):
            points[number] = points[number] or end
        return self._track(points, [buffers for _, buffers in ends], own)

    def _track(self, points: Sequence[State], statistics: Sequence[State], own: State) -> Track:
        """The curve through points; those that are trained have its own buffers, the ends theirs."""
        ends = {0: statistics[0], self.num_bends + 1: statistics[1]}
        buffers = [own if number in self.free else ends[number] for number in range(len(points))]
        return Track("curve", self.shape, points, statistics, buffers)

    def draw_members(self, context: Context, num_samples: int, seed: int) -> Iterator[tuple[State, State]]:
        """Points at t from U(0, 1); their statistics must be re-estimated."""
        from raysurf.training.workers import stream

        track, draw = self.track(context), stream(seed, "t")
        for _ in range(num_samples):
            position = track.position("reestimate", draw.random())
            yield position.point, position.buffers

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs import network
        from raysurf.training.loop import EpochEnd, fit
        from raysurf.training.objectives.curve import CurveLoss
        from raysurf.weightspace.curve import bends_on_line

        net, middle = network.Network(self, context), network.Network(self, context)
        (start, buffers), (end, last_buffers) = context.weights(self.start), context.weights(self.end)
        require_apart("curve", start, end)
        net.place(start, buffers)
        start, end = net.laid_out(start), net.laid_out(end)
        via = None if self.via is None else net.laid_out(self.via.opened(context)[0])
        points = [start, *bends_on_line(start, end, self.num_bends, via), end]
        objective = CurveLoss(
            net.model,
            self.shape,
            points,
            self.free,
            self.setting("weight_decay"),
            self.setting("precision"),
            context.workers,
            self.t_strata,
        )

        def place_middle() -> None:
            track = self._track(points, [buffers, last_buffers], net.own_buffers())
            middle.settle(track.position("reestimate", 0.5), "reestimate")

        def on_epoch(epoch: EpochEnd) -> None:
            due = net.is_due(epoch.epoch)
            if due:
                place_middle()
            metrics = middle.report_epoch(epoch, "t=0.5", evaluate=due, trained=True)
            context.progress(epoch.epoch, self.epochs_to_train, metrics)

        recipe = net.recipe(self.epochs_to_train, self.epochs_to_train, self.rates)
        fit(objective, net.data, recipe, context.workers, on_epoch, checkpoints=context.checkpoints)
        own = {f"buffer.{name}": value for name, value in net.own_buffers().items()}
        context.save("points", {**objective.trainables, **own})
        place_middle()
        return middle.report_predictions("t=0.5")

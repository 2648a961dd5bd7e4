"""``path``: the minimum-energy path between two trained networks, by AutoNEB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from raysurf.jobs.geometry import AlongJob, Track, require_apart
from raysurf.jobs.job import SPLITS
from raysurf.jobs.measuring import ALONG, AtPoints, Spot, measure, spread_names
from raysurf.jobs.sources import Source, WeightsJob, require_joinable
from raysurf.jobs.training_job import Stage, StartedJob
from raysurf.training.schedules import Constant
from raysurf.values import Value, as_tuple

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.jobs.network import Network
    from raysurf.training.checkpoints import Place, State
    from raysurf.weightspace.point import Point

SADDLES = ("loss", "nll")


# Before the names of the network's own buffers, beside the pivots.
BUFFER = "buffer."


class Cycle(Value):
    """One cycle of AutoNEB: points are inserted, then the band is trained at one rate."""

    epochs: int = Field(ge=1, description="epochs to train the band; each of its points sees every batch")
    lr: float = Field(gt=0, description="learning rate")
    insert: int = Field(2, ge=0, description="at most so many new points, where the band is worst; evenly at first")


class Path(StartedJob, AlongJob, AtPoints):
    """A nudged elastic band between two networks, with points inserted where it is worst.

    It begins as the straight line with evenly spaced points. After every cycle but the last it is measured on the
    training split at ``num_between`` places in each gap, and points go where the loss departs most from the line
    between its neighbours'. In the end it is measured so on every split: rows of ``surface``, at t that is even in the
    gaps. Metrics are a profile's, the saddle (``saddle_loss``, the largest loss with the L2 term, and ``saddle_nll``,
    the largest without it, which is the paper's), and the number of points with the ends.

    Source:
        Draxler et al. 2018 (arXiv:1803.00885), section 3 and its code's configurations; tangents after Henkelman &
        Jonsson 2000. Deviations: all points take the same batch, batch-norm statistics are no part of a point, and the
        loss that places new points has the L2 term.
    """

    kind: ClassVar[str] = "path"

    end: WeightsJob = Field(description="the end at t = 1, as start is at t = 0; the same network, and both stay")
    cycles: Annotated[tuple[Cycle, ...], BeforeValidator(as_tuple)] = Field(description="in order, one at least")
    spring: float | None = Field(None, gt=0, description="stiffness; else points are redistributed after each step")
    num_between: int = Field(9, ge=1, description="places measured in each gap")
    threshold: float = Field(0.1, ge=0, description="least excess that a point is inserted for, as share of the range")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        require_joinable(self.start, self.end)
        if self.lr is not None or self.schedule is not None:
            raise ValueError("lr or schedule; the rates of a path stand in its cycles")
        if not self.cycles or self.cycles[0].insert < 1:
            raise ValueError("no point between the ends; cycles has one entry at least, whose insert is 1 or more")
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        return self.start, self.end

    @property
    def label(self) -> str:
        return "minimum-energy path"

    def num_drawn(self, track: Track) -> int:
        return len(track.points)

    @property
    def max_pivots(self) -> int:
        """The most points that the band can have between its ends."""
        return sum(cycle.insert for cycle in self.cycles)

    @property
    def epochs_to_train(self) -> int:
        """Passes over the data: of every epoch, one for each of the points that the band then has at most."""
        passes = pivots = 0
        for cycle in self.cycles:
            pivots += cycle.insert
            passes += pivots * cycle.epochs
        return passes

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Passes of the band over the data; each of its points sees every batch."""
        return tuple(Stage(Constant(lr=cycle.lr), cycle.epochs, cycle.epochs) for cycle in self.cycles)

    def metric_names(self) -> tuple[str, ...]:
        saddles = (f"{split}/saddle_{name}" for split in SPLITS for name in SADDLES)
        return ("length", "num_pivots", *saddles, *spread_names(*ALONG))

    @property
    def point_names(self) -> tuple[str, ...]:
        return tuple(f"pivot{i}" for i in range(1, self.max_pivots + 1))

    def named_point(self, context: Context, name: str) -> tuple[State, State]:
        """A point of the band; the last one of a shorter band for a number beyond it."""
        track = self.track(context)
        return track.control_point(min(int(name.removeprefix("pivot")), len(track.points) - 2))

    def track(self, context: Context) -> Track:
        (start, first), (end, last) = (context.weights(source) for source in (self.start, self.end))
        own: State = {}
        tensors: State = {}
        for key, value in context.load(self, "pivots").items():
            (own if key.startswith(BUFFER) else tensors)[key.removeprefix(BUFFER)] = value
        return _track([start, *_pivots(tensors), end], first, last, own)

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.measuring import along_metrics
        from raysurf.jobs.network import Network

        net = Network(self, context)
        band = self._train(net, context)
        pivots = {f"pivot{i}.{k}": v for i, pivot in enumerate(band[1:-1], 1) for k, v in pivot.items()}
        context.save("pivots", pivots | {f"{BUFFER}{k}": v for k, v in net.own_buffers().items()})
        measure(self, context, range(self._places(len(band))), self._survey)
        rows = context.rows_of_all_parts("surface")
        metrics = along_metrics(rows)
        worst = {f"{split}/max_{name}": f"{split}/saddle_{name}" for split in SPLITS for name in SADDLES}
        saddles = {saddle: metrics[most] for most, saddle in worst.items() if most in metrics}
        return metrics | saddles | {"num_pivots": float(len(band))}

    def _places(self, num_points: int) -> int:
        return (num_points - 1) * (self.num_between + 1) + 1

    def _survey(self, context: Context) -> Callable[[int], Spot]:
        from raysurf.weightspace.curve import arc_lengths

        track = self.track(context)
        last = self._places(len(track.points)) - 1
        ts = [i / last for i in range(last + 1)]
        distances = arc_lengths(track.shape, track.points, ts)

        def spot(number: int) -> Spot:
            columns = {"geometry": "path", "t": ts[number], "distance": distances[number]}
            return Spot(track.position(self.batchnorm, ts[number]), columns)

        return spot

    def _train(self, net: Network, context: Context) -> list[Point]:
        """Go through the cycles, from the newest checkpoint if there is one."""
        from raysurf.training.checkpoints import LaterCheckpoints, Place
        from raysurf.training.loop import EpochEnd, fit
        from raysurf.training.objectives.band import BandLoss, Redistribution
        from raysurf.weightspace.band import fractions, insert, worst_gaps
        from raysurf.weightspace.curve import bends_on_line

        (start, buffers), (end, last_buffers) = context.weights(self.start), context.weights(self.end)
        require_apart("path", start, end)
        net.place(start, buffers)
        start, end = net.laid_out(start), net.laid_out(end)
        saved = context.checkpoints.load()
        first, origin = self._cycle_of(saved[0] if saved else Place(0))
        band = [start, *bends_on_line(start, end, self.cycles[0].insert), end]
        if saved:
            pivots = {k.removeprefix("trainable/"): v for k, v in saved[1].items() if k.startswith("trainable/")}
            band = [start, *(net.laid_out(pivot) for pivot in _pivots(pivots)), end]
        targets = fractions(band)
        if saved and (shares := saved[1].get("collector0/targets")) is not None:
            targets = shares.tolist()
        decay, precision = self.setting("weight_decay"), self.setting("precision")
        for number, cycle in enumerate(self.cycles[first:], start=first):

            def on_epoch(ended: EpochEnd, at: int = origin) -> None:
                row = {"epoch": at + ended.epoch, "weights": "band", "lr": ended.lr, "epoch_s": ended.epoch_s}
                losses = {"train_nll": ended.train_nll, "train_error": ended.train_error}
                context.report("epochs", row | losses)
                context.progress(at + ended.epoch, sum(cycle.epochs for cycle in self.cycles))

            objective = BandLoss(net.model, band, decay, self.spring, precision, context.workers)
            sliding = [Redistribution(targets)] if self.spring is None else []
            recipe = net.recipe(cycle.epochs, cycle.epochs, Constant(lr=cycle.lr), origin=origin)
            keeper = LaterCheckpoints(context.checkpoints, origin, saved if number == first else None)
            fit(objective, net.data, recipe, context.workers, on_epoch, sliding, keeper)
            origin += cycle.epochs
            if number + 1 < len(self.cycles) and (count := self.cycles[number + 1].insert):
                trained = net.own_buffers()
                track = _track(band, buffers, last_buffers, trained)
                places = worst_gaps(self._losses(net, track), self.num_between, count, self.threshold)
                net.place(band[-1], trained)
                band = insert(band, places, self.num_between)
                targets = fractions(band)
        return band

    def _cycle_of(self, place: Place) -> tuple[int, int]:
        """The cycle that a place belongs to, and the epochs before it; the end of a cycle belongs to that cycle."""
        origin = 0
        for number, cycle in enumerate(self.cycles):
            if place <= (origin + cycle.epochs, 0):
                return number, origin
            origin += cycle.epochs
        raise AssertionError(f"{place} of {origin}")

    def _losses(self, net: Network, track: Track) -> list[float]:
        """Train loss at every place of the band."""
        last = self._places(len(track.points)) - 1
        losses = []
        for t in (i / last for i in range(last + 1)):
            net.settle(track.position(self.batchnorm, t), self.batchnorm, self.batchnorm_share)
            losses.append(net.measure("train").nll + net.l2())
        return losses


def _track(band: Sequence[State], first: State, last: State, own: State) -> Track:
    """The path through a band's points: ends with their buffers, the points between with the path's own."""
    return Track("path", "polygonal", band, [first, last], [first, *[own] * (len(band) - 2), last])


def _pivots(tensors: State) -> list[State]:
    """Pivots in order, from tensors called ``pivot<number>.<name>``."""
    pivots: dict[int, State] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        pivots.setdefault(int(number.removeprefix("pivot")), {})[name] = value
    return [pivots[number] for number in sorted(pivots)]

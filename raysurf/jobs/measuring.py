"""What the measuring jobs share: independent points, each measured once, in any process and any order."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from raysurf.errors import MeasuringError, PreemptedError
from raysurf.failure import Failure
from raysurf.jobs.geometry import Position
from raysurf.jobs.job import SPLITS, Job
from raysurf.jobs.sources import Source

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.jobs.network import Network
    from raysurf.store import Row

QUANTITIES = ("loss", "nll", "error")
# Statistics of a curve; the last is the older name of the one before it.
ALONG = ("t_integral", "arc_integral", "frankle_barrier", "entezari_barrier", "barrier")
# A piece of a surface is so many points at least, and no surface is cut into more pieces than this.
PIECE, PIECES = 4, 256


@dataclass(frozen=True)
class Spot:
    """One point to be measured: its weights and buffers, and where it is, as columns of ``surface``."""

    position: Position
    columns: Mapping[str, Any]


class AtPoints(Job):
    """A job that measures points of weight space, and how it gets batch-norm statistics there."""

    batchnorm: Literal["reestimate", "fixed", "interpolate"] = Field(
        "reestimate",
        description="batch-norm statistics at each point: re-estimated, those of the first weights, or interpolated; "
        "other buffers are those of the nearest trained weights",
    )
    batchnorm_share: float = Field(1.0, gt=0, le=1, description="share of the training examples for re-estimation")


class MeasuringJob(AtPoints):
    """A job whose rows are points of a surface that do not depend on one another."""

    @model_validator(mode="after")
    def _has_statistics(self) -> Self:
        lacking = [not source.has_statistics for source in self.sources]
        if (self.batchnorm == "fixed" and lacking[:1] == [True]) or (self.batchnorm == "interpolate" and any(lacking)):
            raise ValueError(
                f"batchnorm {self.batchnorm}, and a point of a curve or path, which has no statistics of its own; "
                "use reestimate"
            )
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        """The weights that the surface is spanned by."""
        raise AssertionError(f"{type(self).__name__} has no sources")

    @property
    def source(self) -> Source:
        return self.sources[0]

    def survey(self, context: Context) -> Callable[[int], Spot]:
        """Open the weights.

        Returns:
            What gives a point by its number, from 0 to ``points_to_measure`` - 1.
        """
        raise AssertionError(f"{type(self).__name__} surveys nothing")

    def metrics(self, rows: Sequence[Row]) -> dict[str, float]:
        """The job's metrics from its ``surface`` rows alone, in any order."""
        raise AssertionError(f"{type(self).__name__} has no figures")

    def run(self, context: Context) -> dict[str, float]:
        """Measure what no process has measured yet, and sum it up."""
        context.recall("surface")
        known = context.rows_of_all_parts("surface")
        context.elsewhere_s = sum({row["point"]: row.get("point_s") or 0.0 for row in known}.values())
        measure(self, context, missing_points(self, known), self.survey)
        return self.metrics(context.rows_of_all_parts("surface"))


def missing_points(job: MeasuringJob, rows: Iterable[Row]) -> list[int]:
    """Numbers of the points that have no rows yet."""
    return sorted(set(range(job.points_to_measure)) - {row["point"] for row in rows})


def piece_size(job: MeasuringJob) -> int:
    """Points in a piece, the same for everybody who cuts the surface, so that no two pieces share a point."""
    return max(PIECE, -(-job.points_to_measure // PIECES))


def first_of_piece(job: MeasuringJob, number: int) -> int:
    """The first point of the piece that a point is in; the piece is called by it."""
    return number - number % piece_size(job)


def pieces(job: MeasuringJob, numbers: Iterable[int]) -> list[tuple[int, ...]]:
    """Points, rising, by the pieces that they are in."""
    return [tuple(piece) for _, piece in itertools.groupby(numbers, lambda number: first_of_piece(job, number))]


def measure(
    job: Any, context: Context, numbers: Iterable[int], survey: Callable[[Context], Callable[[int], Spot]]
) -> None:
    """Measure points on every split, each a row a split; those that have rows in this part already are left alone.

    A point whose metrics are not finite is a row without them; one that raises has no row, and the others go on. A
    worker that is told to leave does so after the point that it is at.

    Args:
        job: Has the settings of a measuring job.
        context: Where rows go.
        numbers: The points wanted.
        survey: Opens the weights, if anything is to be done.

    Raises:
        MeasuringError: If points raised, after all others were measured.
        PreemptedError: If it leaves.
    """
    from raysurf.jobs.network import Network
    from raysurf.training.loop import Lookout

    known = {row["point"] for row in context.recall("surface")}
    left = [number for number in numbers if number not in known]
    if not left:
        return
    net, spot_at = Network(job, context), survey(context)
    failed, lookout = list[tuple[int, Failure]](), Lookout(context.workers)
    for i, number in enumerate(left, start=1):
        try:
            rows = _rows(job, net, spot_at(number))
        except Exception as error:
            if context.workers.size > 1:  # The others of the group are waiting for this one.
                raise
            failed.append((number, Failure.of(error)))
            continue
        context.report("surface", *({"point": number, **row} for row in rows))
        context.progress(i, len(left))
        if lookout.look().leave and i < len(left):
            context.flush()
            raise PreemptedError(f"after {i} of {len(left)} points")
    context.flush()
    if failed:
        raise MeasuringError(len(failed), len(left), *failed[0])


def _rows(job: Any, net: Network, spot: Spot) -> list[Row]:
    began = time.perf_counter()
    net.settle(spot.position, job.batchnorm, job.batchnorm_share)
    how: dict[str, Any] = {"batchnorm": net.batchnorm}
    if net.batchnorm == "reestimate":
        how["batchnorm_share"] = job.batchnorm_share
    l2, rows = net.l2(), []
    for split in net.splits:
        measured = net.measure(split)
        values = {"loss": measured.nll + l2, "nll": measured.nll, "error": measured.error}
        row: Row = {name: value if math.isfinite(value) else None for name, value in values.items()}
        if row["loss"] is None:
            row["failure"] = "the loss is not finite"
        row["skipped"] = len(net.splits[split]) - measured.num_examples
        rows.append({**spot.columns, "split": split, "l2": l2, **how, **row})
    point_s = time.perf_counter() - began
    return [{**row, "point_s": point_s} for row in rows]


def spread(rows: Sequence[Row]) -> dict[str, float]:
    """``max``, ``min`` and ``mean`` over all points, of every quantity on every split, as ``split/max_loss``."""
    metrics: dict[str, float] = {}
    for split in SPLITS:
        mine = sorted((row for row in rows if row["split"] == split), key=lambda row: int(row["point"]))
        for name in QUANTITIES:
            values = [float(row[name]) for row in mine if row[name] is not None]
            if values:
                stats = {"max": max(values), "min": min(values), "mean": sum(values) / len(values)}
                metrics |= {f"{split}/{stat}_{name}": value for stat, value in stats.items()}
    return metrics


def spread_names(*more: str) -> tuple[str, ...]:
    """Names of the metrics of ``spread``, and of further statistics."""
    stats = ("max", "min", "mean", *more)
    return tuple(f"{split}/{stat}_{name}" for split in SPLITS for name in QUANTITIES for stat in stats)


def along_metrics(rows: Sequence[Row]) -> dict[str, float]:
    """The metrics of a profile from its ``surface`` rows; points without a value are left out."""
    metrics = spread(rows)
    for split in SPLITS:
        mine = sorted((row for row in rows if row["split"] == split), key=lambda row: float(row["t"]))
        within = [row for row in mine if -1e-9 <= row["t"] <= 1 + 1e-9]
        if len(within) > 1:
            metrics["length"] = within[-1]["distance"] - within[0]["distance"]
        for name in QUANTITIES:
            line = [(row["t"], row["distance"], float(row[name])) for row in within if row[name] is not None]
            if len(line) < 2 or not line[-1][1] > line[0][1]:
                continue
            steps = [(b[0] - a[0], b[1] - a[1], 0.5 * (a[2] + b[2])) for a, b in zip(line, line[1:], strict=False)]
            (t0, d0, first), (t1, d1, last) = line[0], line[-1]
            excess = max(v - (first + (last - first) * (t - t0) / (t1 - t0)) for t, _, v in line)
            metrics |= {
                f"{split}/t_integral_{name}": sum(dt * v for dt, _, v in steps) / (t1 - t0),
                f"{split}/arc_integral_{name}": sum(dl * v for _, dl, v in steps) / (d1 - d0),
                f"{split}/frankle_barrier_{name}": max(v for _, _, v in line) - 0.5 * (first + last),
                f"{split}/entezari_barrier_{name}": excess,
                f"{split}/barrier_{name}": excess,
            }
    return metrics

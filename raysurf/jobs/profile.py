"""``profile``: loss and error at points along a curve or a straight line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raysurf.data.spec import DataSpec
from raysurf.jobs.curve import Curve, require_joinable
from raysurf.jobs.job import SPLITS, Job, Line, WeightsJob
from raysurf.jobs.training import TrainingJob
from raysurf.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.context import Context
    from raysurf.jobs.network import Network

QUANTITIES = ("loss", "nll", "error")
STATISTICS = ("max", "min", "mean", "integral", "barrier")


class Profile(Job):
    """Measure a curve, or the line between two weights, at evenly spaced t; every point is a row.

    Figures per split and quantity: ``max``, ``min`` and ``mean`` over the points, ``integral`` (the mean over
    arc length: sum of (v_i + v_i+1)/2 dl over sum of dl, dl the distance of neighbours), and ``barrier`` (the most
    by which a point exceeds the line between the two ends' values).

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), section 3 and the reference code's evaluation; the barrier is that of
        Frankle et al. 2020 (arXiv:1912.05671), measured along the curve.
    """

    kind: ClassVar[str] = "profile"

    along: Curve | Line = Field(description="a curve job, or kind: line with start and end")
    num_points: int = Field(61, ge=2, description="points, both ends included")
    batchnorm: Literal["reestimate", "fixed", "interpolate"] = Field(
        "reestimate",
        description="statistics at each point: re-estimated, the start's, or interpolated between the ends",
    )

    @model_validator(mode="after")
    def _joinable(self) -> Self:
        require_joinable(self.along.start, self.along.end)
        return self

    @property
    def model_spec(self) -> ModelSpec:
        return self.along.start.model_spec

    @property
    def data_spec(self) -> DataSpec:
        return self.along.start.data_spec

    def setting(self, name: str) -> Any:
        """A training setting (batch size, weight decay, precision) of the curve, or of the line's start."""
        source: WeightsJob | Curve = self.along if isinstance(self.along, Curve) else self.along.start
        return source.setting(name) if isinstance(source, TrainingJob) else TrainingJob.DEFAULTS[name]

    @classmethod
    def metric_names(cls) -> tuple[str, ...]:
        return ("length", *(f"{s}/{stat}_{q}" for s in SPLITS for q in QUANTITIES for stat in STATISTICS))

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network
        from raysurf.weightspace.curve import evaluate
        from raysurf.weightspace.point import distance

        net = Network(self, context)
        (start, first_buffers), (end, last_buffers) = (context.weights(w) for w in (self.along.start, self.along.end))
        if isinstance(self.along, Curve):
            geometry, shape, control_points = "curve", self.along.shape, self.along.control_points(context)
        else:
            geometry, shape, control_points = "line", "polygonal", [start, end]
        measured = {row["point"] for row in context.recall("surface")}
        travelled, previous = 0.0, start
        for i in range(self.num_points):
            t = i / (self.num_points - 1)
            point = evaluate(shape, control_points, t)
            travelled, previous = travelled + distance(point, previous), point
            if i in measured:
                continue
            net.place(point, _buffers(self.batchnorm, first_buffers, last_buffers, t))
            if self.batchnorm == "reestimate":
                net.reestimate()
            place = {"geometry": geometry, "point": i, "t": t, "distance": travelled}
            context.report("surface", *({**place, **row} for row in self._measured(net)))
            context.progress(i + 1, self.num_points)
        return summary(context.rows["surface"])

    def _measured(self, net: Network) -> list[dict[str, Any]]:
        l2, batchnorm = net.l2(), self.batchnorm if net.has_batchnorm else "none"
        found = {split: net.measure(split) for split in net.splits}
        return [
            {"split": s, "loss": f.nll + l2, "nll": f.nll, "error": f.error, "l2": l2, "batchnorm": batchnorm}
            for s, f in found.items()
        ]


def _buffers(choice: str, first: dict[str, Tensor], last: dict[str, Tensor], t: float) -> dict[str, Tensor]:
    if choice != "interpolate":
        return first
    return {k: v + (last[k] - v) * t if v.is_floating_point() else v for k, v in first.items()}


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of a profile from its ``surface`` rows alone."""
    figures: dict[str, float] = {}
    for split in SPLITS:
        line = sorted((row for row in rows if row["split"] == split), key=lambda row: int(row["point"]))
        if not line:
            continue
        figures["length"] = line[-1]["distance"]
        steps = [b["distance"] - a["distance"] for a, b in zip(line, line[1:], strict=False)]
        for name in QUANTITIES:
            v = [float(row[name]) for row in line]
            area = sum(0.5 * (a + b) * dl for a, b, dl in zip(v, v[1:], steps, strict=False))
            rise = max(x - (v[0] + (v[-1] - v[0]) * row["t"]) for x, row in zip(v, line, strict=True))
            values = (max(v), min(v), sum(v) / len(v), area / sum(steps), rise)
            figures |= {f"{split}/{stat}_{name}": x for stat, x in zip(STATISTICS, values, strict=True)}
    return figures

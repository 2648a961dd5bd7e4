"""A kind of job."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from raysurf.jobs.job import Context
from raysurf.jobs.sources import OfWeights


class Shrunk(OfWeights):
    """Predictions of weights times a factor."""

    kind: ClassVar[str] = "shrunk"
    factor: float = Field(0.5, ge=0, description="what all weights are multiplied by")

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network

        net = Network(self, context)
        point, buffers = context.weights(self.weights)
        net.place({name: self.factor * value for name, value in point.items()}, buffers)
        return net.report_predictions("shrunk")

"""``predict``: measure the predictions of any weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from raysurf.data.spec import DataSpec
from raysurf.jobs.job import Job, WeightsJob
from raysurf.jobs.training import Data
from raysurf.models.spec import ModelSpec

if TYPE_CHECKING:
    from raysurf.jobs.context import Context


class Predict(Job):
    """Accuracy, NLL, Brier score and ECE of finished weights on every split of their data, or of other data."""

    kind: ClassVar[str] = "predict"

    weights: WeightsJob = Field(description="the weights to measure")
    data: Data | None = Field(None, description="data to measure on, if not that of the weights")
    batchnorm: Literal["fixed", "reestimate"] = Field("fixed", description="keep the stored statistics, or re-estimate")

    @property
    def model_spec(self) -> ModelSpec:
        return self.weights.model_spec

    @property
    def data_spec(self) -> DataSpec:
        return self.data or self.weights.data_spec

    def setting(self, name: str) -> Any:
        """A training setting (batch size, weight decay, precision) of the weights."""
        return self.weights.setting(name)

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network

        net = Network(self, context)
        net.place(*context.weights(self.weights))
        if self.batchnorm == "reestimate":
            net.reestimate()
        return net.report_predictions("final", self.batchnorm)

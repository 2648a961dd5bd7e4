"""``weights``: weights from a file, or torchvision's pretrained ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from raysurf.data.spec import DataSpec
from raysurf.errors import DataError
from raysurf.jobs.sources import WeightsJob
from raysurf.jobs.training_job import Data, Model
from raysurf.models import registry as models
from raysurf.models.spec import ModelSpec
from raysurf.redaction import holds_secret
from raysurf.values import LOOK_UP

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.job import Context


class Weights(WeightsJob):
    """Weights that were trained elsewhere; nothing in the file can run code.

    A file is ``.safetensors`` (a state dict, or a weights file of raysurf's own) or a plain state dict that torch can
    load with ``weights_only``, or a dict that has one as an entry. Of tied tensors one name is enough.
    """

    kind: ClassVar[str] = "weights"

    model: Model = Field(description="the network they belong to")
    data: Data = Field(description="the data they are measured on")
    file: str | None = Field(None, description=".safetensors, .pt or .pth; or pretrained")
    pretrained: str | None = Field(None, description="name of torchvision weights, such as IMAGENET1K_V1")
    entry: str | None = Field(None, description="which entry of the file, such as swa_state_dict, if it has several")
    prefix: str | None = Field(
        None, description="what names in the file begin with; module., model. and _orig_mod. need not be said"
    )

    @field_validator("pretrained")
    @classmethod
    def _found(cls, pretrained: str | None, info: ValidationInfo) -> str | None:
        if pretrained is not None and "model" in info.data and (info.context or {}).get(LOOK_UP):
            models.check_pretrained(info.data["model"].name, pretrained)
        return pretrained

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.pretrained is None):
            raise ValueError("exactly one of file and pretrained is required")
        if self.file is None and (self.entry is not None or self.prefix is not None):
            raise ValueError("entry or prefix, which are of a file, and pretrained")
        if self.file is not None and holds_secret(self.file):
            raise ValueError("file: with an address without secrets, since jobs stand in tables")
        return self

    @property
    def label(self) -> str:
        return PurePath(self.file or str(self.pretrained)).stem

    @property
    def model_spec(self) -> ModelSpec:
        return self.model

    @property
    def data_spec(self) -> DataSpec:
        return self.data

    @property
    def weights_file(self) -> str | None:
        return self.file

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network
        from raysurf.jobs.weight_files import fitted, misfits, require_usable, state_in

        net = Network(self, context)
        state = dict(self._pretrained()) if self.file is None else state_in(self.file, self.entry)
        state = fitted(net.model, state, self.prefix)
        if wrong := misfits(net.model, state):
            wanted = f"the tensors of {self.model.name} for {net.data.num_classes} classes"
            if self.file is not None and self.prefix is None:
                wanted += " (prefix: if their names in the file begin with more)"
            raise DataError(self.file or str(self.pretrained), wrong, wanted)
        require_usable(self.file or str(self.pretrained), net.model.state_dict(), state)
        point = {name: state.pop(name) for name, _ in net.model.named_parameters()}
        net.place(point, state)
        context.save("weights", net.tensors())
        return net.report_predictions("final")

    def _pretrained(self) -> Mapping[str, Tensor]:
        from torchvision.models import get_model_weights

        assert self.pretrained is not None
        models.check_pretrained(self.model.name, self.pretrained)
        weights = get_model_weights(self.model.name.removeprefix(models.TORCHVISION))[self.pretrained]
        try:
            state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
            return state
        except (OSError, RuntimeError) as error:
            raise DataError(
                self.pretrained, f"{type(error).__name__}: {error}", f"{weights.url}, to be downloaded or cached"
            ) from error

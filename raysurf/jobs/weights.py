"""``weights``: weights from a file, or torchvision's pretrained ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from raysurf.data.spec import DataSpec
from raysurf.errors import DataError
from raysurf.jobs.job import WeightsJob
from raysurf.jobs.training import Data, Model
from raysurf.jobs.weight_files import require_usable, state_in
from raysurf.models import registry as models
from raysurf.models.spec import ModelSpec
from raysurf.redaction import holds_secret

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.context import Context


SHOWN = 3


def misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Say how a state dict does not fit a network: tensors that are missing, unknown or of another shape.

    Args:
        own: The network's state dict.
        state: What is to be written into it; counters of batches may be missing.

    Returns:
        Up to three names of each sort and the number of the others; empty if all fits.
    """
    missing = sorted(name for name in own.keys() - state.keys() if not name.endswith("num_batches_tracked"))
    other = [
        f"{name} {list(state[name].shape)}, not {list(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    found = {"missing": missing, "unknown": sorted(state.keys() - own.keys()), "of another shape": other}
    return "; ".join(f"{sort}: {_first(names)}" for sort, names in found.items() if names)


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


class Weights(WeightsJob):
    """Weights that were trained elsewhere; nothing in the file can run code.

    A file is ``.safetensors`` (a state dict, or a weights file of raysurf's own) or a plain state dict that torch can
    load with ``weights_only``.
    """

    kind: ClassVar[str] = "weights"

    model: Model = Field(description="the network they belong to")
    data: Data = Field(description="the data they are measured on")
    file: str | None = Field(None, description=".safetensors, .pt or .pth; or pretrained")
    pretrained: str | None = Field(None, description="name of torchvision weights, such as IMAGENET1K_V1")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.pretrained is None):
            raise ValueError("exactly one of file and pretrained is required")
        if self.file is not None and holds_secret(self.file):
            raise ValueError("file: with an address without secrets, since jobs stand in tables")
        return self

    @property
    def model_spec(self) -> ModelSpec:
        return self.model

    @property
    def data_spec(self) -> DataSpec:
        return self.data

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network

        net = Network(self, context)
        state = self._state()
        if found := misfits(net.model.state_dict(), state):
            wanted = f"the tensors of {self.model.name} for {net.data.num_classes} classes"
            raise DataError(self.file or str(self.pretrained), found, wanted)
        require_usable(self.file or str(self.pretrained), net.model.state_dict(), state)
        net.model.load_state_dict(state, strict=False)
        context.save("weights", net.tensors())
        return net.report_predictions("final")

    def _state(self) -> dict[str, Tensor]:
        if self.pretrained is not None:
            from torchvision.models import get_model_weights

            models.check_pretrained(self.model.name, self.pretrained)
            found = get_model_weights(self.model.name.removeprefix(models.TORCHVISION))[self.pretrained]
            try:
                return dict(found.get_state_dict(progress=False, check_hash=True))
            except (OSError, RuntimeError) as error:
                raise DataError(
                    self.pretrained, f"{type(error).__name__}: {error}", f"{found.url}, to be downloaded or cached"
                ) from error
        assert self.file is not None
        state = state_in(self.file)
        return {k.removeprefix("point/").removeprefix("buffer/"): v for k, v in state.items()}

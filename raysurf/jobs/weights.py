"""``weights``: weights from a file, or torchvision's pretrained ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from raysurf.data.spec import DataSpec
from raysurf.errors import DataError
from raysurf.jobs.job import WeightsJob
from raysurf.jobs.training import Data, Model
from raysurf.models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.context import Context


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
        return self

    @property
    def model_spec(self) -> ModelSpec:
        return self.model

    @property
    def data_spec(self) -> DataSpec:
        return self.data

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network
        from raysurf.weightspace.point import first_not_finite

        net = Network(self, context)
        state = self._state()
        own = net.model.state_dict()
        counters = {k for k in own if k.endswith("num_batches_tracked")}
        missing, extra = own.keys() - counters - state.keys(), state.keys() - own.keys()
        wrong = [k for k in own.keys() & state.keys() if own[k].shape != state[k].shape]
        if missing or extra or wrong:
            raise DataError(
                self.file or str(self.pretrained),
                f"missing {sorted(missing)[:3]}, unknown {sorted(extra)[:3]}, of another shape {sorted(wrong)[:3]}",
                f"the {len(own)} tensors of {self.model.name}",
            )
        if (name := first_not_finite(state)) is not None:
            raise DataError(self.file or str(self.pretrained), f"NaN or infinity in {name}", "finite weights")
        net.model.load_state_dict(state, strict=False)
        context.save("weights", net.tensors())
        return net.report_predictions("final", "fixed")

    def _state(self) -> dict[str, Tensor]:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if self.pretrained is not None:
            from torchvision.models import get_model_weights

            try:
                found = get_model_weights(self.model.name.removeprefix("torchvision."))[self.pretrained]
                return dict(found.get_state_dict(progress=False, check_hash=True))
            except (KeyError, ValueError, OSError) as error:
                raise DataError(
                    self.pretrained, f"{type(error).__name__}: {error}", "weights that torchvision has"
                ) from error
        assert self.file is not None
        try:
            if self.file.endswith(".safetensors"):
                state = load_file(self.file)
            else:
                state = torch.load(self.file, map_location="cpu", weights_only=True)
                state = state.get("state_dict", state)
        except (OSError, SafetensorError, RuntimeError, ValueError, AttributeError) as error:
            raise DataError(self.file, f"{type(error).__name__}: {error}", "a readable state dict") from error
        except Exception as error:  # torch's UnpicklingError does not say which class it is
            raise DataError(self.file, f"{type(error).__name__}", "a plain state dict, with no code in it") from error
        return {k.removeprefix("point/").removeprefix("buffer/"): v for k, v in state.items()}

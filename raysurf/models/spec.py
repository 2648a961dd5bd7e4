"""How a network is named in a job."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from raysurf import plugs
from raysurf.stochastic.spec import Noise
from raysurf.values import Value


class ModelSpec(Value):
    """A network: a name of ours, one of torchvision's, or ``package.module:function``; and its builder's options.

    A function of your own is called as ``function(num_classes=10, image_shape=(3, 32, 32), **options)``, with the
    classes and the channels, height and width of the data. It returns an nn.Module from images [B, C, H, W], float32
    and normalised, to logits [B, num_classes]; a class with such arguments will do. Its module is installed, or lies
    in the working folder or beside the sweep file. ``raysurf check`` imports it and calls nothing; with
    ``--no-import`` it does not import it either.
    """

    name: str = Field(description="such as preresnet110, torchvision's resnet50, or package.module:function of yours")
    options: dict[str, bool | int | float | str] = Field({}, description="what its builder takes, such as width: 4")

    @property
    def code(self) -> str | None:
        """``module:function`` that builds it, if that is neither raysurf's nor torchvision's."""
        return plugs.code_of("models", self.name)

    @property
    def noise(self) -> tuple[Noise, ...]:
        """Which of its layers are noisy, and how."""
        return ()

    @staticmethod
    def parse(value: Any) -> Any:
        """Read the short form: a bare name."""
        return {"name": value} if isinstance(value, str) else value


class NoisyModelSpec(ModelSpec):
    """A network some of whose layers are noisy; what a job has whose weights are noise, never written by itself."""

    noisy: tuple[Noise, ...]

    @property
    def noise(self) -> tuple[Noise, ...]:
        return self.noisy

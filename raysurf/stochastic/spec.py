"""How noisy layers are named in a job. Importing it imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from raysurf.values import Node, as_tuple

if TYPE_CHECKING:
    from torch import nn

    from raysurf.stochastic.layers import NoisyLayer


Scheme = Literal["deterministic", "stochastic", "ensemble", "zero_mean", "permuted"]
CONTROLS: tuple[Scheme, ...] = ("zero_mean", "permuted")


class Noise(Node):
    """Some layers of a network and the noise that they get."""

    PLUGS: ClassVar[str] = "noise"

    CONTROLS: ClassVar[tuple[Scheme, ...]] = CONTROLS
    # Whether the deviations themselves are trained, so that they may begin as anything.
    has_free_sigma: ClassVar[bool] = False

    layers: str = Field(min_length=1, description="names of layers, with * and ?; several separated by commas")

    def make(self, layer: nn.Module) -> NoisyLayer:
        """A noisy layer in a layer's place."""
        raise AssertionError(f"{type(self).__name__} makes no layer")


class Dropout(Noise):
    """Binary dropout of the layers' inputs."""

    kind: ClassVar[str] = "dropout"
    CONTROLS: ClassVar[tuple[Scheme, ...]] = ()

    p: float = Field(0.5, gt=0, lt=1, description="probability that an input is dropped")

    def make(self, layer: nn.Module) -> NoisyLayer:
        from raysurf.stochastic.layers import DropoutLayer

        return DropoutLayer(layer, self.p)


class GaussianDropout(Noise):
    """Gaussian dropout: weights of a fixed alpha = sigma^2 / mu^2."""

    kind: ClassVar[str] = "gaussian_dropout"

    alpha: float = Field(1.0, gt=0, description="sigma^2 / mu^2; p / (1 - p) is like binary dropout of p")
    local: bool = Field(True, description="draw outputs (local reparameterisation) rather than weights")

    def make(self, layer: nn.Module) -> NoisyLayer:
        import math

        from raysurf.stochastic.layers import VariationalLayer

        return VariationalLayer(layer, "layer", math.log(self.alpha), trained=False, local=self.local)


class VariationalDropout(Noise):
    """Variational dropout: trained means and trained noise."""

    kind: ClassVar[str] = "variational_dropout"

    sharing: Literal["layer", "neuron", "weight", "additive"] = Field(
        "weight", description="what has an alpha of its own; additive trains sigma itself"
    )
    log_alpha: float = Field(-5.0, description="initial log alpha; for additive that of log sigma^2")
    prior: Literal["log_uniform", "ard"] = Field("log_uniform", description="prior of the weights")
    clip: Annotated[tuple[float, float], BeforeValidator(as_tuple)] | None = Field(
        None, description="least and largest log alpha"
    )
    local: bool = Field(True, description="draw outputs (local reparameterisation) rather than weights")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip from {self.clip[0]:g} to {self.clip[1]:g}; give the least first")
        return self

    def make(self, layer: nn.Module) -> NoisyLayer:
        from raysurf.stochastic.layers import VariationalLayer

        return VariationalLayer(layer, self.sharing, self.log_alpha, local=self.local, prior=self.prior, clip=self.clip)


class VarianceNoise(Noise):
    """A variance network's layers: weights of mean zero, whose deviations are trained."""

    kind: ClassVar[str] = "variance"
    has_free_sigma: ClassVar[bool] = True

    family: Literal["gaussian", "bernoulli", "uniform"] = Field("gaussian", description="distribution of the noise")
    local: bool = Field(True, description="draw outputs rather than weights; only with Gaussian noise")

    def make(self, layer: nn.Module) -> NoisyLayer:
        from raysurf.stochastic.layers import VarianceLayer

        return VarianceLayer(layer, self.family, self.local)

"""What the deviations of a variance network's weights begin as: a value that is searched like any other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from raysurf.errors import DataError
from raysurf.jobs.sources import WeightsJob
from raysurf.values import Node

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.job import Context
    from raysurf.jobs.network import Network


class InitialSigma(Node):
    """Gives initial deviations to variance layers. sigma is used squared, so that its sign is free."""

    PLUGS: ClassVar[str] = "initial"

    def sigma_of(self, name: str, shaped: Tensor, context: Context) -> Tensor:
        """Initial sigma of a variance layer, shaped as a tensor given; draws come from torch's global generator."""
        raise AssertionError(f"{type(self).__name__} has no values")


class UniformSigma(InitialSigma):
    """sigma from U(-1, 1) * scale / sqrt(fan-in); with a scale of 1 as in the variance networks' code."""

    kind: ClassVar[str] = "uniform"
    scale: float = Field(1.0, gt=0, description="multiple of 1 / sqrt(fan-in)")

    def sigma_of(self, name: str, shaped: Tensor, context: Context) -> Tensor:
        bound = self.scale * _bound(shaped)
        return shaped.new_empty(shaped.shape).uniform_(-bound, bound)


class ConstantSigma(InitialSigma):
    """One sigma for all weights."""

    kind: ClassVar[str] = "constant"
    sigma: float = Field(gt=0, description="standard deviation of every weight")

    def sigma_of(self, name: str, shaped: Tensor, context: Context) -> Tensor:
        return shaped.new_full(shaped.shape, self.sigma)


class KaimingSigma(InitialSigma):
    """sigma from N(0, 2 / fan-in), times scale.

    Source:
        He et al. 2015 (arXiv:1502.01852), section 2.2, forward case.
    """

    kind: ClassVar[str] = "kaiming"
    scale: float = Field(1.0, gt=0, description="multiple of it")

    def sigma_of(self, name: str, shaped: Tensor, context: Context) -> Tensor:
        return shaped.new_empty(shaped.shape).normal_() * (self.scale * math.sqrt(2.0) * _bound(shaped))


class SigmaFromMeans(InitialSigma):
    """sigma = sqrt(alpha) |mean| of trained weights: what the means knew goes to the deviations."""

    kind: ClassVar[str] = "from_means"
    of: WeightsJob = Field(description="the trained weights, of the same network")
    alpha: float = Field(1.0, gt=0, description="sigma^2 / mean^2")

    def sigma_of(self, name: str, shaped: Tensor, context: Context) -> Tensor:
        from raysurf.jobs.network import Network
        from raysurf.stochastic.effective import effective

        other = Network(self.of, context)
        other.place(*context.weights(self.of))
        # In training, to look at a weight under a spectral norm is to change it.
        layer = dict(other.model.eval().named_modules(remove_duplicate=False)).get(name)
        mean = effective(layer) if layer is not None and hasattr(layer, "weight") else None
        if mean is None or mean.shape != shaped.shape:
            raise DataError(self.of.id, f"no weights {name}.weight {tuple(shaped.shape)}", "weights of this network")
        return mean.abs() * math.sqrt(self.alpha)


class SigmaFromNoise(InitialSigma):
    """sigma of a trained variational network's weights, times scale; their means are left behind."""

    kind: ClassVar[str] = "from_variational"
    of: WeightsJob = Field(description="a variational job of the same network, with noise in the same layers")
    scale: float = Field(1.0, gt=0, description="multiple of it")

    def sigma_of(self, name: str, shaped: Tensor, context: Context) -> Tensor:
        from raysurf.jobs.network import Network
        from raysurf.stochastic.layers import noisy_layers

        other = Network(self.of, context)
        other.place(*context.weights(self.of))
        layers = noisy_layers(other.model)
        if name not in layers or layers[name].shape != shaped.shape:
            known = ", ".join(layers) or "none"
            raise DataError(self.of.id, f"no noisy layer {name}", f"noise in it (there are {known})")
        return layers[name].variance().detach().expand(shaped.shape).sqrt() * self.scale


def initialise_sigmas(net: Network, init: InitialSigma) -> None:
    """Give all layers of a network whose deviations are trained initial ones, drawn from its job's seed."""
    import torch

    from raysurf.stochastic.layers import noisy_layers
    from raysurf.training.workers import stream

    with torch.no_grad():
        for name, layer in noisy_layers(net.model).items():
            if (sigma := layer.free_sigma) is not None:
                torch.manual_seed(stream(net.job.seed, "sigma", name).getrandbits(63))
                sigma.copy_(init.sigma_of(name, sigma, net.context))


def _bound(weights: Tensor) -> float:
    """1 / sqrt(fan-in)."""
    return 1.0 / math.sqrt(weights[0].numel())

"""A noise of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from raysurf.stochastic.spec import Noise

if TYPE_CHECKING:
    from torch import Tensor, nn

    from raysurf.stochastic.layers import NoisyLayer


class Jitter(Noise):
    """Gaussian noise of one deviation about all weights of a layer."""

    kind: ClassVar[str] = "jitter"
    sigma: float = Field(0.01, gt=0, description="its standard deviation")

    def make(self, layer: nn.Module) -> NoisyLayer:
        import torch
        from torch import nn

        from raysurf.stochastic.effective import effective
        from raysurf.stochastic.layers import NoisyLayer

        sigma = self.sigma

        class JitterLayer(NoisyLayer):
            def __init__(self) -> None:
                super().__init__(layer)
                self.weight = nn.Parameter(torch.as_tensor(effective(layer)).detach().clone())

            def mean(self) -> Tensor:
                return self.weight

            def variance(self) -> Tensor:
                return self.weight.new_full(self.weight.shape, sigma**2)

        return JitterLayer()

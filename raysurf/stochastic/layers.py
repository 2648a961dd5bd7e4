"""Linear and convolution layers whose weights are random: a mean and a deviation instead of a value."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.errors import UnsupportedLayerError
from raysurf.stochastic.divergence import PRIORS
from raysurf.stochastic.draws import FRESH, Draws
from raysurf.stochastic.effective import REWEIGHTING, effective, parameter_of

Noise = Literal["sample", "mean", "zero_mean", "permuted"]
Sharing = Literal["layer", "neuron", "weight", "additive"]
Family = Literal["gaussian", "bernoulli", "uniform"]
EPSILON = 1e-16


class NoisyLayer(nn.Module):
    """A linear or convolution layer with random weights w = mu + sigma * noise, the noise of mean 0.

    The noise mode is apart from the training mode, which batch norm and dropout look at: ``sample`` draws noise,
    ``mean`` has none, ``zero_mean`` draws noise about zero (the bias stays), ``permuted`` draws it with the deviations
    shuffled over the layer's weights.

    Local reparameterisation draws a layer's outputs instead of its weights, a draw for every example and place:
    N(op(x, mu) + b, op(x^2, sigma^2)). Without it weights are drawn, one set a call.

    Args:
        layer: The layer whose place it takes; its effective weights become the means, or are left out where these are
            zero.
        local: Whether to draw outputs; only for Gaussian noise.

    Attributes:
        draws: Where its random numbers come from.

    Raises:
        UnsupportedLayerError: If it is no ``nn.Linear``, ``nn.Conv1d`` or ``nn.Conv2d`` with zero padding.

    Source:
        Kingma et al. 2015 (arXiv:1506.02557), section 2.3; modes after Neklyudov et al. 2018 (arXiv:1803.03764).
    """

    MODES: ClassVar[tuple[str, ...]] = ("sample", "mean", "zero_mean", "permuted")
    # Whether drawn outputs are normal, with the layer's moments.
    IS_NORMAL: ClassVar[bool] = True

    def __init__(self, layer: nn.Module, local: bool = True) -> None:
        super().__init__()
        self.operation = operation_of(layer)
        self.local, self.noise = local, "sample"
        self.draws = FRESH
        self.shape = torch.as_tensor(effective(layer)).shape
        self.bias = parameter_of(layer, "bias")

    def mean(self) -> Tensor | None:
        """mu, shaped as the layer's weight; None for zero."""
        raise AssertionError(f"{type(self).__name__} has no mean")

    def variance(self) -> Tensor:
        """sigma^2, shaped as the layer's weight or such that it broadcasts to it."""
        raise AssertionError(f"{type(self).__name__} has no variance")

    def kl(self) -> Tensor:
        """Divergence of all weights from their prior, in nats, a scalar; zero where it is a constant."""
        return self.variance().new_zeros(())

    @property
    def noise_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that say how much noise there is."""
        return ()

    @property
    def free_sigma(self) -> Tensor | None:
        """The deviations where they are what is trained, so that they may begin as anything; else None."""
        return None

    def clip_noise(self) -> None:
        """Put trained noise back between its limits, if it has any."""

    def unit_noise(self) -> Tensor:
        """Noise of mean 0 and variance 1 for every weight."""
        return self.draws.weights(self.shape, self.variance())

    def forward(self, inputs: Tensor) -> Tensor:
        """The layer's output, [B, ...] as the layer that it replaces gives it."""
        if self.noise == "mean":
            return self._mean_output(inputs, self.mean())
        if self.local:
            mean, deviation = self.moments(inputs)
            return torch.addcmul(mean, deviation, self.draws.normal(mean.shape, deviation))
        noise, middle = (self._variance() + EPSILON).sqrt() * self.unit_noise(), self._mean()
        return self.operation(inputs, noise if middle is None else middle + noise, self.bias)

    def moments(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every output over the noise, [B, ...] each, under Gaussian noise."""
        spread = self.operation(inputs.square(), self._variance(), None)
        # Under the root nothing is zero, whose gradient would be infinite, nor below it by rounding.
        deviation, middle = spread.clamp_min(EPSILON).sqrt(), self._mean()
        if middle is not None:
            return self._mean_output(inputs, middle), deviation
        bias = spread.new_zeros(self.shape[0]) if self.bias is None else self.bias
        # A linear layer's outputs are the last dimension, a convolution's channels the second.
        return bias.view(-1, *(1 for _ in self.shape[2:])).expand_as(spread), deviation

    def _mean(self) -> Tensor | None:
        return None if self.noise == "zero_mean" else self.mean()

    def _variance(self) -> Tensor:
        variance = self.variance().expand(self.shape)
        if self.noise != "permuted":
            return variance
        return variance.reshape(-1)[self.draws.order(variance.numel(), variance.device)].view(self.shape)

    def _mean_output(self, inputs: Tensor, mean: Tensor | None) -> Tensor:
        if mean is None:
            mean = torch.zeros(self.shape, device=inputs.device, dtype=inputs.dtype)
        return self.operation(inputs, mean, self.bias)


class DropoutLayer(NoisyLayer):
    """Binary dropout of a layer's inputs: each is zero with probability p, and else divided by 1 - p.

    Its weights are theta * b / (1 - p) with b from Bernoulli(1 - p), shared by the weights of one input: mean theta,
    variance alpha theta^2 with alpha = p / (1 - p).

    Args:
        layer: Its weights are the means.
        p: Probability, in (0, 1).

    Source:
        Srivastava et al. 2014 (JMLR 15); alpha as in Molchanov et al. 2017 (arXiv:1701.05369), section 2.
    """

    MODES = ("sample", "mean")
    IS_NORMAL = False

    def __init__(self, layer: nn.Module, p: float = 0.5) -> None:
        super().__init__(layer)
        self.p = p
        self.weight = _mean_of(layer)

    def mean(self) -> Tensor:
        return self.weight

    def variance(self) -> Tensor:
        return self.weight.square() * (self.p / (1.0 - self.p))

    def forward(self, inputs: Tensor) -> Tensor:
        assert self.noise in self.MODES, self.noise
        if self.noise == "sample":
            inputs = dropped(inputs, self.p, self.draws)
        return self.operation(inputs, self.weight, self.bias)


def dropped(inputs: Tensor, p: float, draws: Draws, whole_channels: bool = False) -> Tensor:
    """Set inputs to zero with probability p and divide the others by 1 - p.

    Args:
        inputs: [B, ...].
        p: Probability, in [0, 1).
        draws: Where the numbers come from.
        whole_channels: Whether a channel [B, C] is kept or dropped as one.
    """
    shape = (*inputs.shape[:2], *(1 for _ in inputs.shape[2:])) if whole_channels else inputs.shape
    return inputs * (draws.uniform(shape, inputs) >= p).to(inputs.dtype).div_(1.0 - p)


class VariationalLayer(NoisyLayer):
    """Variational dropout: trained means, and noise that is trained for each layer, neuron or weight, or added.

    sigma^2 = alpha mu^2, log alpha shared as ``sharing`` says; for ``additive`` log sigma^2 itself is trained.

    Args:
        layer: Its weights are the initial means.
        sharing: What has a log alpha of its own; or additive.
        log_alpha: Initial value; for additive, that of log sigma^2.
        trained: Whether the noise is trained; Gaussian dropout is a fixed alpha of the layer, and has no divergence.
        local: See ``NoisyLayer``.
        prior: Of the weights, one of ``PRIORS``.
        clip: Least and largest log alpha: what ``clip_noise`` leaves, or with additive noise what is used, where means
            that shrink must not pull their sigma along.

    Source:
        Kingma et al. 2015; Molchanov et al. 2017 (arXiv:1701.05369), additive; Neklyudov et al. 2018, sharing.
    """

    def __init__(
        self,
        layer: nn.Module,
        sharing: Sharing = "weight",
        log_alpha: float = -5.0,
        trained: bool = True,
        local: bool = True,
        prior: str = "log_uniform",
        clip: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(layer, local)
        assert sharing in get_args(Sharing), sharing
        self.sharing, self.prior, self.clip = sharing, prior, clip
        self.weight = weight = _mean_of(layer)
        ones = [1] * weight.dim()
        shapes = {"layer": ones, "neuron": [len(weight), *ones[1:]]}
        initial = torch.full(shapes.get(sharing, list(weight.shape)), float(log_alpha)).to(weight.detach())
        if trained:
            self.log_noise = nn.Parameter(initial)
        else:
            self.register_buffer("log_noise", initial)

    @property
    def log_alpha(self) -> Tensor:
        """log(sigma^2 / mu^2), as it is shared; a value for every weight if noise is additive, between its limits."""
        if self.sharing != "additive":
            return self.log_noise
        free = self.log_noise - (self.weight.square() + EPSILON).log()
        return free if self.clip is None else free.clamp(*self.clip)

    @torch.no_grad()
    def clip_noise(self) -> None:
        """Put a trained log alpha back between its limits, if it has any; that of additive noise is clipped in use."""
        if self.clip is not None and self.sharing != "additive":
            self.log_noise.clamp_(*self.clip)

    def mean(self) -> Tensor:
        return self.weight

    def variance(self) -> Tensor:
        if self.sharing == "additive" and self.clip is None:
            return self.log_noise.exp()
        return self.log_alpha.exp() * self.weight.square()

    @property
    def noise_parameters(self) -> tuple[str, ...]:
        return ("log_noise",) if isinstance(self.log_noise, nn.Parameter) else ()

    def kl(self) -> Tensor:
        if not self.noise_parameters:
            return super().kl()
        every = PRIORS[self.prior](self.log_alpha)
        return every.sum() * (self.weight.numel() / every.numel())


class VarianceLayer(NoisyLayer):
    """Weights of mean zero: all that is trained is how much they vary.

    ``sigma`` is used squared, so that its sign is free. Bernoulli noise is -1 or 1 and uniform noise from -sqrt(3) to
    sqrt(3), each times sigma: both have variance sigma^2, and are drawn for the weights, one set a call.

    Args:
        layer: Gives shapes and bias; its weights are left out.
        family: Of the noise.
        local: See ``NoisyLayer``; only Gaussian noise can be drawn so.

    Source:
        Neklyudov et al. 2018 (arXiv:1803.03764), section 3; initial sigma from U(-1, 1) / sqrt(fan-in) as in its code,
        whose Bernoulli and uniform noise has deviations of 1/2 and 1/sqrt(12) instead of 1.
    """

    def __init__(self, layer: nn.Module, family: Family = "gaussian", local: bool = True) -> None:
        super().__init__(layer, local and family == "gaussian")
        assert family in get_args(Family), family
        self.family = family
        weight = torch.as_tensor(effective(layer))
        bound = 1.0 / math.sqrt(weight[0].numel())
        self.sigma = nn.Parameter(torch.empty_like(weight).uniform_(-bound, bound))

    def mean(self) -> None:
        return None

    def variance(self) -> Tensor:
        return self.sigma.square()

    @property
    def free_sigma(self) -> Tensor:
        return self.sigma

    @property
    def noise_parameters(self) -> tuple[str, ...]:
        return ("sigma",)

    def unit_noise(self) -> Tensor:
        if self.family == "gaussian":
            return super().unit_noise()
        uniform = self.draws.weights(self.shape, self.sigma, uniform=True)
        if self.family == "bernoulli":
            return torch.where(uniform < 0.5, -1.0, 1.0).to(self.sigma)
        return (2.0 * uniform - 1.0) * math.sqrt(3.0)


def _mean_of(layer: nn.Module) -> nn.Parameter:
    mean = parameter_of(layer)
    assert mean is not None, "a layer that can be noisy has weights"
    return mean


Operation = Callable[[Tensor, Tensor, Tensor | None], Tensor]
KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d)


def operation_of(layer: nn.Module) -> Operation:
    """What a layer does with inputs, weight and bias.

    Raises:
        UnsupportedLayerError: If it is no linear or convolution layer that can be given other weights.
    """
    name, hooks = type(layer).__name__, [*layer._forward_pre_hooks.values(), *layer._forward_hooks.values()]
    if any(isinstance(layer, kind) and type(layer).forward is not kind.forward for kind in KINDS):
        raise UnsupportedLayerError(f"{name} with a forward of its own")
    if any(value.is_complex() for value in layer.parameters()):
        raise UnsupportedLayerError(f"{name} with complex weights")
    if any(not isinstance(hook, REWEIGHTING) for hook in hooks):
        raise UnsupportedLayerError(f"{name} with hooks of its own")
    if isinstance(layer, nn.Linear):
        return F.linear
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        if layer.padding_mode != "zeros":
            raise UnsupportedLayerError(f"{name} with {layer.padding_mode} padding")
        convolve = F.conv1d if isinstance(layer, nn.Conv1d) else F.conv2d
        return functools.partial(
            convolve, stride=layer.stride, padding=layer.padding, dilation=layer.dilation, groups=layer.groups
        )
    raise UnsupportedLayerError(name)


def noisy_layers(model: nn.Module) -> dict[str, NoisyLayer]:
    """Every noisy layer of a network, by name, in order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, NoisyLayer)}


@contextmanager
def noise_mode(model: nn.Module, noise: Noise) -> Iterator[None]:
    """Set the noise mode of every noisy layer, and put it back at the end."""
    assert noise in get_args(Noise), noise
    layers = noisy_layers(model).values()
    before = [layer.noise for layer in layers]
    for layer in layers:
        layer.noise = noise
    try:
        yield
    finally:
        for layer, mode in zip(layers, before, strict=True):
            layer.noise = mode

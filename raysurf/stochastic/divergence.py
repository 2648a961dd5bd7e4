"""How far a noisy weight's distribution lies from its prior and from zero-mean noise: KL divergences, SNR and MMD."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TINY = 1e-300


def signal_to_noise(mean: Tensor, variance: Tensor) -> Tensor:
    """mu^2 / sigma^2 of each weight: one over alpha.

    Args:
        mean, variance: mu and sigma^2, of shapes that broadcast; sigma^2 > 0.

    Returns:
        No unit, >= 0, of the broadcast shape.

    Source:
        Neklyudov et al. 2018 (arXiv:1803.03764), section 4.
    """
    return mean.square() / variance


def log_alpha_of(mean: Tensor, variance: Tensor) -> Tensor:
    """log(sigma^2 / mu^2) of each weight, finite for a mean of zero.

    Args:
        mean, variance: mu and sigma^2 in float64, of shapes that broadcast.
    """
    return variance.clamp_min(TINY).log() - mean.square().clamp_min(TINY).log()


def discrepancy(snr: Tensor, num_draws: int, generator: torch.Generator, chunk: int = 8192) -> tuple[float, float]:
    """Squared maximum mean discrepancy of a layer's weights N(mu, sigma^2) from N(0, sigma^2), all D weights jointly.

    Weights are measured in units of their own sigma, where the two are N(mu / sigma, I) and N(0, I), with the kernel
    k(x, y) = exp(-|x - y|^2 / (2 h^2)), h^2 = D: half the mean squared distance of two draws of the second. Then
    MMD^2 = 2 (1 + 2 / D)^(-D/2) (1 - exp(-sum(mu^2 / sigma^2) / (2 (D + 2)))),
    which for large D is 0.736 (1 - exp(-SNR / 2)) with the mean SNR: layers of any size can be compared.

    Args:
        snr: [D], mu^2 / sigma^2 of each weight, float64.
        num_draws: Draws n of each of the two, at least 2.
        generator: Decides them, on the device of ``snr``.
        chunk: Weights that are drawn at a time; 2 n of them are in memory at once.

    Returns:
        The unbiased estimate (it may be slightly negative), and the closed form.

    Source:
        Gretton et al. 2012 (JMLR 13), equation 3, and equation 1 with the Gaussian integrals done.
    """
    size, total = snr.numel(), snr.new_zeros(2 * num_draws, 2 * num_draws)
    for part in torch.split(snr, chunk):
        draws = torch.randn(2 * num_draws, len(part), dtype=snr.dtype, device=snr.device, generator=generator)
        draws[:num_draws] += part.sqrt()
        total += draws @ draws.T
    norms = total.diagonal()
    kernel = torch.exp((2.0 * total - norms[:, None] - norms[None]) / (2.0 * size))
    within = [kernel[:num_draws, :num_draws], kernel[num_draws:, num_draws:]]
    means = [(kernels.sum() - num_draws) / (num_draws * (num_draws - 1)) for kernels in within]
    estimate = means[0] + means[1] - 2.0 * kernel[:num_draws, num_draws:].mean()
    closed = 2.0 * math.exp(-0.5 * size * math.log1p(2.0 / size)) * -math.expm1(-float(snr.sum()) / (2.0 * (size + 2)))
    return float(estimate), closed


K1, K2, K3 = 0.63576, 1.8732, 1.48695


def kl_log_uniform(log_alpha: Tensor) -> Tensor:
    """Divergence from the log-uniform prior, up to the constant that makes it vanish as alpha grows.

    KL = k1 - k1 sigmoid(k2 + k3 log alpha) + log(1 + 1 / alpha) / 2

    Args:
        log_alpha: log(sigma^2 / mu^2) of each weight, any shape.

    Returns:
        Nats a weight, shaped as ``log_alpha``.

    Source:
        Molchanov et al. 2017 (arXiv:1701.05369), equation 14: an approximation fitted on log alpha in [-10, 10].
    """
    return K1 - K1 * torch.sigmoid(K2 + K3 * log_alpha) + 0.5 * F.softplus(-log_alpha)


def kl_ard(log_alpha: Tensor) -> Tensor:
    """Divergence from the zero-mean Gaussian prior whose variance is fitted to the weight.

    KL = log(1 + 1 / alpha) / 2

    Args:
        log_alpha: log(sigma^2 / mu^2) of each weight, any shape.

    Returns:
        Nats a weight, shaped as ``log_alpha``.

    Source:
        Kharitonov et al. 2018 (arXiv:1811.00596), section 4; Neklyudov et al. 2018 (arXiv:1803.03764).
    """
    return 0.5 * F.softplus(-log_alpha)


PRIORS = {"log_uniform": kl_log_uniform, "ard": kl_ard}

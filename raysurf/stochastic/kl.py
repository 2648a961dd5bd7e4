"""Kullback-Leibler divergences of a noisy weight N(mu, alpha mu^2) from its prior."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

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

"""How far a noisy weight's distribution lies from the one of the same variance about zero."""

from __future__ import annotations

import torch
from torch import Tensor


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


def mmd_closed(mean: Tensor, variance: Tensor, bandwidth: float | Tensor) -> Tensor:
    """Squared maximum mean discrepancy of N(mu, sigma^2) and N(0, sigma^2), one weight at a time.

    With the kernel k(x, y) = exp(-(x - y)^2 / (2 h^2)):
    MMD^2 = 2 h / sqrt(h^2 + 2 sigma^2) (1 - exp(-mu^2 / (2 (h^2 + 2 sigma^2))))

    Args:
        mean, variance: mu and sigma^2, of shapes that broadcast.
        bandwidth: h > 0, in units of the weight.

    Returns:
        In [0, 2), of the broadcast shape.

    Source:
        Gretton et al. 2012 (JMLR 13), equation 1, with the Gaussian integrals done.
    """
    h = torch.as_tensor(bandwidth).to(mean)
    total = h.square() + 2.0 * variance
    return 2.0 * h / total.sqrt() * -torch.expm1(-mean.square() / (2.0 * total))


def mmd_unbiased(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """Unbiased estimate of the squared maximum mean discrepancy of two samples of one variable.

    Args:
        x, y: [n] and [m] draws, n and m at least 2.
        bandwidth: h of the kernel exp(-(x - y)^2 / (2 h^2)).

    Returns:
        A scalar; it may be slightly negative.

    Source:
        Gretton et al. 2012 (JMLR 13), equation 3.
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-(a[:, None] - b[None]).square() / (2.0 * bandwidth**2))

    within = [(kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1)) for a in (x, y)]
    return within[0] + within[1] - 2.0 * kernel(x, y).mean()

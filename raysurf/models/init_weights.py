"""Initial weights that several networks share."""

from __future__ import annotations

import math

from torch import nn


def normal_by_fan_out(model: nn.Module) -> None:
    """Draw every two-dimensional convolution's weights from N(0, 2 / (k_h k_w outputs)), in place.

    Source:
        He et al. 2015 (arXiv:1502.01852), section 2.2, backward case; used by the codes of the networks that call it.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan))

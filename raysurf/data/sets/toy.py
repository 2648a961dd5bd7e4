"""The variance networks' toy problem: four Gaussians in the plane, one a class; made, not read."""

from __future__ import annotations

import numpy as np

from raysurf.data.dataset import RawSet
from raysurf.data.spec import DataSpec

CENTRES = ((3.0, 3.0), (3.0, 10.0), (10.0, 3.0), (10.0, 10.0))
EACH = 500


def read(spec: DataSpec) -> RawSet:
    """500 training and 500 test examples of each of four classes, with unit covariance about (3 or 10, 3 or 10).

    Inputs are [N, 2, 1, 1] float32, always the same numbers; none are held out for validation.

    Source:
        Neklyudov et al. 2018 (arXiv:1803.03764), toy problem of its code.
    """
    draw = np.random.default_rng(0)
    centres, labels = np.array(CENTRES), np.repeat(np.arange(len(CENTRES)), EACH)
    train, test = (
        (centres[labels] + draw.standard_normal((len(labels), 2))).astype(np.float32).reshape(-1, 2, 1, 1)
        for _ in range(2)
    )
    return RawSet(train, labels, test, labels.copy(), len(CENTRES), 0, scale=1.0)

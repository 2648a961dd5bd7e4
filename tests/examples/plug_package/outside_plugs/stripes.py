"""A data set."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Split = tuple[NDArray[Any], NDArray[Any]]


def stripes(count: int = 200) -> tuple[Split, Split]:
    """Images with a bright column, whose number is the class; a fourth of ``count`` to test on."""

    def split(size: int, seed: int) -> Split:
        labels = np.arange(size) % 4
        images = np.random.default_rng(seed).integers(0, 100, (size, 1, 4, 4), dtype=np.uint8)
        images[np.arange(size), 0, :, labels] += 100
        return images, labels

    return split(count, 0), split(count // 4, 1)

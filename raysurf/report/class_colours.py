"""A colour and a marker a class, and the lightness that says how sure an answer is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb

from raysurf.report.input_rows import Whole
from raysurf.report.trace import Array
from raysurf.report.two_panels import OKABE_ITO

MARKERS = "os^DvPX*"
STRENGTHS = 0.1, 0.75
FLAT = 0.45


def colour_of(number: int) -> str:
    """The colour of a class, by its place among the classes."""
    return OKABE_ITO[number % len(OKABE_ITO)]


def marker_of(number: int) -> str:
    """Its marker; where colours come again, markers differ."""
    return MARKERS[number % len(MARKERS)]


def strength_of(confidence: Array, num_classes: int) -> Array:
    """How strong a colour is: from faint at a guess, a confidence of 1 / num_classes, to strong at 1."""
    guess = 1.0 / max(num_classes, 2)
    sure = np.clip((confidence - guess) / (1.0 - guess), 0.0, 1.0)
    found: Array = STRENGTHS[0] + (STRENGTHS[1] - STRENGTHS[0]) * sure
    return found


def shaded(answer: Whole, strength: Array, classes: Sequence[int]) -> Array:
    """An image: the colour of each answer, mixed with white.

    Args:
        answer: Classes, shape (h, w); -1 is nothing, and transparent.
        strength: Share of the colour, in [0, 1], shape (h, w).
        classes: The classes, in order.

    Returns:
        Shape (h, w, 4): red, green, blue and opacity.
    """
    image = np.zeros((*answer.shape, 4))
    for number, each in enumerate(classes):
        at = answer == each
        mix = strength[at][:, None]
        image[at, :3] = mix * np.array(to_rgb(colour_of(number))) + (1.0 - mix)
        image[at, 3] = 1.0
    return image

"""Text to the right of a panel's lines, at the height of their ends and apart from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from raysurf.report.trace import Array

LINE_POINTS = 10.0


@dataclass(frozen=True)
class MarginLabel:
    """Text that belongs to a height.

    Args:
        text: What it says.
        value: The height, in the data's coordinates.
        colour: Of the text.
        is_bold: Whether it is.
    """

    text: str
    value: float
    colour: str
    is_bold: bool


def write_beside(panel: Axes, labels: Sequence[MarginLabel], x: float) -> None:
    """Write labels to the right of ``x``, as near to their heights as they fit; those of no finite height are not.

    Args:
        panel: All else drawn, and its limits final.
        labels: In any order.
        x: Where the lines end, in the data's coordinates.
    """
    found = sorted((label for label in labels if np.isfinite(label.value)), key=lambda label: label.value)
    if not found:
        return
    points = 72 / panel.figure.dpi
    heights = panel.transData.transform([(x, label.value) for label in found])[:, 1] * points
    places = apart(heights, LINE_POINTS, panel.get_window_extent().y0 * points + LINE_POINTS / 2)
    for label, height, place in zip(found, heights, places, strict=True):
        panel.annotate(
            label.text,
            (x, label.value),
            xytext=(8, place - height),
            textcoords="offset points",
            va="center",
            color=label.colour,
            fontsize=8.5,
            fontweight="bold" if label.is_bold else "normal",
            annotation_clip=False,
        )


def apart(heights: Array, gap: float, lowest: float = -np.inf) -> Array:
    """Heights moved as little as keeps their order and a gap between neighbours; those that touch keep their middle.

    Args:
        heights: Ascending, shape (n,).
        gap: The least distance, in the same unit.
        lowest: What none may be below.
    """

    def bottom(block: Sequence[float]) -> float:
        return max(float(np.mean(block)) - gap * (len(block) - 1) / 2, lowest)

    blocks: list[list[float]] = []
    for height in heights:
        blocks.append([float(height)])
        while len(blocks) > 1 and bottom(blocks[-1]) < bottom(blocks[-2]) + gap * len(blocks[-2]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return np.array([bottom(block) + gap * i for block in blocks for i in range(len(block))])

"""Placement of labels: beside points, and in the margin of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from raysurf.report.pictures.axes import Array

Box = tuple[float, float, float, float]
DIRECTIONS = tuple((float(np.cos(angle)), float(np.sin(angle))) for angle in np.arange(16) * np.pi / 8)
RADII = (7.0, 14.0, 24.0, 38.0, 56.0, 80.0)
LEADER_FROM = 14.0
AMBIGUOUS = 30.0
MARKER_POINTS = 5.0


@dataclass(frozen=True)
class Label:
    """Text that belongs to a point, in the data's coordinates."""

    text: str
    x: float
    y: float
    colour: str = "black"


def place_labels(axes: Axes, labels: Sequence[Label], lines: Sequence[Array] = (), **style: Any) -> list[Text]:
    """Write labels near their points, each in the place that costs least given those written before.

    Args:
        axes: The panel, all else drawn and its limits final.
        labels: The more important first.
        lines: Lines not to write over, of shape (n, 2), in the data's coordinates.
        **style: Of the text, as matplotlib takes it.
    """
    if not labels:
        return []
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    pixels = figure.dpi / 72
    panel = axes.get_window_extent()
    anchors = axes.transData.transform([(label.x, label.y) for label in labels])
    markers = np.concatenate([anchors - MARKER_POINTS * pixels, anchors + MARKER_POINTS * pixels], axis=1)
    taken: list[Box] = [(left, bottom, right, top) for left, bottom, right, top in markers.tolist()]
    covered = np.concatenate([np.empty((0, 2)), *(dense(axes.transData.transform(line)) for line in lines)])
    written: list[Text] = []
    for label, anchor in zip(labels, anchors, strict=True):
        place: dict[str, Any] = {"xy": (label.x, label.y), "textcoords": "offset points"}
        text = axes.annotate(label.text, xytext=(0, 0), color=label.colour, **place, **style)
        text.set_in_layout(False)
        written.append(text)
        extent = text.get_window_extent()
        choices = []
        for radius in RADII:
            for direction in DIRECTIONS:
                box = _box(anchor, direction, radius * pixels, extent.width, extent.height)
                cost = _cost(anchor, box, taken, covered, panel) + radius * pixels
                choices.append((cost + AMBIGUOUS * _is_ambiguous(anchor, box, anchors), box, direction, radius))
        _, box, direction, radius = min(choices, key=lambda choice: choice[0])
        taken.append(box)
        right, up = _alignment(direction)
        text.set(ha=("center", "left", "right")[right], va=("center", "bottom", "top")[up])
        at = direction[0] * radius, direction[1] * radius
        text.set_position(at)
        if radius >= LEADER_FROM or _is_ambiguous(anchor, box, anchors):
            arrow = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.7, "shrinkB": 4}
            axes.annotate("", xytext=at, arrowprops=arrow, **place).set_in_layout(False)
    return written


def _alignment(direction: tuple[float, float]) -> tuple[int, int]:
    """The side of the text that lies towards its point: 1 is its left or bottom, -1 its right or top, 0 neither."""
    dx, dy = direction
    return (dx > 0.5) - (dx < -0.5), (dy > 0.3) - (dy < -0.3)


def _box(anchor: Array, direction: tuple[float, float], radius: float, width: float, height: float) -> Box:
    (x, y), (right, up) = anchor + np.array(direction) * radius, _alignment(direction)
    left, bottom = x - width * (1 - right) / 2, y - height * (1 - up) / 2
    return left, bottom, left + width, bottom + height


def _cost(anchor: Array, box: Box, taken: Sequence[Box], covered: Array, panel: Any) -> float:
    """In pixels of detour: text on text or out of the panel is never worth it, text or a leader on a line seldom."""
    left, bottom, right, top = box
    out = max(panel.x0 + 2 - left, 0) + max(right - panel.x1 + 2, 0) + max(panel.y0 + 2 - bottom, 0)
    out += max(top - panel.y1 + 2, 0)
    shared = sum(
        max(min(right, other[2]) - max(left, other[0]), 0) * max(min(top, other[3]) - max(bottom, other[1]), 0)
        for other in taken
    )
    leader = np.linspace(anchor, np.clip(anchor, (left, bottom), (right, top)), 12)
    own = [other for other in taken if _inside(other, anchor[None])[0]]
    crossed = sum(int(_inside(other, leader).sum()) for other in taken if other not in own)
    return float(100.0 * out + 10.0 * shared + 6.0 * _inside(box, covered).sum() + 25.0 * crossed)


def _is_ambiguous(anchor: Array, box: Box, anchors: Array) -> bool:
    """Whether text stands nearer to another point than to its own, so that only a leader tells whose it is."""
    gaps = np.hypot(*(anchors - np.clip(anchors, box[:2], box[2:])).T)
    own = np.hypot(*(anchor - np.clip(anchor, box[:2], box[2:])))
    return bool((gaps < own - 1e-9).any())


def _inside(box: Box, at: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    left, bottom, right, top = box
    inside: np.ndarray[Any, np.dtype[np.bool_]] = np.all((at > (left, bottom)) & (at < (right, top)), axis=1)
    return inside


def dense(line: Array) -> Array:
    """Points every few pixels along a line, both in pixels; NaN is left out."""
    line = line[np.isfinite(line).all(axis=1)]
    if len(line) < 2:
        return line
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0.0, lengths[-1], max(int(lengths[-1] / 3), 2))
    return np.stack([np.interp(at, lengths, line[:, 0]), np.interp(at, lengths, line[:, 1])], axis=1)


LINE_POINTS = 10.0


@dataclass(frozen=True)
class MarginLabel:
    """Text that belongs to a height, in the data's coordinates."""

    text: str
    value: float
    colour: str
    is_bold: bool


def write_beside(panel: Axes, labels: Sequence[MarginLabel], x: float) -> None:
    """Write labels to the right of ``x``, as near to their heights as they fit; those of no finite height are not.

    All else is drawn on the panel, and its limits are final; ``x`` is where the lines end, in the data's coordinates.
    """
    listed = sorted((label for label in labels if np.isfinite(label.value)), key=lambda label: label.value)
    if not listed:
        return
    points = 72 / panel.figure.dpi
    heights = panel.transData.transform([(x, label.value) for label in listed])[:, 1] * points
    places = apart(heights, LINE_POINTS, panel.get_window_extent().y0 * points + LINE_POINTS / 2)
    for label, height, place in zip(listed, heights, places, strict=True):
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

    ``heights`` are ascending, of shape (n,), in the unit of ``gap`` and of ``lowest``, which none is below.
    """

    def bottom(block: Sequence[float]) -> float:
        return max(float(np.mean(block)) - gap * (len(block) - 1) / 2, lowest)

    blocks: list[list[float]] = []
    for height in heights:
        blocks.append([float(height)])
        while len(blocks) > 1 and bottom(blocks[-1]) < bottom(blocks[-2]) + gap * len(blocks[-2]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return np.array([bottom(block) + gap * i for block in blocks for i in range(len(block))])

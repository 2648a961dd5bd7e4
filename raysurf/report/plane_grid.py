"""One panel of a plane: filled classes, labelled contours, and hatching where nothing was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from raysurf.report.label_placement import dense
from raysurf.report.plane_rows import Plane
from raysurf.report.plane_scale import Scale
from raysurf.report.trace import Array

NOTHING: dict[str, Any] = {"facecolor": "#f2f2f2", "edgecolor": "#c4c4c4", "hatch": "///"}


def draw_grid(panel: Axes, plane: Plane, quantity: str, scale: Scale) -> list[Text]:
    """Fill a panel with one quantity of a plane, with labelled contours; hatched where there is no figure.

    Returns:
        The contours' labels.
    """
    values, texts = plane.values(quantity), []
    panel.add_patch(Rectangle((0, 0), 1, 1, transform=panel.transAxes, zorder=-1, **NOTHING))
    alone = measured_alone(values)
    if alone.sum() < np.isfinite(values).sum():
        colours: dict[str, Any] = {"cmap": scale.cmap, "norm": scale.norm}
        extend = "max" if scale.is_open else "neither"
        panel.contourf(plane.x, plane.y, values, levels=scale.edges, extend=extend, zorder=0, **colours)
        style: dict[str, Any] = {"colors": "white", "linewidths": 0.7, "alpha": 0.8, "zorder": 1}
        contours = panel.contour(plane.x, plane.y, values, levels=scale.levels[1:], **style)
        panel.clabel(contours, scale.levels[1::2], inline=False, fmt=scale.texts, fontsize=7, colors="black", zorder=2)
        for text in contours.labelTexts:
            text.set_path_effects([withStroke(linewidth=2, foreground="white", alpha=0.9)])
            texts.append(text)
    line, column = np.nonzero(alone)
    dots: dict[str, Any] = {"c": values[line, column], "cmap": scale.cmap, "norm": scale.norm, "s": 14, "zorder": 2}
    panel.scatter(plane.x[column], plane.y[line], **dots)
    corners = np.concatenate([_corners(plane.x, plane.y), *(mark.line for mark in plane.landmarks)])
    if len(corners):
        (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
        pad = 0.0 if len(plane.x) > 1 and len(plane.y) > 1 else 0.05 * max(right - left, top - bottom, 1e-9)
        panel.set_xlim(left - pad, right + pad)
        panel.set_ylim(bottom - pad, top + pad)
    return texts


def measured_alone(values: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Points that have a figure but stand in no triangle of three that have, so that no filled contour shows them."""
    known = np.isfinite(values)
    corners = known[:-1, :-1].astype(int) + known[1:, :-1] + known[:-1, 1:] + known[1:, 1:]
    filled = np.pad(corners >= 3, 1)
    touches = filled[:-1, :-1] | filled[1:, :-1] | filled[:-1, 1:] | filled[1:, 1:]
    alone: np.ndarray[Any, np.dtype[np.bool_]] = known & ~touches
    return alone


def drop_labels(panel: Axes, texts: Sequence[Text], lines: Sequence[Array], others: Sequence[Text]) -> None:
    """Take away contours' labels that are cut off or stand on something; the colour bar says all levels.

    Args:
        panel: The panel, its layout final.
        texts: The labels.
        lines: What is drawn over the contours, each of shape (n, 2), in the data's coordinates.
        others: Other text.
    """
    covered = np.concatenate([np.empty((0, 2)), *(dense(panel.transData.transform(line)) for line in lines)])
    kept, outer = list(others), panel.get_window_extent()
    for text in texts:
        extent = text.get_window_extent().padded(4)
        cut = not (outer.contains(extent.x0, extent.y0) and outer.contains(extent.x1, extent.y1))
        if (
            cut
            or any(extent.contains(x, y) for x, y in covered)
            or any(extent.overlaps(other.get_window_extent()) for other in kept)
        ):
            text.remove()
        else:
            kept.append(text)


def _corners(x: Array, y: Array) -> Array:
    return np.array([[x[0], y[0]], [x[-1], y[-1]]]) if len(x) else np.empty((0, 2))

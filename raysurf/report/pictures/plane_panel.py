"""Planes as arrays, and one panel of a plane: its colour scale, contours and hatching."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from raysurf.report.pictures.axes import QUANTITIES, Array, told_apart
from raysurf.report.pictures.kind import Rows, points_of
from raysurf.report.placement import dense

NUM_CLASSES = 7
LOWEST_SPREAD = 50.0
NOTHING: dict[str, Any] = {"facecolor": "#f2f2f2", "edgecolor": "#c4c4c4", "hatch": "///"}


@dataclass(frozen=True)
class Landmark:
    """Weights, a curve or a path (``geometry``) of a run, projected onto a plane.

    Args:
        line: The projection, in order, shape (n, 2); weights have one point.
        off_plane: The largest distance from the plane.
    """

    name: str
    geometry: str
    line: Array
    off_plane: float
    source: str = ""


@dataclass(frozen=True)
class Plane:
    """A grid of values; a point that is not measured yet, or failed, is NaN.

    Args:
        x: Columns, in weight distance, ascending, shape (nx,).
        y: Rows, the same, shape (ny,).
        values: Train loss with L2, nats a sample, and test error, a fraction, each of shape (ny, nx).
    """

    label: str
    x: Array
    y: Array
    values: Mapping[str, Array]
    landmarks: tuple[Landmark, ...]


def read_plane(surface: Rows, landmarks: Rows, run_id: str, label: str) -> Plane:
    """The plane of one run, from rows of both tables, of any runs, in any order."""
    points = [point for point in points_of(surface, run_id) if point["x"] is not None and point["y"] is not None]
    x, columns = _grid_lines([point["x"] for point in points])
    y, lines = _grid_lines([point["y"] for point in points])
    grids = {quantity: np.full((len(y), len(x)), np.nan) for quantity in QUANTITIES}
    for quantity, grid in grids.items():
        grid[lines, columns] = [point[quantity] for point in points]
    marks = tuple(_landmarks(row for row in landmarks if row["run_id"] == run_id))
    return Plane(label, x, y, grids, marks)


def _grid_lines(at: list[float]) -> tuple[Array, np.ndarray[Any, Any]]:
    """The grid's lines in ascending order, and the number of the line that each value stands on.

    Points come from several workers, so that values of one line may differ in their last digits. Lines are evenly
    spaced; those that no point was measured on yet are there as well, so that nothing is drawn across the hole.
    """
    if not at:
        return np.empty(0), np.empty(0, int)
    values = np.array(at)
    order = np.sort(values)
    gaps = np.diff(order)
    gaps = gaps[gaps > 1e-4 * np.ptp(order)]
    if not len(gaps):
        return order[:1], np.zeros(len(values), int)
    lines: Array = np.linspace(order[0], order[-1], round(float(np.ptp(order) / gaps.min())) + 1)
    return lines, np.rint((values - order[0]) / (lines[1] - lines[0])).astype(int)


def _landmarks(rows: Iterable[Mapping[str, Any]]) -> Iterable[Landmark]:
    points: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        points.setdefault(row["landmark"], []).append(row)
    for _, line in sorted(points.items()):
        line.sort(key=lambda row: int(row["position"]))
        places = np.array([[row["x"], row["y"]] for row in line])
        off_plane = max(row["off_plane"] for row in line)
        yield Landmark(line[0]["name"], line[0]["geometry"], places, off_plane, line[0]["source"])


@dataclass(frozen=True)
class Scale:
    """Classes of values and their colours.

    Args:
        levels: Bounds of the classes, ascending, shape (NUM_CLASSES + 1,); the first is the least value.
        is_open: Whether there are values above the last level, drawn in a colour of their own.
        colours: One a class, and one more for what lies above if there is such.
    """

    levels: Array
    is_open: bool
    colours: Array

    @property
    def cmap(self) -> Colormap:
        """The classes' colours."""
        return ListedColormap(self.colours[:NUM_CLASSES]).with_extremes(over=self.colours[-1])

    @property
    def texts(self) -> dict[float, str]:
        """How each level is written: with as many digits, three at least, as tell them apart."""
        levels = self.levels.tolist()
        return dict(zip(levels, told_apart(levels), strict=True))

    @property
    def edges(self) -> Array:
        """The levels with the outer ones a hair further out, so that the values on them are inside."""
        hair = 1e-6 * (self.levels[-1] - self.levels[0])
        edges = self.levels.copy()
        edges[[0, -1]] += [-hair, hair]
        return edges

    @property
    def norm(self) -> BoundaryNorm:
        """From a value to its class."""
        return BoundaryNorm(self.edges, NUM_CLASSES)


def scale_of(values: Array, bound: float, log_alpha: float, style: str = "viridis_r") -> Scale:
    """The scale that all planes of a row share.

    level_k = zmin + exp(a + k (log(zmax - zmin) - a) / N), with level_0 = zmin: the colour is linear in
    log(z - zmin).

    Args:
        values: All values of the planes, in any shape; NaN where there is none.
        bound: zmax is the largest value, or this if it is less; larger ones are one open class. If nearly everything
            lies above it, zmax is the values' median instead.
        log_alpha: a, the log of the resolution at the lowest value. Flatter planes take a smaller one, so that they
            are not all of one class.
        style: Name of a matplotlib colour map.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), figures 1 and 4, and the reference code's plane_plot.py; there
        the colour map is ``jet_r`` and errors are percent.
    """
    known = values[np.isfinite(values)]
    lowest, highest = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    top = min(highest, bound)
    if len(known) and bound < lowest + 0.1 * (float(np.median(known)) - lowest):
        top = float(np.median(known))
    span = max(top - lowest, 1e-6 * max(1.0, abs(lowest)))
    a = min(log_alpha, np.log(span) - np.log(LOWEST_SPREAD))
    levels = lowest + np.exp(a + np.arange(NUM_CLASSES + 1) * (np.log(span) - a) / NUM_CLASSES)
    levels[0], levels[-1] = lowest, lowest + span
    is_open = highest > levels[-1] + 1e-6 * span
    colours = matplotlib.colormaps[style](np.linspace(0.02, 1.0, NUM_CLASSES + is_open))
    return Scale(levels, is_open, colours)


def draw_grid(panel: Axes, plane: Plane, quantity: str, scale: Scale) -> list[Text]:
    """Fill a panel with one quantity of a plane, hatched where it has no value; returns the labels of its contours."""
    values, texts = plane.values[quantity], []
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
    grid = [np.stack([plane.x[[0, -1]], plane.y[[0, -1]]], axis=1)] if len(plane.x) else []
    corners = np.concatenate([np.empty((0, 2)), *grid, *(mark.line for mark in plane.landmarks)])
    if len(corners):
        (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
        pad = 0.0 if len(plane.x) > 1 and len(plane.y) > 1 else 0.05 * max(right - left, top - bottom, 1e-9)
        panel.set_xlim(left - pad, right + pad)
        panel.set_ylim(bottom - pad, top + pad)
    return texts


def measured_alone(values: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Points that have a value but stand in no triangle of three that have, so that no filled contour shows them."""
    known = np.isfinite(values)
    corners = known[:-1, :-1].astype(int) + known[1:, :-1] + known[:-1, 1:] + known[1:, 1:]
    filled = np.pad(corners >= 3, 1)
    touches = filled[:-1, :-1] | filled[1:, :-1] | filled[:-1, 1:] | filled[1:, 1:]
    alone: np.ndarray[Any, np.dtype[np.bool_]] = known & ~touches
    return alone


def drop_labels(panel: Axes, texts: Sequence[Text], lines: Sequence[Array], others: Sequence[Text]) -> None:
    """Remove labels of contours that are cut off or stand on something; the colour bar says all levels.

    Args:
        panel: Its layout is final.
        texts: The labels.
        lines: What is drawn over the contours, of shape (n, 2), in the data's coordinates.
        others: Other text.
    """
    covered = np.concatenate([np.empty((0, 2)), *(dense(panel.transData.transform(line)) for line in lines)])
    kept, outer = list(others), panel.get_window_extent()
    for text in texts:
        extent = text.get_window_extent().padded(4)
        cut = not (outer.contains(extent.x0, extent.y0) and outer.contains(extent.x1, extent.y1))
        on_line = any(extent.contains(x, y) for x, y in covered)
        if cut or on_line or any(extent.overlaps(other.get_window_extent()) for other in kept):
            text.remove()
        else:
            kept.append(text)

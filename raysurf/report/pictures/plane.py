"""The picture of planes: train loss above, test error below, with weights, curves and paths drawn on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from raysurf.report.pictures.plane_panel import NOTHING, Plane, Scale, draw_grid, drop_labels, scale_of
from raysurf.report.pictures.trace import QUANTITY_TEXTS, LineStyle
from raysurf.report.placement import Label, place_labels

BOUNDS = {"loss": 5.0, "error": 0.4}
LOG_ALPHAS = {"loss": -5.0, "error": -1.0 - float(np.log(100.0))}
BLACK = "black"
STYLES: dict[str, tuple[LineStyle, ...]] = {"curve": ("-", (0, (6, 1, 1, 1))), "path": ("--", ":")}
OFF_PLANE_SHARE = 0.02
LINE_WIDTH = 2.2
# A curve or path by kind, name and run, with its colour, style and name in the legend.
Looks = dict[tuple[str, str, str], tuple[str, LineStyle, str]]
HALO = [withStroke(linewidth=2.5, foreground="white")]


def plane_figure(
    planes: Sequence[Plane],
    *,
    title: str,
    data: str,
    style: str = "viridis_r",
    colours: Mapping[str, str] = MappingProxyType({}),
) -> Figure:
    """Draw planes side by side; those of a row share their colours, so that they can be compared.

    Weights are filled circles, hollow if they lie off the plane by more than OFF_PLANE_SHARE of its size. Points
    without figures are hatched.

    Args:
        planes: One a column.
        title: Above the picture.
        data: Name of the data set, for the colour bars.
        style: Name of a matplotlib colour map.
        colours: Those of curves and paths, by run; others are black.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), figures 1 and 4.
    """
    shape = _shape(planes)
    figure = Figure(figsize=(1.7 + 4.0 * len(planes), 1.6 + 2 * 3.6 * shape), layout="compressed")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(planes), squeeze=False)
    looks = _looks(planes, colours)
    contours: dict[Axes, list[Text]] = {}
    for panels, (quantity, text) in zip(grid, QUANTITY_TEXTS.items(), strict=True):
        scale = scale_of(
            np.concatenate([plane.values(quantity).ravel() for plane in planes]),
            BOUNDS[quantity],
            LOG_ALPHAS[quantity],
            style,
        )
        for panel, plane in zip(panels, planes, strict=True):
            contours[panel] = draw_grid(panel, plane, quantity, scale)
            panel.set_box_aspect(shape)
            _draw_landmarks(panel, plane, looks)
        panels[0].set_ylabel("weight distance")
        _colour_bar(figure, panels, scale, f"{data} {text}".strip())
    for above, below in zip(*grid, strict=True):
        above.tick_params(labelbottom=False)
        below.set_xlabel("weight distance")
    if len(planes) > 1:
        for panel, plane in zip(grid[0], planes, strict=True):
            panel.set_title(plane.label, fontsize=10)
    figure.suptitle(title, fontsize=12)
    _legend(figure, planes, looks)
    figure.draw_without_rendering()
    for panels in grid:
        for panel, plane in zip(panels, planes, strict=True):
            weights = [mark for mark in plane.landmarks if mark.geometry == "weights"]
            labels = [Label(mark.name, *mark.line[0]) for mark in weights]
            lines = [mark.line for mark in plane.landmarks if mark.geometry != "weights"]
            written = place_labels(panel, labels, lines, fontsize=9, path_effects=HALO, zorder=7)
            drop_labels(panel, contours[panel], [mark.line for mark in plane.landmarks], written)
    return figure


def _draw_landmarks(panel: Axes, plane: Plane, looks: Looks) -> None:
    size = float(np.hypot(np.ptp(plane.x), np.ptp(plane.y))) if len(plane.x) else 0.0
    for mark in plane.landmarks:
        if mark.geometry == "weights":
            fill = "white" if mark.off_plane > OFF_PLANE_SHARE * size else "black"
            panel.plot(
                *mark.line.T, "o", markersize=7, color="white", markeredgecolor="white", markeredgewidth=3, zorder=5
            )
            panel.plot(*mark.line.T, "o", markersize=7, markerfacecolor=fill, markeredgecolor="black", zorder=6)
        else:
            colour, style, _ = looks[mark.geometry, mark.name, mark.source]
            panel.plot(*mark.line.T, color="white", linewidth=5, alpha=0.85, zorder=3)
            panel.plot(*mark.line.T, color=colour, linewidth=LINE_WIDTH, linestyle=style, zorder=4)


def _colour_bar(figure: Figure, panels: Sequence[Axes], scale: Scale, text: str) -> None:
    mappable = ScalarMappable(scale.norm, scale.cmap)
    bar = figure.colorbar(
        mappable,
        ax=list(panels),
        extend="max" if scale.is_open else "neither",
        spacing="uniform",
        ticks=scale.levels,
        shrink=0.95,
        aspect=25,
    )
    bar.ax.set_yticklabels(list(scale.texts.values()))
    bar.ax.minorticks_off()
    bar.set_label(text)


def _looks(planes: Sequence[Plane], colours: Mapping[str, str]) -> Looks:
    """The same in all panels; styles tell those of one colour apart, and planes or runs those of one name."""
    first: dict[tuple[str, str, str], str] = {}
    for plane in planes:
        for mark in plane.landmarks:
            if mark.geometry != "weights":
                first.setdefault((mark.geometry, mark.name, mark.source), plane.label)
    names = Counter(name for _, name, _ in first)
    places = Counter((name, label) for (_, name, _), label in first.items())
    drawn = Counter[tuple[str, str]]()
    found: Looks = {}
    for (geometry, name, source), label in first.items():
        colour, styles, called = colours.get(source, BLACK), STYLES[geometry], name
        if names[name] > 1:
            called = f"{name}, {source if places[name, label] > 1 else label.removeprefix(name).lstrip(', ')}"
        found[geometry, name, source] = colour, styles[drawn[geometry, colour] % len(styles)], called
        drawn[geometry, colour] += 1
    return found


def _legend(figure: Figure, planes: Sequence[Plane], looks: Looks) -> None:
    handles: list[Artist] = [
        Line2D([], [], color=colour, linewidth=LINE_WIDTH, linestyle=style, label=called)
        for colour, style, called in looks.values()
    ]
    if any(not np.isfinite(plane.values(quantity)).all() for plane in planes for quantity in QUANTITY_TEXTS):
        handles.append(Rectangle((0, 0), 1, 1, **NOTHING, label="no figures"))
    if handles:
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(len(handles), 2 + len(planes)), frameon=False
        )


def _shape(planes: Sequence[Plane]) -> float:
    """Height over width of every panel: that of the planes where they are alike, and within bounds that can be read.

    The plane of a curve may be twenty times as long as it is high; its axes then have scales of their own.
    """
    extents = [(float(np.ptp(plane.x)), float(np.ptp(plane.y))) for plane in planes if len(plane.x)]
    shapes = [height / width for width, height in extents if width > 0]
    return min(max(float(np.median(shapes)), 0.65), 1.2) if shapes else 1.0

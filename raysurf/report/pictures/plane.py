"""The picture of planes: train loss above, test error below, with weights, curves and paths drawn on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from raysurf.report.pictures.axes import (
    QUANTITY_TEXTS,
    LineStyle,
    Plotted,
    new_figure,
    numbers,
    plain_text,
    plotly_axis,
    plotly_text,
    told_apart,
)
from raysurf.report.pictures.kind import Picture, PictureKind
from raysurf.report.pictures.plane_panel import NOTHING, Plane, draw_grid, drop_labels, read_plane, scale_of
from raysurf.report.placement import Label, place_labels
from raysurf.report.runs import Wanted

BOUNDS = {"loss": 5.0, "error": 0.4}
LOG_ALPHAS = {"loss": -5.0, "error": -1.0 - float(np.log(100.0))}
BLACK = "black"
STYLES: dict[str, tuple[LineStyle, ...]] = {"curve": ("-", (0, (6, 1, 1, 1))), "path": ("--", ":")}
OFF_PLANE_SHARE = 0.02
LINE_WIDTH = 2.2
# A curve or path by kind, name and run, with its colour, style and name in the legend.
Looks = dict[tuple[str, str, str], tuple[str, LineStyle, str]]
HALO = [withStroke(linewidth=2.5, foreground="white")]


def _planes(picture: Picture) -> list[Plane]:
    return [read_plane(picture.rows, picture.landmarks, run.run_id, picture.labels[run.run_id]) for run in picture.runs]


@plain_text()
def plane_figure(picture: Picture) -> Figure:
    """Draw planes side by side; those of a row share their colours, so that they can be compared.

    Weights are filled circles, hollow if they lie off the plane by more than OFF_PLANE_SHARE of its size. Points
    without values are hatched.

    Source:
        Garipov et al. 2018 (arXiv:1802.10026), figures 1 and 4.
    """
    planes = _planes(picture)
    shape = _shape(planes)
    figure = new_figure(1.7 + 4.0 * len(planes), 1.6 + 2 * 3.6 * shape, picture.title, layout="compressed")
    grid = figure.subplots(2, len(planes), squeeze=False)
    looks = _looks(planes, picture.colours)
    contours: dict[Axes, list[Text]] = {}
    for panels, (quantity, text) in zip(grid, QUANTITY_TEXTS.items(), strict=True):
        values = np.concatenate([plane.values[quantity].ravel() for plane in planes])
        scale = scale_of(values, BOUNDS[quantity], LOG_ALPHAS[quantity])
        for panel, plane in zip(panels, planes, strict=True):
            contours[panel] = draw_grid(panel, plane, quantity, scale)
            panel.set_box_aspect(shape)
            _draw_landmarks(panel, plane, looks)
        panels[0].set_ylabel("weight distance")
        place: dict[str, Any] = {"ax": list(panels), "shrink": 0.95, "aspect": 25}
        classes: dict[str, Any] = {"ticks": scale.levels, "extend": "max" if scale.is_open else "neither"}
        bar = figure.colorbar(ScalarMappable(scale.norm, scale.cmap), spacing="uniform", **classes, **place)
        bar.ax.set_yticklabels(list(scale.texts.values()))
        bar.ax.minorticks_off()
        bar.set_label(f"{picture.data} {text}".strip())
    for above, below in zip(*grid, strict=True):
        above.tick_params(labelbottom=False)
        below.set_xlabel("weight distance")
    if len(planes) > 1:
        for panel, plane in zip(grid[0], planes, strict=True):
            panel.set_title(plane.label, fontsize=10)
    handles: list[Artist] = [
        Line2D([], [], color=colour, linewidth=LINE_WIDTH, linestyle=style, label=called)
        for colour, style, called in looks.values()
    ]
    if any(not np.isfinite(plane.values[quantity]).all() for plane in planes for quantity in QUANTITY_TEXTS):
        handles.append(Rectangle((0, 0), 1, 1, **NOTHING, label="no values"))
    if handles:
        columns = min(len(handles), 2 + len(planes))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
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
            halo: dict[str, Any] = {"color": "white", "markeredgecolor": "white", "markeredgewidth": 3}
            panel.plot(*mark.line.T, "o", markersize=7, zorder=5, **halo)
            panel.plot(*mark.line.T, "o", markersize=7, markerfacecolor=fill, markeredgecolor="black", zorder=6)
        else:
            colour, style, _ = looks[mark.geometry, mark.name, mark.source]
            panel.plot(*mark.line.T, color="white", linewidth=5, alpha=0.85, zorder=3)
            panel.plot(*mark.line.T, color=colour, linewidth=LINE_WIDTH, linestyle=style, zorder=4)


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
    looks: Looks = {}
    for (geometry, name, source), label in first.items():
        colour, styles, called = colours.get(source, BLACK), STYLES[geometry], name
        if names[name] > 1:
            called = f"{name}, {source if places[name, label] > 1 else label.removeprefix(name).lstrip(', ')}"
        looks[geometry, name, source] = colour, styles[drawn[geometry, colour] % len(styles)], called
        drawn[geometry, colour] += 1
    return looks


def _shape(planes: Sequence[Plane]) -> float:
    """Height over width of every panel: that of the planes where they are alike, and within bounds that can be read.

    The plane of a curve may be twenty times as long as it is high; its axes then have scales of their own.
    """
    extents = [(float(np.ptp(plane.x)), float(np.ptp(plane.y))) for plane in planes if len(plane.x)]
    shapes = [height / width for width, height in extents if width > 0]
    return min(max(float(np.median(shapes)), 0.65), 1.2) if shapes else 1.0


MARKER = {"color": "black", "size": 10, "line": {"color": "white", "width": 1.5}}
WRITTEN = {"color": "black", "shadow": "0 0 3px white, 0 0 3px white, 0 0 3px white"}


def _plotly(picture: Picture) -> Iterator[Plotted]:
    """Contours, a figure a plane and quantity; values are log10, since plotly has no other scale."""
    for plane in _planes(picture):
        for quantity, text in QUANTITY_TEXTS.items() if len(plane.x) else ():
            axes = {"xaxis": plotly_axis("weight distance"), "yaxis": plotly_axis("weight distance")}
            title = {"text": plotly_text(f"{plane.label}: {text}"), "font": {"size": 14}}
            layout = axes | {"hovermode": "closest", "title": title, "height": 520}
            yield [_contour(plane, quantity), *_marks(plane, picture.colours)], layout


def _contour(plane: Plane, quantity: str) -> dict[str, Any]:
    values = plane.values[quantity]
    known = values[np.isfinite(values) & (values > 0)]
    floor = float(known.min()) / 2 if len(known) else 1.0
    shown = np.where(np.isfinite(values), np.log10(np.maximum(values, floor)), np.nan)
    reached = shown[np.isfinite(shown)]
    ticks = np.linspace(reached.min(), reached.max(), 6) if len(reached) else np.zeros(1)
    # At its lower end the bar says the least value, which on a log scale may be none, such as an error of 0.
    least = [float(np.nanmin(values))] if len(reached) else []
    bar = {"tickvals": numbers(ticks), "ticktext": told_apart([*least, *(10 ** ticks[len(least) :]).tolist()])}
    grid = {"type": "contour", "x": numbers(plane.x), "y": numbers(plane.y), "z": [numbers(row) for row in shown]}
    exact = {"customdata": [numbers(row) for row in values], "hovertemplate": "%{customdata:.4g}<extra></extra>"}
    return grid | exact | {"colorscale": "Viridis", "reversescale": True, "colorbar": bar, "ncontours": 20}


def _marks(plane: Plane, colours: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for mark in plane.landmarks:
        x, y = (numbers(mark.line[:, i]) for i in (0, 1))
        name = plotly_text(mark.name)
        drawn = {"type": "scatter", "x": x, "y": y, "name": name, "showlegend": False}
        if mark.geometry == "weights":
            written = {"text": [name], "textposition": "top right", "textfont": WRITTEN}
            yield drawn | {"mode": "markers+text", "marker": MARKER} | written
            continue
        yield drawn | {"mode": "lines", "line": {"color": "white", "width": 6}, "hoverinfo": "skip"}
        yield drawn | {"mode": "lines", "line": {"color": colours.get(mark.source, BLACK), "width": 3}}


PLANE = PictureKind(
    title="Planes",
    says="Train loss with L2 (above) and test error (below) on planes through three weights; axes are distances in "
    "weight space, colours are shared by the planes of a row. Hollow circles and lines are projections onto the plane.",
    wanted=Wanted(job="plane"),
    figure=plane_figure,
    with_landmarks=True,
    plotly=_plotly,
    plotly_says="Train loss with L2 and test error on planes through three weights; axes are distances in weight "
    "space, colours are logarithmic. Dots and lines are projections onto the plane.",
    is_map=True,
)

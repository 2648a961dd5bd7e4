"""Surfaces and noisy networks in the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np

from raysurf.report.draw import KINDS, composed
from raysurf.report.gallery import Gallery, plain_text, plotly_text
from raysurf.report.labels import labels_of, told_apart
from raysurf.report.pictures.axes import plotly_axis
from raysurf.report.pictures.kind import Picture, PictureKind
from raysurf.report.pictures.plane_panel import Plane, read_plane
from raysurf.report.pictures.schemes import read_schemes
from raysurf.report.pictures.surfaces import traces_of
from raysurf.report.pictures.trace import (
    AXIS_TEXTS,
    DASHED,
    OKABE_ITO,
    QUANTITY_TEXTS,
    SOLID,
    Array,
    colours_and_styles,
)
from raysurf.report.runs import MeasuredRun, measured_runs
from raysurf.report.sweep_rows import SweepRows
from raysurf.results.reader import Reader

Plotted = tuple[list[dict[str, Any]], dict[str, Any]]
SAYS = {
    "profile": "Train loss with L2 and test error along curves, lines, chains or paths between weights.",
    "plane": "Train loss with L2 and test error on planes through three weights; axes are distances in weight space, "
    "colours are logarithmic. Dots and lines are projections onto the plane.",
    "schemes": "Test error and test NLL against the number of samples K that are averaged; means over seeds.",
}
MARKER = {"color": "black", "size": 10, "line": {"color": "white", "width": 1.5}}
DASHES = dict(zip((*SOLID, *DASHED), ("solid", "dashdot", "dot", "dash", "longdashdot", "longdash"), strict=True))
WRITTEN = {"color": "black", "shadow": "0 0 3px white, 0 0 3px white, 0 0 3px white"}
PLOTLY_TITLES = {"error": "test error (fraction)", "nll": "test NLL (nats/sample)"}


def profiles(picture: Picture) -> Iterator[Plotted]:
    """Loss and error along lines, a figure a quantity."""
    drawn = list(colours_and_styles(traces_of(picture, picture.runs), picture.colours))
    for quantity, text in QUANTITY_TEXTS.items():
        data = []
        for trace, colour, style in drawn:
            data.append(
                _line(
                    trace.at(picture.axis),
                    trace.values(quantity),
                    trace.label,
                    {"color": colour, "dash": DASHES[style]},
                )
            )
        yield data, _axes(AXIS_TEXTS[picture.axis], text)


def planes(picture: Picture) -> Iterator[Plotted]:
    """Contours, a figure a plane and quantity; figures are log10, since plotly has no other scale."""
    for run in picture.runs:
        plane = read_plane(picture.rows, picture.landmarks, run.run_id, picture.labels[run.run_id])
        if not len(plane.x):
            continue
        for quantity, text in QUANTITY_TEXTS.items():
            yield (
                [_contour(plane, quantity), *_marks(plane, picture.colours)],
                {
                    **_axes("weight distance", "weight distance"),
                    "title": {"text": plotly_text(f"{plane.label}: {text}"), "font": {"size": 14}},
                    "height": 520,
                },
            )


def schemes(picture: Picture) -> Iterator[Plotted]:
    """Error and NLL against the number of samples."""
    groups: dict[str, list[MeasuredRun]] = {}
    for run in picture.runs:
        groups.setdefault(run.group or run.run_id, []).append(run)
    labels = labels_of([runs[0] for runs in groups.values()])
    settings = [
        read_schemes(picture.rows, [run.run_id for run in runs], labels[runs[0].run_id]) for runs in groups.values()
    ]
    counts = np.concatenate([np.ones(1), *(steps.num_samples for each in settings for steps in each.steps.values())])
    for name, text in PLOTLY_TITLES.items():
        data = []
        for number, each in enumerate(settings):
            for scheme, steps in each.steps.items():
                dash = {"ensemble": "solid", "deterministic": "dash"}.get(scheme, "dot")
                style = {"color": OKABE_ITO[number % len(OKABE_ITO)], "dash": dash}
                at, mean = steps.num_samples, steps.values(name).mean(axis=0)
                if scheme == "deterministic":
                    at, mean = np.array([1.0, counts.max()]), np.repeat(mean[-1], 2)
                data.append(_line(at, mean, f"{each.label}, {scheme}", style))
        layout = _axes("number of samples K", text)
        layout["xaxis"] = plotly_axis("number of samples K", counts, log=True)
        yield data, layout


PLOTLY: Mapping[str, Callable[[Picture], Iterator[Plotted]]] = {
    "profile": profiles,
    "plane": planes,
    "schemes": schemes,
}


def _line(x: Array, y: Array, label: str, style: Mapping[str, Any]) -> dict[str, Any]:
    named = {"type": "scatter", "mode": "lines+markers", "name": plotly_text(label), "marker": {"size": 5}}
    return named | {"x": numbers(x), "y": numbers(y), "line": dict(style)}


def _contour(plane: Plane, quantity: str) -> dict[str, Any]:
    values = plane.values(quantity)
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
        yield drawn | {"mode": "lines", "line": {"color": colours.get(mark.source, "black"), "width": 3}}


def _axes(x: str, y: str) -> dict[str, Any]:
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}, "hovermode": "closest"}


def numbers(values: Array) -> list[float | None]:
    """Figures of six digits, None where there is none, as JSON takes them."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]


# Runs that a picture of each kind shows at most; of a search the best trials' are the first.
MOST = {"plane": 2, "profile": 7, "width": 2, "path": 4, "schemes": 6, "activations": 2, "toy": 2}
# Kinds that have a picture for every so many runs, rather than one for the first of them.
REPEATED = {"plane": 3, "width": 2}
TITLES = {
    "profile": "Curves and lines",
    "path": "Minimum-energy paths",
    "plane": "Planes",
    "width": "Widths",
    "schemes": "Prediction schemes against K",
    "activations": "Activations by class",
    "toy": "Two-dimensional inputs",
}


def surfaces(results: Reader, sweep: SweepRows, gallery: Gallery, name: str) -> str:
    """The pictures of one kind, of the runs of a sweep; none if it measured nothing for it.

    Args:
        results: The store.
        sweep: The sweep.
        gallery: Draws.
        name: One of ``TITLES``.
    """
    kind = KINDS[name]
    found = _runs(results, sweep, kind)
    most, times = MOST[name], REPEATED.get(name, 1)
    shown = found[: most * times]
    parts = [_picture(results, kind, name, shown[at : at + most], gallery) for at in range(0, len(shown), most)]
    if len(found) > len(shown):
        whole = f"raysurf plot {name} --sweep {sweep.name}"
        said = f"{len(shown)} of {len(found)} are drawn; all of them: <code>{escape(whole)}</code>"
        parts.append(f"<p><small>{said}</small></p>")
    return "".join(parts)


def _runs(results: Reader, sweep: SweepRows, kind: PictureKind) -> list[MeasuredRun]:
    """Runs of the sweep that have rows for the picture: the best trials', then other trials', then the others."""
    wanted = replace(kind.wanted, where=kind.in_sweep or kind.wanted.where)
    places = [run_id for trial in sweep.ranked for run_id in trial.run_ids]
    baselines = sweep.baselines()
    # A baseline, such as the straight line beside curves, is always among the first.
    order = {run_id: place for place, run_id in enumerate([*places[:1], *baselines, *places[1:]])}
    mine = {run_id for trial in sweep.trials for run_id in trial.run_ids} | sweep.runs.keys()
    found = [run for run in measured_runs(results, wanted) if wanted.job in ("", run.kind) and run.run_id in mine]
    if sweep.metrics:
        # Searched values are many, and the page tells them of every trial.
        called = {run_id: f"trial {trial.number}" for trial in sweep.trials for run_id in trial.run_ids}
        found = [replace(run, arm=called.get(run.run_id, run.arm)) for run in found]
    return sorted(found, key=lambda run: order.get(run.run_id, len(order)))


def _picture(results: Reader, kind: PictureKind, name: str, runs: Sequence[MeasuredRun], gallery: Gallery) -> str:
    picture = _titleless(composed(results, kind, runs))
    if gallery.is_interactive and name in PLOTLY:
        plotted = list(PLOTLY[name](picture))
        says = [""] * (len(plotted) - 1) + [SAYS[name]]
        drawn = zip(plotted, says, strict=True)
        return "".join(
            gallery.plotly(data, layout, picture.title, said, is_map=name == "plane") for (data, layout), said in drawn
        )
    with plain_text():
        figure = kind.figure(picture)
    return gallery.picture(figure, picture.title, kind.says, is_map=name in ("plane", "toy"))


def _titleless(picture: Picture) -> Picture:
    """The page's heading says the kind; the picture need only say network and data set."""
    return replace(picture, title=picture.title.partition(": ")[2] or picture.title)

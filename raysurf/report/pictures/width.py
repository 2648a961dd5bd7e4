"""The picture of widths: loss and error along random rays from weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure

from raysurf.report.pictures.axes import (
    OKABE_ITO,
    QUANTITIES,
    Array,
    is_wide,
    legend_below,
    plain_text,
    set_log,
    two_panels,
)
from raysurf.report.pictures.kind import Picture, PictureKind, Rows, points_of
from raysurf.report.runs import Wanted

LOG_FROM = 100.0
Steps = dict[int | None, dict[float, tuple[float, float]]]


@dataclass(frozen=True)
class Rays:
    """All rays from one origin: by quantity a line a ray, of shape (n, 2): distance, and the value or NaN."""

    label: str
    lines: dict[str, list[Array]]

    def mean(self, quantity: str) -> Array:
        """The mean over rays, shape (n, 2), step by step, of distance and value.

        A step where one ray has no value is left out: the others alone would look like a dip or a bump.
        """
        lines = self.lines[quantity]
        steps = min((len(line) for line in lines), default=0)
        whole = np.mean([line[:steps] for line in lines], axis=0) if steps else np.empty((0, 2))
        return np.compress(~np.isnan(whole[:, 1]), whole, axis=0)


def read_rays(rows: Rows, run_id: str) -> list[Rays]:
    """The rays of one run, by origin, from rows of ``surface`` of any runs, in any order.

    The origin itself, measured once, is the first point of each of its rays. Two origins may have the same name: the
    point of an origin stands before those of its rays.
    """
    origins: list[tuple[str, dict[str, Steps]]] = []
    for point in points_of(rows, run_id):
        if not origins or point["origin"] != origins[-1][0] or point["ray"] is None:
            origins.append((point["origin"], {quantity: {} for quantity in QUANTITIES}))
        for quantity, steps in origins[-1][1].items():
            steps.setdefault(point["ray"], {})[point["t"]] = point["distance"], point[quantity]
    return [Rays(name or "", {q: _lines(by_ray) for q, by_ray in steps.items()}) for name, steps in origins]


def _lines(by_ray: Steps) -> list[Array]:
    """A line a ray; a step that some rays have and others do not is there for all, as NaN, so that steps agree."""
    origin = by_ray.get(None, {})
    rays = [by_ray[number] for number in sorted(number for number in by_ray if number is not None)] or [{}]
    every = sorted({t for steps in by_ray.values() for t in steps})
    lines = [np.array([({**origin, **ray}).get(t, (np.nan, np.nan)) for t in every]) for ray in rays]
    return [line.reshape(-1, 2) for line in lines]


def _origins(picture: Picture) -> list[Rays]:
    """Those of all runs; where names coincide the run is told, and at last a number."""
    named = [(picture.labels[run.run_id], rays) for run in picture.runs for rays in read_rays(picture.rows, run.run_id)]
    alike = Counter(rays.label for _, rays in named)
    is_told = len(picture.runs) > 1
    names = [f"{rays.label}, {run}" if is_told and alike[rays.label] > 1 else rays.label for run, rays in named]
    alike, seen = Counter(names), Counter[str]()
    origins = []
    for name, (_, rays) in zip(names, named, strict=True):
        seen[name] += 1
        origins.append(replace(rays, label=f"{name} #{seen[name]}" if alike[name] > 1 else name))
    return origins


@plain_text()
def width_figure(picture: Picture) -> Figure:
    """Draw train loss and test error against the distance from weights: rays thin, their mean thick.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), figure 4.
    """
    figure, panels = two_panels(picture.title, picture.data, "weight distance along random rays")
    origins = _origins(picture)
    for quantity, panel in panels.items():
        shown = [np.empty(0)]
        for i, rays in enumerate(origins):
            colour, style = OKABE_ITO[i % len(OKABE_ITO)], ("-", "--", ":")[i // len(OKABE_ITO) % 3]
            for line in rays.lines[quantity]:
                panel.plot(*line.T, linestyle=style, color=colour, linewidth=0.7, alpha=0.55)
                shown.append(line[:, 1])
            count = len(rays.lines[quantity])
            label = f"{rays.label} (mean of {count} ray{'s' * (count != 1)})"
            panel.plot(*rays.mean(quantity).T, linestyle=style, color=colour, linewidth=2.6, label=label)
        values = np.concatenate(shown)
        if is_wide(values, LOG_FROM):
            set_log(panel, values)
    legend_below(figure, panels["loss"])
    return figure


WIDTH = PictureKind(
    title="Widths",
    says="Train loss with L2 (left) and test error (right) along random rays from weights; thin lines are rays, "
    "thick ones their means.",
    wanted=Wanted(job="rays"),
    figure=width_figure,
)

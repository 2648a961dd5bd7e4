"""Surfaces and noisy networks in the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from markupsafe import Markup

from raysurf.report.draw import KINDS, composed
from raysurf.report.gallery import Gallery
from raysurf.report.html import part
from raysurf.report.pictures.kind import PictureKind
from raysurf.report.runs import MeasuredRun
from raysurf.report.sweep_rows import SweepRows
from raysurf.results.reader import Reader

# The kinds of a section each, and how many runs a picture of them shows at most; of a search the best trials' come
# first.
MOST = {"profile": 7, "path": 4, "plane": 2, "width": 2, "schemes": 6, "activations": 2, "toy": 2}
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


def surfaces(results: Reader, sweep: SweepRows, gallery: Gallery, name: str) -> Markup:
    """The pictures of one kind, one of ``TITLES``, of the runs of a sweep; none if it measured nothing for it."""
    kind, most = KINDS[name], MOST[name]
    runs = _runs(results, sweep, kind)
    shown = runs[: most * REPEATED.get(name, 1)]
    parts = [_picture(results, kind, shown[at : at + most], gallery) for at in range(0, len(shown), most)]
    if len(runs) > len(shown):
        parts.append(part("drawn_of", len(shown), len(runs), f"raysurf plot {name} --sweep {sweep.name}"))
    return Markup().join(parts)


def _runs(results: Reader, sweep: SweepRows, kind: PictureKind) -> list[MeasuredRun]:
    """Runs of the sweep that have rows for the picture: the best trials', then other trials', then the others."""
    places = [run_id for trial in sweep.ranked for run_id in trial.run_ids]
    # A baseline, such as the straight line beside curves, is always among the first.
    order = {run_id: place for place, run_id in enumerate([*places[:1], *sweep.baselines(), *places[1:]])}
    called = {run_id: f"trial {trial.number}" for trial in sweep.trials for run_id in trial.run_ids}
    runs = [run for run in kind.in_sweeps(results) if run.run_id in called or run.run_id in sweep.runs]
    if sweep.metrics:
        # Searched values are many, and the page tells them of every trial.
        runs = [replace(run, arm=called.get(run.run_id, run.arm)) for run in runs]
    return sorted(runs, key=lambda run: order.get(run.run_id, len(order)))


def _picture(results: Reader, kind: PictureKind, runs: Sequence[MeasuredRun], gallery: Gallery) -> Markup:
    picture = composed(results, kind, runs)
    # The page's heading says the kind; the picture need only say network and data set.
    picture = replace(picture, title=picture.title.partition(": ")[2] or picture.title)
    plotly = kind.plotly and partial(kind.plotly, picture)
    says = kind.plotly_says if plotly and gallery.is_interactive else kind.says
    return gallery.picture(picture.title, says, partial(kind.figure, picture), plotly, is_map=kind.is_map)

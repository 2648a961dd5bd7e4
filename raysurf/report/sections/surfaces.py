"""What was measured of surfaces and noisy networks, by the kinds of picture that ``raysurf plot`` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from raysurf.report.draw import KINDS, composed
from raysurf.report.gallery import Gallery, plain_text
from raysurf.report.measured_runs import MeasuredRun, measured_runs
from raysurf.report.picture_kind import Picture, PictureKind
from raysurf.report.sections.plotly_surfaces import PLOTLY, SAYS
from raysurf.report.sweep_rows import SweepRows
from raysurf.results.query import Results

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


def surfaces(results: Results, sweep: SweepRows, gallery: Gallery, name: str) -> str:
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


def _runs(results: Results, sweep: SweepRows, kind: PictureKind) -> list[MeasuredRun]:
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


def _picture(results: Results, kind: PictureKind, name: str, runs: Sequence[MeasuredRun], gallery: Gallery) -> str:
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

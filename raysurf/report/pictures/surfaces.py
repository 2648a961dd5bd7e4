"""The kinds of picture that are drawn from rows of ``surface``: planes, profiles, widths and paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from matplotlib.figure import Figure

from raysurf.report.labels import curve_of, ends_of
from raysurf.report.pictures.kind import Picture, PictureKind
from raysurf.report.pictures.lines import path_figure, profile_figure
from raysurf.report.pictures.plane import plane_figure
from raysurf.report.pictures.plane_panel import read_plane
from raysurf.report.pictures.trace import Trace, read_trace
from raysurf.report.pictures.width import Rays, read_rays, width_figure
from raysurf.report.runs import MeasuredRun, Wanted, measured_runs
from raysurf.results.reader import Reader

DRAWN, ORDER = "split in ('train', 'test')", ("point", "split")


def _plane(picture: Picture) -> Figure:
    planes = [
        read_plane(picture.rows, picture.landmarks, run.run_id, picture.labels[run.run_id]) for run in picture.runs
    ]
    return plane_figure(planes, title=picture.title, data=picture.data, colours=picture.colours)


def _profile(picture: Picture) -> Figure:
    traces = traces_of(picture, picture.runs)
    ends = {ends_of(run) for run in picture.runs}
    return profile_figure(
        traces,
        title=picture.title,
        data=picture.data,
        axis=picture.axis,
        ends=ends.pop() if len(ends) == 1 else None,
        colours=picture.colours,
    )


def traces_of(picture: Picture, runs: Sequence[MeasuredRun]) -> list[Trace]:
    """Traces of the runs in a picture."""
    return [read_trace(picture.rows, run.run_id, picture.labels[run.run_id], curve_of(run)) for run in runs]


def _width(picture: Picture) -> Figure:
    found = [(run, rays) for run in picture.runs for rays in read_rays(picture.rows, run.run_id)]
    plain = Counter(rays.label for _, rays in found)
    names = [f"{r.label}, {picture.labels[run.run_id]}" if plain[r.label] > 1 else r.label for run, r in found]
    if len(picture.runs) == 1:
        names = [rays.label for _, rays in found]
    alike, seen = Counter(names), Counter[str]()
    origins = []
    for name, (_, rays) in zip(names, found, strict=True):
        seen[name] += 1
        origins.append(Rays(f"{name} #{seen[name]}" if alike[name] > 1 else name, rays.lines))
    return width_figure(origins, title=picture.title, data=picture.data)


def _path(picture: Picture) -> Figure:
    paths = [run for run in picture.runs if run.kind == "path"]
    bands, lines = traces_of(picture, paths), traces_of(picture, [run for run in picture.runs if run not in paths])
    num_pivots = [int(run.metrics["num_pivots"]) if "num_pivots" in run.metrics else None for run in paths]
    return path_figure(
        bands,
        num_pivots,
        lines,
        title=picture.title,
        data=picture.data,
        axis=picture.axis,
        colours=picture.colours,
    )


def _straight_lines(results: Reader, paths: Sequence[MeasuredRun]) -> list[MeasuredRun]:
    """Measured straight lines between the ends of paths, one a pair of ends."""
    ends = {run.inputs[:2] for run in paths if len(run.inputs) >= 2}
    found: dict[tuple[str, ...], MeasuredRun] = {}
    for run in measured_runs(results, PROFILE.wanted):
        along = run.spec.get("along")
        is_line = isinstance(along, dict) and along.get("kind") == "line"
        if run.kind == PROFILE.wanted.job and is_line and run.inputs[:2] in ends:
            found.setdefault(run.inputs[:2], run)
    return list(found.values())


PLANE = PictureKind(
    title="Planes",
    says="Train loss with L2 (above) and test error (below) on planes through three weights; axes are distances in "
    "weight space, colours are shared by the planes of a row. Hollow circles and lines are projections onto the plane.",
    wanted=Wanted(job="plane"),
    figure=_plane,
    where=DRAWN,
    order=ORDER,
    with_landmarks=True,
)
PROFILE = PictureKind(
    title="Profiles",
    says="Train loss with L2 (left) and test error (right) along curves, lines, chains or paths between weights.",
    wanted=Wanted(job="profile"),
    figure=_profile,
    where=DRAWN,
    order=ORDER,
)
WIDTH = PictureKind(
    title="Widths",
    says="Train loss with L2 (left) and test error (right) along random rays from weights; thin lines are rays, "
    "thick ones their means.",
    wanted=Wanted(job="rays"),
    figure=_width,
    where=DRAWN,
    order=ORDER,
)
PATH = PictureKind(
    title="Minimum-energy paths",
    says="Train loss with L2 (left) and test error (right) along minimum-energy paths; circles are pivots, the "
    "triangle is the saddle of the loss with L2, dashed is the straight line between the ends.",
    wanted=Wanted(job="path"),
    figure=_path,
    where=DRAWN,
    order=ORDER,
    beside=_straight_lines,
)

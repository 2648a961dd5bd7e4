"""From a store to a written picture: which runs, what they are called, what is drawn, and where it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from raysurf.report.measured_runs import KINDS, MeasuredRun, choose, measured_runs
from raysurf.report.page import Caption
from raysurf.report.path_plot import path_figure
from raysurf.report.picture import check_suffix, write
from raysurf.report.plane_plot import plane_figure
from raysurf.report.plane_rows import read_plane
from raysurf.report.profile_plot import profile_figure
from raysurf.report.run_labels import ends_of, labels_of
from raysurf.report.trace import read_trace
from raysurf.report.width_plot import Rays, read_rays, width_figure
from raysurf.results.query import Results

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Picture:
    """What is drawn.

    Args:
        runs: The runs, in order.
        labels: What each is called, by id.
        surface: Their rows.
        landmarks: Their rows of the other table.
        title: Above the picture.
        data: Data sets, for the axes.
        axis: ``t`` or ``distance``, where the picture is along a line.
    """

    runs: tuple[MeasuredRun, ...]
    labels: dict[str, str]
    surface: Rows
    landmarks: Rows
    title: str
    data: str
    axis: str


def draw(
    results: Results,
    kind: str,
    path: str,
    *,
    sweeps: Sequence[str] = (),
    run_ids: Sequence[str] = (),
    axis: str = "t",
) -> None:
    """Draw runs of a store and write the picture.

    Args:
        results: The store.
        kind: plane, profile, width or path.
        path: Where the picture goes; .png, .svg or .html.
        sweeps: Draw the runs of these sweeps ...
        run_ids: ... and these runs; with neither, all of the kind.
        axis: x-axis of profiles and paths, ``t`` or ``distance``.

    Raises:
        SpecError: If the suffix is of no known kind.
        UnknownNameError: If there is no such kind of picture or sweep.
        StoreError: If a run is not there, there is nothing to draw, or the place cannot be written.
    """
    check_suffix(path)
    runs = choose(results, kind, sweeps, run_ids)
    if kind == "path":
        runs = [*runs, *_straight_lines(results, runs)]
    _draw(results, kind, path, runs, axis)


def pictures_of_sweep(results: Results, sweep: str, folder: str, profiles: Sequence[str] = ()) -> list[str]:
    """Draw every picture that a sweep's measured points allow.

    Args:
        results: The store.
        sweep: Its name.
        folder: Where the pictures go: ``<sweep>.png``, or ``<sweep>-<kind>.png`` if they are of several kinds.
        profiles: The profile runs to draw, in this order; with none there is no picture of profiles.

    Returns:
        The paths written.
    """
    everything = measured_runs(results)
    by_id = {run.run_id: run for run in everything}
    found = {"profile": [by_id[run_id] for run_id in profiles if run_id in by_id]}
    for kind in ("plane", "width", "path"):
        found[kind] = [run for run in everything if run.kind == KINDS[kind] and sweep in run.sweeps]
    found = {kind: runs for kind, runs in found.items() if runs}
    written = []
    for kind, runs in found.items():
        lines = _straight_lines(results, runs) if kind == "path" else []
        written.append(str(Path(folder) / (f"{sweep}.png" if len(found) == 1 else f"{sweep}-{kind}.png")))
        _draw(results, kind, written[-1], [*runs, *lines], "t")
    return written


def _draw(results: Results, kind: str, path: str, runs: Sequence[MeasuredRun], axis: str) -> None:
    listed = ", ".join("'" + run.run_id.replace("'", "''") + "'" for run in runs)
    surface = results.table("surface", where=f"run_id in ({listed})").to_pylist()
    landmarks = results.table("landmarks", where=f"run_id in ({listed})").to_pylist() if kind == "plane" else []
    title = " on ".join(filter(None, (_listed(run.model for run in runs), _listed(run.data for run in runs))))
    data, labels = _listed(run.data for run in runs), labels_of(runs)
    picture = Picture(
        tuple(runs), labels, surface, landmarks, f"{TITLES[kind]}: {title}" if title else TITLES[kind], data, axis
    )
    caption = Caption(
        f"{SAYS[kind]} Drawn by raysurf from the rows of {_some(run.run_id for run in runs)}"
        f" ({_listed(name for run in runs for name in run.sweeps[:1]) or 'no sweep'}) in {results.store.uri}.",
        [(run, labels[run.run_id]) for run in runs],
        sorted((row for row in surface if row["split"] in ("train", "test")), key=_order(runs)),
        [row for row in landmarks if row["position"] == 0],
    )
    write(FIGURES[kind](picture), path, picture.title, caption)


def _plane(picture: Picture) -> Figure:
    planes = [
        read_plane(picture.surface, picture.landmarks, run.run_id, picture.labels[run.run_id]) for run in picture.runs
    ]
    return plane_figure(planes, title=picture.title, data=picture.data)


def _profile(picture: Picture) -> Figure:
    traces = [read_trace(picture.surface, run.run_id, picture.labels[run.run_id]) for run in picture.runs]
    ends = {ends_of(run) for run in picture.runs}
    return profile_figure(
        traces, title=picture.title, data=picture.data, axis=picture.axis, ends=ends.pop() if len(ends) == 1 else None
    )


def _width(picture: Picture) -> Figure:
    found = [(run, rays) for run in picture.runs for rays in read_rays(picture.surface, run.run_id)]
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
    bands, lines = (
        [
            read_trace(picture.surface, run.run_id, picture.labels[run.run_id])
            for run in picture.runs
            if (run in paths) == is_path
        ]
        for is_path in (True, False)
    )
    num_pivots = [int(run.metrics["num_pivots"]) if "num_pivots" in run.metrics else None for run in paths]
    return path_figure(bands, num_pivots, lines, title=picture.title, data=picture.data, axis=picture.axis)


def _straight_lines(results: Results, paths: Sequence[MeasuredRun]) -> list[MeasuredRun]:
    """Measured straight lines between the ends of paths, one a pair of ends."""
    wanted = {run.inputs[:2] for run in paths if len(run.inputs) >= 2}
    found: dict[tuple[str, ...], MeasuredRun] = {}
    for run in measured_runs(results):
        along = run.spec.get("along")
        if (
            run.kind == "profile"
            and isinstance(along, dict)
            and along.get("kind") == "line"
            and run.inputs[:2] in wanted
        ):
            found.setdefault(run.inputs[:2], run)
    return list(found.values())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name for name in names if name))


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")


def _order(runs: Sequence[MeasuredRun]) -> Callable[[Mapping[str, Any]], tuple[int, int, str]]:
    number = {run.run_id: i for i, run in enumerate(runs)}
    return lambda row: (number[row["run_id"]], row["point"], row["split"])


FIGURES: dict[str, Callable[[Picture], Figure]] = {"plane": _plane, "profile": _profile, "width": _width, "path": _path}
TITLES = {
    "plane": "Planes",
    "profile": "Profiles",
    "width": "Widths",
    "path": "Minimum-energy paths",
}
SAYS = {
    "plane": "Train loss with L2 (above) and test error (below) on planes through three weights; axes are distances in "
    "weight space, colours are shared by the planes of a row. Hollow circles and lines are projections onto the plane.",
    "profile": "Train loss with L2 (left) and test error (right) along curves, lines, chains or paths between weights.",
    "width": "Train loss with L2 (left) and test error (right) along random rays from weights; thin lines are rays, "
    "thick ones their means.",
    "path": "Train loss with L2 (left) and test error (right) along minimum-energy paths; circles are pivots, the "
    "triangle is the saddle, dashed is the straight line between the ends.",
}

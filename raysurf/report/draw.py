"""From a store to a written picture: which runs, what they are called, what is drawn, and where it goes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from raysurf.errors import UnknownNameError
from raysurf.report.labels import curve_colours, labels_of
from raysurf.report.picture import Caption, check_suffix, write
from raysurf.report.pictures.activations import ACTIVATIONS
from raysurf.report.pictures.kind import Known, Picture, PictureKind
from raysurf.report.pictures.lines import PATH, PROFILE
from raysurf.report.pictures.plane import PLANE
from raysurf.report.pictures.schedule import SCHEDULE
from raysurf.report.pictures.schemes import SCHEMES
from raysurf.report.pictures.toy import TOY
from raysurf.report.pictures.width import WIDTH
from raysurf.report.runs import MeasuredRun, choose
from raysurf.results.reader import Reader
from raysurf.results.sql import quoted, quoted_list
from raysurf.store.parts import made_of_rows

KINDS: dict[str, PictureKind] = {
    "plane": PLANE,
    "profile": PROFILE,
    "width": WIDTH,
    "path": PATH,
    "schemes": SCHEMES,
    "activations": ACTIVATIONS,
    "toy": TOY,
    "schedule": SCHEDULE,
}
COORDINATES = ("t", "x", "y", "distance", "low", "high")
MOST_NAMED = 6


def draw(
    results: Reader,
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
        kind: One of ``KINDS``.
        path: Where the picture goes; .png, .svg, .pdf or .html.
        sweeps, run_ids: Draw the runs of these sweeps, and these runs; with neither, all that the kind can show.
        axis: x-axis of profiles and paths, ``t`` or ``arc`` (arc length; ``distance`` is its older name).

    Raises:
        SpecError: If the suffix is of no known kind.
        UnknownNameError: If there is no such kind of picture or sweep.
        StoreError: If a run is not there, there is nothing to draw, or the place cannot be written.
    """
    check_suffix(path)
    if kind not in KINDS:
        raise UnknownNameError("picture", kind, KINDS)
    axis = "arc" if axis == "distance" else axis
    _draw(results, KINDS[kind], path, choose(results, KINDS[kind].wanted, sweeps, run_ids), axis)


def pictures_of_sweep(
    results: Reader, sweep: str, folder: str, profiles: Sequence[str] = (), known: Known | None = None
) -> list[str]:
    """Draw every picture that a sweep's rows allow; returns the paths written.

    Args:
        folder: Where the pictures go: ``<sweep>.png``, or ``<sweep>-<kind>.png`` if they are of several kinds.
        profiles: The runs to draw in the picture of profiles, in this order, those of other kinds left out; there is
            no such picture if the first is of another kind.
        known: Given the same mapping for several sweeps, each looks up what no other has.
    """
    known = {} if known is None else known
    by_id = {run.run_id: run for run in PROFILE.in_sweeps(results, known)}
    has_first = bool(profiles) and profiles[0] in by_id
    runs = {"profile": [by_id[run_id] for run_id in profiles if has_first and run_id in by_id]}
    for name, kind in KINDS.items():
        if kind is not PROFILE:
            runs[name] = [run for run in kind.in_sweeps(results, known) if sweep in run.sweeps]
    runs = {name: chosen for name, chosen in runs.items() if chosen}
    written = []
    for name, chosen in runs.items():
        written.append(str(Path(folder) / (f"{sweep}.png" if len(runs) == 1 else f"{sweep}-{name}.png")))
        _draw(results, KINDS[name], written[-1], chosen, "t")
    return written


def _draw(results: Reader, kind: PictureKind, path: str, chosen: Sequence[MeasuredRun], axis: str) -> None:
    with made_of_rows(results.store.uri, f"the picture {kind.title!r}"):
        picture = composed(results, kind, chosen, axis)
        write(kind.figure(picture), path, picture.title, _caption(results, kind, picture))


def composed(results: Reader, kind: PictureKind, chosen: Sequence[MeasuredRun], axis: str = "t") -> Picture:
    """Rows, labels and colours of a picture of some runs, for its kind's ``figure`` to draw.

    Raises:
        StoreError: If rows cannot be read.
    """
    runs = [*chosen, *kind.beside(results, chosen)]
    listed = f"run_id in {quoted_list(run.run_id for run in runs)}"
    rows = _placed(results.table(kind.wanted.table, where=f"{listed} and {kind.where}").to_pylist())
    landmarks = _placed(results.table("landmarks", where=listed).to_pylist()) if kind.with_landmarks else []
    place = " on ".join(filter(None, (_listed(run.model for run in runs), _listed(run.data for run in runs))))
    title = f"{kind.title}: {place}" if place else kind.title
    data, colours = _listed(run.data for run in runs), curve_colours(results)
    return Picture(tuple(runs), labels_of(runs), rows, landmarks, title, data, axis, colours)


def _caption(results: Reader, kind: PictureKind, picture: Picture) -> Caption:
    runs = picture.runs
    ids = [run.run_id for run in runs]
    place = {run_id: number for number, run_id in enumerate(ids)}
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    sweeps = _listed(name for run in runs for name in run.sweeps[:1]) or "no sweep"
    return Caption(
        f"{kind.says} Drawn by raysurf from the rows of {', '.join(ids[:MOST_NAMED])}{more} ({sweeps}) in "
        f"{results.store.uri}.",
        [(run, picture.labels[run.run_id]) for run in runs],
        # Columns that may be null are among those that rows are ordered by: rows without a value come last.
        sorted(
            picture.rows,
            key=lambda row: (place[row["run_id"]], *((row[column] is None, row[column]) for column in kind.order)),
        ),
        [row for row in picture.landmarks if row["position"] == 0],
        kind.wanted.table,
    )


def _placed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with finite coordinates."""
    return [row for row in rows if all(math.isfinite(row.get(name) or 0.0) for name in COORDINATES)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name for name in names if name))


def pictures_of_run(results: Reader, run_id: str, folder: Path) -> dict[str, Path]:
    """Draw what a run was made to measure: its plane, profile, path or widths; returns PNG files by kind of picture.

    Pictures that any kind of job may have, such as its prediction schemes, are left out: every run would have one, and
    its rows are a table in W&B.
    """
    pictures = {}
    for name, kind in KINDS.items():
        if kind.wanted.job != run_id.partition("-")[0]:
            continue
        where = f"run_id = {quoted(run_id)} and ({kind.wanted.where})"
        if results.sql(f"select 1 from {kind.wanted.table} where {where} limit 1").num_rows:
            pictures[name] = folder / f"{run_id}-{name}.png"
            draw(results, name, str(pictures[name]), run_ids=[run_id])
    return pictures

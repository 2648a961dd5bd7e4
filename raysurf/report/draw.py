"""From a store to a written picture: which runs, what they are called, what is drawn, and where it goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raysurf.errors import UnknownNameError
from raysurf.report.labels import curve_colours, labels_of
from raysurf.report.page import Caption
from raysurf.report.picture import check_suffix, write
from raysurf.report.pictures.kind import Picture, PictureKind, Rows
from raysurf.report.pictures.noise import ACTIVATIONS, SCHEMES, TOY
from raysurf.report.pictures.schedule import SCHEDULE
from raysurf.report.pictures.surfaces import PATH, PLANE, PROFILE, WIDTH
from raysurf.report.runs import MeasuredRun, Wanted, choose, measured_runs
from raysurf.results.reader import Reader
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
Found = dict[tuple[str, str], list[MeasuredRun]]


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
        sweeps: Draw the runs of these sweeps ...
        run_ids: ... and these runs; with neither, all that the kind can show.
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
    results: Reader, sweep: str, folder: str, profiles: Sequence[str] = (), found_before: Found | None = None
) -> list[str]:
    """Draw every picture that a sweep's rows allow.

    Args:
        results: The store.
        sweep: Its name.
        folder: Where the pictures go: ``<sweep>.png``, or ``<sweep>-<kind>.png`` if they are of several kinds.
        profiles: The profile runs to draw, in this order; with none there is no picture of profiles.
        found_before: Given the same mapping for several sweeps, each looks up what no other has.

    Returns:
        The paths written.
    """
    known: Found = {} if found_before is None else found_before
    by_id = {run.run_id: run for run in _with_rows(results, PROFILE.wanted, known)}
    found = {"profile": [by_id[run_id] for run_id in profiles if run_id in by_id]}
    for name, kind in KINDS.items():
        if kind is not PROFILE:
            found[name] = _worth_drawing(results, kind, sweep, known)
    found = {name: runs for name, runs in found.items() if runs}
    written = []
    for name, runs in found.items():
        written.append(str(Path(folder) / (f"{sweep}.png" if len(found) == 1 else f"{sweep}-{name}.png")))
        _draw(results, KINDS[name], written[-1], runs, "t")
    return written


def _worth_drawing(results: Reader, kind: PictureKind, sweep: str, known: Found) -> list[MeasuredRun]:
    wanted = replace(kind.wanted, where=kind.in_sweep or kind.wanted.where)
    runs = _with_rows(results, wanted, known)
    return [run for run in runs if wanted.job in ("", run.kind) and sweep in run.sweeps]


def _with_rows(results: Reader, wanted: Wanted, known: Found) -> list[MeasuredRun]:
    """Every run with such rows, asked for once."""
    key = (wanted.table, wanted.where)
    if key not in known:
        known[key] = measured_runs(results, wanted)
    return known[key]


def _draw(results: Reader, kind: PictureKind, path: str, chosen: Sequence[MeasuredRun], axis: str) -> None:
    with made_of_rows(results.store.uri, f"the picture {kind.title!r}"):
        picture = composed(results, kind, chosen, axis)
        write(kind.figure(picture), path, picture.title, _caption(results, kind, picture))


def composed(results: Reader, kind: PictureKind, chosen: Sequence[MeasuredRun], axis: str = "t") -> Picture:
    """What a picture of some runs shows, and what belongs beside them; its kind's ``figure`` draws it.

    Args:
        results: The store.
        kind: The kind of picture.
        chosen: The runs.
        axis: x-axis of profiles and paths, ``t`` or ``arc``.

    Raises:
        StoreError: If rows cannot be read.
    """
    runs = [*chosen, *kind.beside(results, chosen)]
    listed = f"run_id in ({', '.join(_quoted(run.run_id) for run in runs)})"
    rows = _placed(results.table(kind.wanted.table, where=f"{listed} and {kind.where}").to_pylist())
    landmarks = _placed(results.table("landmarks", where=listed).to_pylist()) if kind.with_landmarks else []
    place = " on ".join(filter(None, (_listed(run.model for run in runs), _listed(run.data for run in runs))))
    title = f"{kind.title}: {place}" if place else kind.title
    data, colours = _listed(run.data for run in runs), curve_colours(results)
    return Picture(tuple(runs), labels_of(runs), rows, landmarks, title, data, axis, colours)


def _caption(results: Reader, kind: PictureKind, picture: Picture) -> Caption:
    runs = picture.runs
    return Caption(
        f"{kind.says} Drawn by raysurf from the rows of {_some(run.run_id for run in runs)}"
        f" ({_listed(name for run in runs for name in run.sweeps[:1]) or 'no sweep'}) in {results.store.uri}.",
        [(run, picture.labels[run.run_id]) for run in runs],
        sorted(picture.rows, key=_order(runs, kind.order)),
        [row for row in picture.landmarks if row["position"] == 0],
        kind.wanted.table,
    )


def _placed(rows: Rows) -> Rows:
    """Rows with finite coordinates."""
    return [row for row in rows if all(math.isfinite(row.get(name) or 0.0) for name in COORDINATES)]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name for name in names if name))


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")


def _order(runs: Sequence[MeasuredRun], columns: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    number = {run.run_id: i for i, run in enumerate(runs)}
    return lambda row: (number[row["run_id"]], *((row[column] is None, row[column]) for column in columns))


def pictures_of_run(results: Reader, run_id: str, folder: Path) -> dict[str, Path]:
    """Draw what a run was made to measure: its plane, profile, path or widths.

    Pictures that any kind of job may have, such as its prediction schemes, are left out: every run would have
    one, and its rows are a table in W&B.

    Args:
        results: The store.
        run_id: The run, done.
        folder: Where the pictures go.

    Returns:
        PNG files by kind of picture; none for a run that has nothing to draw.
    """
    found = {}
    for name, kind in KINDS.items():
        if kind.wanted.job != run_id.partition("-")[0]:
            continue
        where = f"run_id = '{run_id}' and ({kind.wanted.where})"
        if results.sql(f"select 1 from {kind.wanted.table} where {where} limit 1").num_rows:
            found[name] = folder / f"{run_id}-{name}.png"
            draw(results, name, str(found[name]), run_ids=[run_id])
    return found

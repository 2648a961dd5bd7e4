"""What a kind of picture is: the runs that it shows, the rows that it is drawn from, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from raysurf.report.runs import MeasuredRun, Wanted
from raysurf.results.reader import Reader

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Picture:
    """What is drawn.

    Args:
        runs: The runs, in order.
        labels: What each is called, by id.
        rows: Their rows of the table that the kind is drawn from.
        landmarks: Their rows of ``landmarks``, if the kind has such.
        title: Above the picture.
        data: Data sets, for the axes.
        axis: ``t`` or ``arc``, where the picture is along a line.
        colours: Those of the store's curves and paths, by run.
    """

    runs: tuple[MeasuredRun, ...]
    labels: dict[str, str]
    rows: Rows
    landmarks: Rows
    title: str
    data: str
    axis: str
    colours: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PictureKind:
    """A kind of picture, as a value.

    Args:
        title: What the picture is called, before network and data set.
        says: How to read it, for the page.
        wanted: What runs must have to be shown; its table is what is drawn.
        figure: Draws it.
        where: Condition in SQL on the rows that are drawn.
        order: Columns that the rows of a run are listed by on the page.
        in_sweep: The condition that runs must meet to be drawn when their sweep ends, if it is another than that
            of ``wanted``.
        with_landmarks: Whether ``landmarks`` are drawn too.
        beside: Further runs that belong into the picture of some.
    """

    title: str
    says: str
    wanted: Wanted
    figure: Callable[[Picture], Figure]
    where: str
    order: tuple[str, ...]
    in_sweep: str = ""
    with_landmarks: bool = False
    beside: Callable[[Reader, Sequence[MeasuredRun]], list[MeasuredRun]] = lambda results, runs: []

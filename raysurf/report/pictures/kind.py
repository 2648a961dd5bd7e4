"""Kind of picture: the runs that it shows, the rows that it is drawn from, and how each drawer draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from matplotlib.figure import Figure

from raysurf.report.pictures.axes import Plotted
from raysurf.report.runs import MeasuredRun, Wanted, measured_runs
from raysurf.results.reader import Reader

Rows = Sequence[Mapping[str, Any]]
# Runs that have rows of a table for which a condition holds.
Known = dict[tuple[str, str], list[MeasuredRun]]


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

    runs: Sequence[MeasuredRun]
    labels: Mapping[str, str]
    rows: Rows
    landmarks: Rows = ()
    title: str = ""
    data: str = ""
    axis: str = "t"
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
        plotly: Draws it in the browser, a figure or several, if that can be.
        plotly_says: How to read these.
        is_map: Whether its colours mean values.
    """

    title: str
    says: str
    wanted: Wanted
    figure: Callable[[Picture], Figure]
    order: tuple[str, ...]
    where: str = "true"
    in_sweep: str = ""
    with_landmarks: bool = False
    beside: Callable[[Reader, Sequence[MeasuredRun]], list[MeasuredRun]] = lambda results, runs: []
    plotly: Callable[[Picture], Iterator[Plotted]] | None = None
    plotly_says: str = ""
    is_map: bool = False

    def in_sweeps(self, results: Reader, known: Known | None = None) -> list[MeasuredRun]:
        """The runs that are drawn when their sweep ends.

        Args:
            results: The store.
            known: What was looked up before, and is not again.
        """
        wanted = replace(self.wanted, where=self.in_sweep or self.wanted.where)
        known, key = {} if known is None else known, (wanted.table, wanted.where)
        if key not in known:
            known[key] = measured_runs(results, wanted)
        return [run for run in known[key] if wanted.job in ("", run.kind)]

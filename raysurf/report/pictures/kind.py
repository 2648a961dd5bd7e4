"""Kind of picture: the runs that it shows, the rows that it is drawn from, and how each drawer draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from raysurf.report.pictures.axes import QUANTITIES, Plotted
from raysurf.report.runs import MeasuredRun, Wanted, measured_runs
from raysurf.results.reader import Reader

Rows = Sequence[Mapping[str, Any]]
# Runs that have rows of a table for which a condition holds.
Known = dict[tuple[str, str], list[MeasuredRun]]


@dataclass(frozen=True)
class Picture:
    """Rows of some runs, and what they are called: all that a picture is drawn from.

    Args:
        labels: By run id.
        rows: Of the table that the kind is drawn from.
        landmarks: Rows of ``landmarks``, if the kind has such.
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


def points_of(rows: Rows, run_id: str) -> list[dict[str, Any]]:
    """Measured points of a run, in order, from rows of ``surface`` of any runs, in any order.

    ``loss`` is that on train and ``error`` that on test; NaN where there is none.
    """
    points: dict[int, dict[str, Any]] = {}
    for row in rows:
        if row["run_id"] == run_id:
            point = points.setdefault(row["point"], {**row, **dict.fromkeys(QUANTITIES, np.nan)})
            for quantity, split in QUANTITIES.items():
                if row["split"] == split and row[quantity] is not None:
                    point[quantity] = row[quantity]
    return [point for _, point in sorted(points.items())]


@dataclass(frozen=True)
class PictureKind:
    """A kind of picture.

    Args:
        title: Before network and data set.
        says: How to read it; ``plotly_says`` of what plotly draws.
        wanted: What runs must have to be shown; its table is what is drawn.
        figure: Draws it with matplotlib.
        where: Condition in SQL on the rows that are drawn.
        order: Columns that the rows of a run are listed by on the page.
        in_sweep: Condition on the runs that are drawn when their sweep ends, if it is another than that of ``wanted``.
        with_landmarks: Whether ``landmarks`` are drawn too.
        beside: Further runs that belong into the picture of some.
        plotly: Draws it with plotly, a figure or several, if that can be.
        is_map: Whether its colours mean values.
    """

    title: str
    says: str
    wanted: Wanted
    figure: Callable[[Picture], Figure]
    where: str = "split in ('train', 'test')"
    order: tuple[str, ...] = ("point", "split")
    in_sweep: str = ""
    with_landmarks: bool = False
    beside: Callable[[Reader, Sequence[MeasuredRun]], list[MeasuredRun]] = lambda results, runs: []
    plotly: Callable[[Picture], Iterator[Plotted]] | None = None
    plotly_says: str = ""
    is_map: bool = False

    def in_sweeps(self, results: Reader, known: Known | None = None) -> list[MeasuredRun]:
        """The runs that are drawn when their sweep ends; ``known`` keeps what was looked up for the next call."""
        wanted = replace(self.wanted, where=self.in_sweep or self.wanted.where)
        known, key = {} if known is None else known, (wanted.table, wanted.where)
        if key not in known:
            known[key] = measured_runs(results, wanted)
        return [run for run in known[key] if wanted.job in ("", run.kind)]

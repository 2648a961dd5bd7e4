"""What a table of ``compare`` is: its columns, which runs stand where, and how it is printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raysurf.results.compared_runs import ComparedRun
from raysurf.results.published import Published
from raysurf.results.schemas import SHARE

Reading = tuple[float, int | None]


@dataclass(frozen=True)
class Column:
    """A figure of a table.

    Args:
        name: The figure, as published figures are keyed.
        heading: What it is called in print, under the table's title.
        unit: Its unit.
        read: Takes a run and gives its figure and the samples that it took (None if it takes none), or None if the
            run lacks it.
    """

    name: str
    heading: str
    unit: str
    read: Callable[[ComparedRun], Reading | None]


@dataclass(frozen=True)
class Place:
    """Where a run stands in a table.

    Args:
        method: The row, under the run's network and data.
        columns: Names of the columns that it fills.
        series: For runs that fill a part of a row: their job without what decides the column, as JSON. Runs of one
            kind that agree in it are one setting, in several columns. None if a setting fills the whole row.
    """

    method: str
    columns: tuple[str, ...]
    series: str | None = None


@dataclass(frozen=True)
class Layout:
    """A table in the talk's layout.

    Args:
        title: What stands above it, with the units of print.
        kinds: Kinds of the jobs that it compares.
        method_heading: What its rows are, below network and data.
        methods: Rows in their order; others come after them.
        columns: Figures, in their order.
        rank: The columns by which settings on one row are sorted, the best last: by the first, then the next.
        place: Where a run stands; None if it has no place in the table.
        published: What was published.
        jobs: What its jobs are, where their kind does not say it.
        is_bracketed: Whether the row's name stands in brackets after the network's, as in "VGG-16 (200)".
        is_stacked: Whether published figures have a line of their own below ours, not a place beside each.
        decimals: Of percent in print.
    """

    title: str
    kinds: tuple[str, ...]
    method_heading: str
    methods: tuple[str, ...]
    columns: tuple[Column, ...]
    rank: tuple[str, ...]
    place: Callable[[ComparedRun], Place | None]
    published: Published
    jobs: str = ""
    is_bracketed: bool = False
    is_stacked: bool = False
    decimals: int = 1


def accuracy(name: str, heading: str, weights: str, scheme: str) -> Column:
    """Test accuracy of some weights under a scheme, with the most samples that were taken."""
    return Column(f"{name} accuracy", heading, SHARE, lambda run: run.accuracies.get((weights, scheme)))

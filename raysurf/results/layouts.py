"""The tables that ``compare`` knows: which runs stand on which row, what is read of them, and what was published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from raysurf.results.compared_runs import ComparedRun
from raysurf.results.published import PARAMETERIZATIONS, SCHEMES, Published
from raysurf.results.schemas import SHARE

Reading = tuple[float, int | None]
DROPOUT = "dropout"


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
    """

    method: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """A table in the talk's layout.

    Args:
        name: As it is asked for.
        title: What stands above it, with the units of print.
        kinds: Kinds of the jobs that it compares.
        method_heading: What its rows are, below network and data.
        methods: Rows in their order; others come after them.
        columns: Figures, in their order.
        rank: The column by which settings on one row are sorted, the best last.
        place: Where a run stands; None if it has no place in the table.
        published: What was published.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    method_heading: str
    methods: tuple[str, ...]
    columns: tuple[Column, ...]
    rank: str
    place: Callable[[ComparedRun], Place | None]
    published: Published


def _metric(name: str) -> Callable[[ComparedRun], Reading | None]:
    return lambda run: (run.metrics[name], None) if name in run.metrics else None


def _accuracy(scheme: str) -> Column:
    """Test accuracy of the final weights under a scheme, with the most samples that were taken."""
    return Column(f"{scheme} accuracy", scheme, SHARE, lambda run: run.accuracies.get(("final", scheme)))


def _sharing(run: ComparedRun) -> str | None:
    """How variational dropout shares its alphas; a job that mixes several stands on a row of its own."""
    noises = [noise for noise in run.spec.get("noise", ()) if noise.get("kind") == "variational_dropout"]
    return _joined(noise.get("sharing", "weight") for noise in noises) or None


def _method(run: ComparedRun) -> str:
    """The noise of a network; dropout beside a noise of another kind, as in the VGG-like network, is not named."""
    names = [_noise_name(noise) for noise in run.spec.get("noise", ())]
    return _joined(name for name in names if name != DROPOUT) or (DROPOUT if names else "no noise")


def _noise_name(noise: Mapping[str, Any]) -> str:
    kind = str(noise.get("kind"))
    if kind == "variational_dropout":
        return f"variational dropout, {noise.get('sharing', 'weight')}"
    family = noise.get("family", "gaussian")
    return kind.replace("_", " ") + ("" if family == "gaussian" else f", {family}")


def _joined(names: Iterable[str]) -> str:
    return " + ".join(dict.fromkeys(names))


def _row(
    method: Callable[[ComparedRun], str | None], columns: tuple[Column, ...]
) -> Callable[[ComparedRun], Place | None]:
    """Places of runs that fill a whole row."""

    def place(run: ComparedRun) -> Place | None:
        name = method(run)
        return None if name is None else Place(name, tuple(column.name for column in columns))

    return place


_ELBO = (Column("elbo", "ELBO", "nats", _metric("train/elbo")), _accuracy("deterministic"), _accuracy("ensemble"))
_ACCURACIES = (_accuracy("stochastic"), _accuracy("deterministic"), _accuracy("ensemble"))

LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            name="parameterizations",
            title="Parameterizations of variational dropout: ELBO on train, nats; test accuracy, %",
            kinds=("variational",),
            method_heading="parameterization",
            methods=("layer", "neuron", "weight", "additive"),
            columns=_ELBO,
            rank="elbo",
            place=_row(_sharing, _ELBO),
            published=PARAMETERIZATIONS,
        ),
        Layout(
            name="schemes",
            title="Prediction schemes: test accuracy, %",
            kinds=("variational",),
            method_heading="method",
            methods=(DROPOUT, "variance"),
            columns=_ACCURACIES,
            rank="ensemble accuracy",
            place=_row(_method, _ACCURACIES),
            published=SCHEMES,
        ),
    )
}

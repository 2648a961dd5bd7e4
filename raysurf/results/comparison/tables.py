"""Layouts of the comparisons: the talk's budgets, parameterisations and prediction schemes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from raysurf.results.comparison.published import BUDGETS, PARAMETERIZATIONS, PRETRAINED, SCHEMES, Published
from raysurf.results.comparison.runs import ComparedRun
from raysurf.store.schemas import SHARE

Reading = tuple[float, int | None]


@dataclass(frozen=True)
class Column:
    """A column of a layout: one metric.

    Args:
        name: Its name, as in the published tables.
        heading: Its printed heading.
        unit: Its unit.
        read: Function of a run: the metric and its number of samples (None if it takes none), or None if the run
            lacks it.
    """

    name: str
    heading: str
    unit: str
    read: Callable[[ComparedRun], Reading | None]


@dataclass(frozen=True)
class Place:
    """The place of a run in a layout.

    Args:
        method: The row, under the run's network and data.
        columns: Names of the columns that it fills.
        series: For runs that fill a part of a row, their job without what decides the column, as JSON: runs of one
            kind with the same series are one configuration. None if a configuration fills the whole row.
    """

    method: str
    columns: tuple[str, ...]
    series: str | None = None


@dataclass(frozen=True)
class Layout:
    """The layout of a comparison, as in the talk.

    Args:
        title: Its title, with the printed units.
        kinds: Kinds of the jobs that it compares.
        method_heading: The heading of its rows, below network and data.
        methods: Rows in their order; others come after them.
        columns: Metrics, in their order.
        rank: The columns by which configurations on one row are sorted, the best last: by the first, then the next.
        place: Function of a run: its place; None if it does not belong here.
        published: The published metrics.
        jobs: Its jobs in words, where their kind is not enough.
        is_bracketed: Whether the row's name stands in brackets after the network's, as in "VGG-16 (200)".
        is_stacked: Whether published metrics have a line of their own below ours, not a column beside each.
        decimals: Printed decimals of percent.
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
    """Column of the test accuracy of some weights under a scheme, with the most samples that were taken."""
    return Column(f"{name} accuracy", heading, SHARE, lambda run: run.accuracies.get((weights, scheme)))


# A budget is rarely hit exactly: 188 epochs of 150 stand for 1.25 of them.
TOLERANCE = 0.02
# Kinds whose own schedule can be a budget of one.
FIRST_KINDS = ("sgd", "variational")

_SWA_BUDGETS = {
    budget: accuracy(f"swa {budget:g}", f"SWA {budget:g}", "average", "deterministic") for budget in (1, 1.25, 1.5)
}
_SGD, _FGE = accuracy("sgd", "SGD", "final", "deterministic"), accuracy("fge", "FGE", "members", "ensemble")
_SWA_EPOCHS = {
    epochs: accuracy(f"swa {epochs} epochs", f"SWA {epochs} epochs", "average", "deterministic") for epochs in (5, 10)
}


def _by_budget(run: ComparedRun) -> Place | None:
    """SGD and FGE of one budget, and SWA of the table's, on the row of their first schedule's epochs."""
    base = _base_epochs(run.spec)
    if run.budget is None or base is None:
        return None
    columns = _SWA_BUDGETS if run.kind == "swa" else {1: _FGE if run.kind == "fge" else _SGD}
    column = next(
        (candidate for budget, candidate in columns.items() if round(abs(run.budget - budget), 9) <= TOLERANCE), None
    )
    return None if column is None else Place(str(base), (column.name,), _series(run))


def _by_epochs(run: ComparedRun) -> Place | None:
    """Weights trained elsewhere, and SWA that starts from them; of their schedule nothing is known."""
    is_pretrained = run.spec.get("start", {}).get("kind") == "weights"
    if run.kind == "weights":
        column = _SGD
    elif run.kind == "swa" and is_pretrained and run.epochs in _SWA_EPOCHS:
        column = _SWA_EPOCHS[int(run.epochs)]
    else:
        return None
    return Place("", (column.name,), _series(run))


def _base_epochs(spec: Mapping[str, Any]) -> int | None:
    """Epochs of a budget of one: those that the first job in the chain of starts states, or of its whole schedule."""
    of_start = _base_epochs(spec["start"]) if "start" in spec else None
    if of_start is None and spec.get("kind") in FIRST_KINDS:
        epochs = spec.get("base_epochs") or spec.get("epochs")
        return None if epochs is None else int(epochs)
    return of_start


def _series(run: ComparedRun) -> str:
    """The job without seeds, and without the length of SWA, which decides its column."""
    without = {name: value for name, value in run.spec.items() if run.kind != "swa" or name not in ("epochs", "budget")}
    return json.dumps(_without_seeds(without), sort_keys=True)


def _without_seeds(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_without_seeds(item) for item in tree]
    if isinstance(tree, dict):
        return {name: _without_seeds(value) for name, value in tree.items() if name != "seed"}
    return tree


BUDGETS_LAYOUT = Layout(
    title="Budgets: test accuracy, %",
    kinds=("sgd", "fge", "swa"),
    method_heading="epochs",
    methods=(),
    columns=(_SGD, _FGE, *_SWA_BUDGETS.values()),
    rank=("swa 1.5 accuracy", "swa 1.25 accuracy", "swa 1 accuracy", "fge accuracy", "sgd accuracy"),
    place=_by_budget,
    published=BUDGETS,
    jobs="sgd or fge of a budget of 1, swa of 1, 1.25 or 1.5",
    is_bracketed=True,
    is_stacked=True,
    decimals=2,
)
PRETRAINED_LAYOUT = Layout(
    title="SWA of pretrained weights: test accuracy, %",
    kinds=("weights", "swa"),
    method_heading="epochs",
    methods=(),
    columns=(_SGD, *_SWA_EPOCHS.values()),
    rank=("swa 10 epochs accuracy", "swa 5 epochs accuracy", "sgd accuracy"),
    place=_by_epochs,
    published=PRETRAINED,
    jobs="weights, swa of them for 5 or 10 epochs",
    is_bracketed=True,
    is_stacked=True,
    decimals=2,
)


DROPOUT = "dropout"


def _metric(name: str) -> Callable[[ComparedRun], Reading | None]:
    return lambda run: (run.metrics[name], None) if name in run.metrics else None


def _accuracy(scheme: str) -> Column:
    return accuracy(scheme, scheme, "final", scheme)


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

PARAMETERIZATIONS_LAYOUT = Layout(
    title="Parameterizations of variational dropout: ELBO on train, nats; test accuracy, %",
    kinds=("variational",),
    method_heading="parameterization",
    methods=("layer", "neuron", "weight", "additive"),
    columns=_ELBO,
    rank=("elbo",),
    place=_row(_sharing, _ELBO),
    published=PARAMETERIZATIONS,
    jobs="variational with noise of kind variational_dropout",
)
SCHEMES_LAYOUT = Layout(
    title="Prediction schemes: test accuracy, %",
    kinds=("variational",),
    method_heading="method",
    methods=(DROPOUT, "variance"),
    columns=_ACCURACIES,
    rank=("ensemble accuracy",),
    place=_row(_method, _ACCURACIES),
    published=SCHEMES,
)


LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "parameterizations": (PARAMETERIZATIONS_LAYOUT,),
    "schemes": (SCHEMES_LAYOUT,),
    "budgets": (BUDGETS_LAYOUT, PRETRAINED_LAYOUT),
}

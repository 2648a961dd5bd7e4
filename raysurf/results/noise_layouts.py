"""The talk's tables of noise: parameterizations of variational dropout, and prediction schemes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from raysurf.results.compared_runs import ComparedRun
from raysurf.results.layout import Column, Layout, Place, Reading, accuracy
from raysurf.results.published import PARAMETERIZATIONS, SCHEMES

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

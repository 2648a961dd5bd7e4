"""The talk's tables of budgets: SGD, FGE and SWA at 1, 1.25 and 1.5 budgets, and SWA of pretrained weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from raysurf.results.compared_runs import ComparedRun
from raysurf.results.layout import Layout, Place, accuracy
from raysurf.results.published import BUDGETS, PRETRAINED

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
    column = next((each for budget, each in columns.items() if round(abs(run.budget - budget), 9) <= TOLERANCE), None)
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
    found = _base_epochs(spec["start"]) if "start" in spec else None
    if found is None and spec.get("kind") in FIRST_KINDS:
        epochs = spec.get("base_epochs") or spec.get("epochs")
        return None if epochs is None else int(epochs)
    return found


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

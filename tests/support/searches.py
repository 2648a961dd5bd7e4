"""A search in closed form: its sweep, its values, and the assignments that are suggested."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import raysurf as rs
from raysurf.cluster.searchers import ConfigurationSearcher
from raysurf.sweep.plan import Configuration
from tests.support.cases import tiny_sgd


def sweep_of(**search: Any) -> rs.Sweep:
    """A conditional space; nothing of it is run."""
    tree = rs.SWA(start=tiny_sgd(seed=0), epochs=2, lr=0.1).with_holes(
        cycle_epochs=rs.Int(1, 2),
        schedule=rs.Choice(
            (
                {"kind": "constant", "lr": rs.Float(0.01, 0.1, log=True)},
                {"kind": "cyclic", "high": 0.2, "low": rs.Float(0.01, 0.05)},
            )
        ),
    )
    tree.pop("lr")
    settings = {"metric": "validation/nll", "trials": 14, "seed": 3, "batch": 2, **search}
    return rs.Sweep(tree, rs.Search(**settings), name="closed")


def bowl(params: Mapping[str, Any]) -> tuple[float, ...]:
    """Best at a constant rate of 0.03."""
    lr = params.get("schedule.constant.lr", 1.0)
    return (abs(math.log(lr / 0.03)) + params["cycle_epochs"],)


def suggested(
    sweep: rs.Sweep, value: Callable[[Mapping[str, Any]], tuple[float, ...]] = bowl, **settings: Any
) -> list[Mapping[str, Any]]:
    """Every assignment of a sweep's one configuration in order of suggestion, each told its value."""
    (params,) = sweep.configurations
    searcher = ConfigurationSearcher(sweep, Configuration(params, sweep.trials_in(params)), **settings)
    while numbers := searcher.next_batch():
        for number in reversed(numbers):
            searcher.tell(number, value(searcher.params[number]), False)
    assert searcher.is_over
    return [searcher.params[number] for number in sorted(searcher.params)]

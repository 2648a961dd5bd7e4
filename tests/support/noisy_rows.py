"""Rows of noisy networks, as jobs write them, that pictures are drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tests.support import stores
from tests.support.stores import Row

NETWORK = {"model": {"name": "lenet5_bn"}, "data": {"name": "mnist"}, "epochs": 30, "seed": 0}
VARIANCE: Row = {"kind": "variational", **NETWORK, "noise": [{"kind": "variance", "layers": "dense1"}]}
DROPOUT: Row = {"kind": "variational", **NETWORK, "noise": [{"kind": "dropout", "layers": "dense1"}]}
COUNTS = (1, 2, 5, 10, 20, 50, 100)


def prediction(run_id: str, scheme: str, num_samples: int, accuracy: float, nll: float, **columns: object) -> Row:
    """A row of ``predictions``."""
    return stores.prediction(run_id, scheme, num_samples, accuracy, nll=nll, **columns)


def schemes(
    run_id: str, deterministic: float, one: float, many: float, counts: Sequence[int] = COUNTS, **controls: float
) -> list[Row]:
    """Rows of ``predictions``: accuracy of the mean weights, of one sample, and of ensembles that near ``many``.

    Controls are accuracies that theirs near. Rows of another split are there too, and must not be drawn.
    """
    rows = [
        prediction(run_id, "deterministic", 1, deterministic, -2.5 * math.log(deterministic)),
        prediction(run_id, "deterministic", 1, 0.5, 0.5, split="validation"),
        prediction(run_id, "stochastic", 1, one, -3.0 * math.log(one)),
    ]
    for scheme, best in {"ensemble": many, **controls}.items():
        for count in counts:
            accuracy = best + (one - best) / count if best > 0.5 else best
            rows.append(prediction(run_id, scheme, count, accuracy, -3.0 * math.log(accuracy)))
    return rows


def activations(
    run_id: str, neuron: int, of_class: Callable[[int], tuple[float, float]], num_classes: int = 10, bins: int = 60
) -> list[Row]:
    """Rows of ``activations``: classes are Gaussians of a mean and standard deviation, over the same bins."""
    moments = [of_class(label) for label in range(num_classes)]
    low, high = min(m - 4 * s for m, s in moments), max(m + 4 * s for m, s in moments)
    edges = np.linspace(low, high, bins + 1)
    rows = []
    for label, (mean, std) in enumerate(moments):
        below = [0.5 * (1 + math.erf((edge - mean) / std / math.sqrt(2))) for edge in edges]
        for number in range(bins):
            row = {"low": edges[number], "high": edges[number + 1], "share": below[number + 1] - below[number]}
            own = {"run_id": run_id, "layer": "dense1", "neuron": neuron, "label": label}
            rows.append(own | row | {"mean": mean, "std": std, "num_draws": 100_000})
    return rows


def inputs(
    run_id: str,
    answer: Callable[[float, float], int],
    output: Callable[[int], tuple[Sequence[float], Sequence[float]]],
    mean_weights: Callable[[float, float], int] = lambda x, y: 0,
    nodes: int = 9,
    examples: Sequence[Mapping[str, float]] = (),
) -> list[Row]:
    """Rows of ``inputs``: a grid over [-2, 2] and test examples, ``answer`` being the truth and the ensemble's."""
    places = [
        ("grid", {"x": x, "y": y}, None) for y in np.linspace(-2, 2, nodes).tolist() for x in np.linspace(-2, 2, nodes)
    ]
    places += [("test", {"x": e["x"], "y": e["y"]}, answer(e["x"], e["y"])) for e in examples]
    rows = []
    for number, (origin, at, label) in enumerate(places):
        given = answer(at["x"], at["y"])
        mean, std = output(given)
        row = {"run_id": run_id, "origin": origin, "point": number, **at, "label": label, "answer": given}
        own = {"confidence": 0.9, "deterministic_answer": mean_weights(at["x"], at["y"]), "layer": "dense2"}
        rows.append(row | own | {"output_mean": list(mean), "output_std": list(std)})
    return rows

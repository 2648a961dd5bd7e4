"""Assignments of holes: every one of a grid, or a few that touch every bound and option."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from raysurf.errors import Fault, SpecError
from raysurf.sweep.holes import (
    Choice,
    Each,
    Float,
    Hole,
    Int,
    Params,
    Tree,
    at_step,
    highest,
    labels,
    num_steps,
    parameters,
)


def grid(tree: Tree) -> list[Params]:
    """Every assignment of every hole; holes inside an option only where it is chosen.

    Raises:
        SpecError: If a ``Float`` has no step.
    """
    faults = [
        Fault(name, f"{hole}", "a step, for a grid")
        for name, hole in parameters(tree).items()
        if isinstance(hole, Float) and hole.step is None and hole.low < hole.high
    ]
    if faults:
        raise SpecError(faults)
    return list(_assignments(tree, lambda name, hole: _values(hole)))


def samples(tree: Tree) -> list[Params]:
    """A few assignments that between them touch every bound and every option, their number linear in both."""
    first = {name: _extremes(hole)[0] for name, hole in parameters(tree).items()}
    found = list(_assignments(tree, lambda name, hole: [first[name]]))
    for varied, hole in parameters(tree).items():
        for value in _extremes(hole)[1:]:
            fixed = reaching(tree, varied) | {varied: value}
            found += _assignments(tree, lambda name, _, fixed=fixed: [fixed.get(name, first[name])])  # type: ignore[misc]
    unique = {repr(sorted(params.items())): params for params in found}
    return list(unique.values())


def reaching(tree: Tree, wanted: str) -> Params:
    """The choices that lead to a parameter."""
    chosen: Params = {}
    for name, hole in parameters(tree).items():
        if isinstance(hole, Choice | Each):
            for label in labels(hole):
                inside = f"{name}.{label}" if name else label
                if wanted.startswith(f"{inside}.") or (wanted == inside and wanted != name):
                    chosen[name] = label
    return chosen


def _extremes(hole: Hole) -> list[Any]:
    if isinstance(hole, Float | Int):
        top = highest(hole)
        return [hole.low, top] if hole.low != top else [hole.low]
    return labels(hole)


def _values(hole: Hole) -> list[Any]:
    if isinstance(hole, Choice | Each):
        return labels(hole)
    if hole.step is None:
        return [hole.low]
    return [at_step(hole, number) for number in range(num_steps(hole.low, hole.high, hole.step) + 1)]


def _assignments(tree: Tree, values: Callable[[str, Hole], list[Any]], name: str = "") -> Iterator[Params]:
    if isinstance(tree, Float | Int):
        for value in values(name, tree):
            yield {name: value}
    elif isinstance(tree, Choice | Each):
        known = labels(tree)
        for label in values(name, tree):
            inside = f"{name}.{label}" if name else label
            for inner in _assignments(tree.options[known.index(label)], values, inside):
                yield {name: label, **inner}
    elif isinstance(tree, Mapping | list):
        items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        parts = [list(_assignments(v, values, f"{name}.{k}" if name else str(k))) for k, v in items]
        for combination in itertools.product(*parts):
            yield {k: v for part in combination for k, v in part.items()}
    else:
        yield {}

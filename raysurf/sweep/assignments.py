"""Assignments of holes: every one of a grid, or a few that touch every bound and option."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    places,
)


def grid(tree: Tree, arm: Mapping[str, Any] | None = None) -> Iterator[Params]:
    """Every assignment of every hole, or of those of one arm; holes inside an option only where it is chosen.

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
    fixed = arm or {}
    return _assignments(tree, lambda name, hole: [fixed[name]] if name in fixed else _values(hole))


def searched(tree: Tree, given: Mapping[str, Any]) -> Iterator[Params]:
    """Every assignment of the searched holes in turn, with the values that are given for some.

    A ``Float`` without steps has its lowest value alone; axes are left out.
    """
    axes = {name: labels(hole)[0] for name, hole in parameters(tree).items() if isinstance(hole, Each)}
    fixed = {**axes, **given}
    for found in _assignments(tree, lambda name, hole: [fixed[name]] if name in fixed else _values(hole)):
        yield {name: value for name, value in found.items() if name not in axes}


def size(tree: Tree) -> float:
    """How many assignments the searched holes have, an ``Each`` being one option; infinity if one is continuous."""
    if isinstance(tree, Float | Int):
        if tree.low == tree.high:
            return 1
        return math.inf if tree.step is None else num_steps(tree.low, tree.high, tree.step) + 1
    if isinstance(tree, Choice):
        return sum(map(size, tree.options))
    if isinstance(tree, Mapping | list):
        return math.prod(map(size, tree.values() if isinstance(tree, Mapping) else tree))
    return 1


def samples(tree: Tree) -> list[Params]:
    """A few assignments that between them touch every bound and every option, their number linear in both."""
    every = list(places(tree))
    first = {place.name: _extremes(place.hole)[0] for place in every}
    found = list(_assignments(tree, lambda name, hole: [first[name]]))
    for place in every:
        for value in _extremes(place.hole)[1:]:
            fixed = place.chosen | {place.name: value}
            found += _assignments(tree, lambda name, _, fixed=fixed: [fixed.get(name, first[name])])  # type: ignore[misc]
    unique = {repr(sorted(params.items())): params for params in found}
    return list(unique.values())


def _extremes(hole: Hole) -> Sequence[Any]:
    if isinstance(hole, Float):
        return [float(each) for each in dict.fromkeys((hole.low, highest(hole)))]
    if isinstance(hole, Int):
        return list(dict.fromkeys((hole.low, highest(hole))))
    return labels(hole)


def _values(hole: Hole) -> Iterable[Any]:
    if isinstance(hole, Choice | Each):
        return labels(hole)
    if hole.step is None:
        return [float(hole.low)]
    return (at_step(hole, number) for number in range(num_steps(hole.low, hole.high, hole.step) + 1))


def _assignments(tree: Tree, values: Callable[[str, Hole], Iterable[Any]], name: str = "") -> Iterator[Params]:
    if isinstance(tree, Float | Int):
        for value in values(name, tree):
            yield {name: value}
    elif isinstance(tree, Choice | Each):
        for label in values(name, tree):
            inside = f"{name}.{label}" if name else label
            for inner in _assignments(tree.by_label[label], values, inside):
                yield {name: label, **inner}
    elif isinstance(tree, Mapping | list):
        items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        yield from _product([(v, f"{name}.{k}" if name else str(k)) for k, v in items if any(places(v))], values)
    else:
        yield {}


def _product(parts: Sequence[tuple[Tree, str]], values: Callable[[str, Hole], Iterable[Any]]) -> Iterator[Params]:
    """Every combination of the assignments of some trees, one at a time, the last tree's varying fastest."""
    if not parts:
        yield {}
        return
    (tree, name), *others = parts
    for own in _assignments(tree, values, name):
        for rest in _product(others, values):
            yield own | rest

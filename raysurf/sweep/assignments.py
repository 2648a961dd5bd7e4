"""Assignments of holes: grids, samples, and the ones that a user or an earlier sweep gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from raysurf.errors import Fault, SpecError, nearest
from raysurf.sweep.space import (
    Choice,
    Each,
    Float,
    Hole,
    Int,
    Params,
    Tree,
    at_step,
    children,
    highest,
    labels,
    num_steps,
    parameters,
    places,
    under,
)
from raysurf.values import shown


def grid(tree: Tree, configuration: Mapping[str, Any] | None = None) -> Iterator[Params]:
    """Every assignment of every hole, or of those of one configuration; holes inside an option only where it is chosen.

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
    fixed = configuration or {}
    return _assignments(tree, lambda name, hole: [fixed[name]] if name in fixed else _values(hole))


def searched(tree: Tree, given: Mapping[str, Any]) -> Iterator[Params]:
    """Every assignment of the searched holes in turn, with the values that are given for some.

    A ``Float`` without steps has its lowest value alone; axes are left out.
    """
    axes = {name: labels(hole)[0] for name, hole in parameters(tree).items() if isinstance(hole, Each)}
    fixed = {**axes, **given}
    for params in _assignments(tree, lambda name, hole: [fixed[name]] if name in fixed else _values(hole)):
        yield {name: value for name, value in params.items() if name not in axes}


def size(tree: Tree) -> float:
    """How many assignments the searched holes have, an ``Each`` being one option; infinity if one is continuous."""
    if isinstance(tree, Float | Int):
        if tree.low == tree.high:
            return 1
        return math.inf if tree.step is None else num_steps(tree.low, tree.high, tree.step) + 1
    if isinstance(tree, Choice):
        return sum(map(size, tree.options))
    if isinstance(tree, Each):
        return 1
    return math.prod(size(part) for _, part in children(tree))


def samples(tree: Tree) -> list[Params]:
    """A few assignments that between them touch every bound and every option, their number linear in both."""
    every = list(places(tree))
    first = {place.name: _extremes(place.hole)[0] for place in every}
    every_params = list(_assignments(tree, lambda name, hole: [first[name]]))
    for place in every:
        for value in _extremes(place.hole)[1:]:
            fixed = place.chosen | {place.name: value}
            every_params += _assignments(tree, lambda name, _, fixed=fixed: [fixed.get(name, first[name])])  # type: ignore[misc]
    unique = {repr(sorted(params.items())): params for params in every_params}
    return list(unique.values())


def _extremes(hole: Hole) -> Sequence[Any]:
    if isinstance(hole, Float):
        return [float(bound) for bound in dict.fromkeys((hole.low, highest(hole)))]
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
            for inner in _assignments(tree.by_label[label], values, under(name, label)):
                yield {name: label, **inner}
    else:
        yield from _product([(part, under(name, step)) for step, part in children(tree) if any(places(part))], values)


def _product(parts: Sequence[tuple[Tree, str]], values: Callable[[str, Hole], Iterable[Any]]) -> Iterator[Params]:
    """Every combination of the assignments of some trees, one at a time, the last tree's varying fastest."""
    if not parts:
        yield {}
        return
    (tree, name), *others = parts
    for own in _assignments(tree, values, name):
        for rest in _product(others, values):
            yield own | rest


# As near to a step as Optuna's own distributions ask for.
STEP_TOLERANCE = 1e-8


def canonical(hole: Hole, value: Any) -> Any:
    """A value in canonical form; None if it is not in the hole's range.

    It is a float, a whole number or a label. One with a step is counted in decimals: 0.7, not 0.1 + 6 * 0.1.
    """
    if isinstance(hole, Choice | Each):
        return _label(hole, value)
    whole = isinstance(hole, Int)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return None
    if hole.step is not None and not hole.log:
        steps = (value - hole.low) / hole.step
        number, most = round(steps), num_steps(hole.low, hole.high, hole.step)
        return at_step(hole, number) if abs(steps - number) <= STEP_TOLERANCE and 0 <= number <= most else None
    if not hole.low <= value <= hole.high:
        return None
    return value if whole else float(value)


def _label(hole: Choice | Each, value: Any) -> str | None:
    """The label of the option that a value names, or is."""
    if isinstance(value, str) and value in hole.by_label:
        return value
    same = (label for label, option in hole.by_label.items() if type(option) is type(value) and option == value)
    return next(same, None)


def reached(tree: Tree, params: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Hole]]:
    """The searched holes that an assignment comes upon, which goes into an option only where it chooses one."""
    if isinstance(tree, Float | Int | Choice):
        yield name, tree
    if isinstance(tree, Choice):
        if (label := canonical(tree, params.get(name))) is not None:
            yield from reached(tree.by_label[label], params, under(name, label))
    elif not isinstance(tree, Each):
        for step, part in children(tree):
            yield from reached(part, params, under(name, step))


def _expanded(tree: Tree, params: Mapping[str, Any]) -> dict[str, Any]:
    """Rewrite a choice given by the value of a hole among its options as that option and the hole's value."""
    searched = {place.name: place.hole for place in places(tree)}
    expanded: dict[str, Any] = {}
    for name, value in params.items():
        hole = searched.get(name)
        if isinstance(hole, Choice) and _label(hole, value) is None:
            for label, option in hole.by_label.items():
                inside = under(name, label)
                if isinstance(option, Float | Int) and inside not in params and canonical(option, value) is not None:
                    expanded |= {name: label, inside: value}
                    break
        expanded.setdefault(name, value)
    return expanded


def misfits(tree: Tree, params: Mapping[str, Any]) -> list[Fault]:
    """Everything that is wrong with a point, each fault at the name of its hole.

    Args:
        tree: With holes.
        params: A value, or for a choice an option or its label, by hole; holes may be left out.
    """
    params = _expanded(tree, params)
    every = {place.name: place for place in places(tree) if not isinstance(place.hole, Each)}
    searched = {name: place.hole for name, place in every.items()}
    there = dict(reached(tree, params))
    faults = []
    for name, value in params.items():
        if name not in searched:
            near = nearest(name, searched)
            hint = f"did you mean {near!r}?" if near else ""
            faults.append(Fault(name, "no searched hole", f"one of {', '.join(searched)}", hint))
        elif name not in there:
            chosen = {choice: label for choice, label in every[name].chosen.items() if choice in searched}
            known = {choice: canonical(searched[choice], params.get(choice)) for choice in chosen}
            if all(known[choice] is not None for choice in chosen if choice in params):
                needed = ", ".join(f"{choice}: {label}" for choice, label in chosen.items() if known[choice] != label)
                faults.append(Fault(name, shown(value), f"{needed} beside it, where this hole is"))
        elif canonical(searched[name], value) is None:
            faults.append(Fault(name, shown(value), f"a value in {searched[name]}"))
    return faults


def fitted(tree: Tree, params: Mapping[str, Any]) -> Params:
    """A point that fits, its values as suggestions have them."""
    holes = {place.name: place.hole for place in places(tree)}
    return {name: canonical(holes[name], value) for name, value in _expanded(tree, params).items()}


def is_whole(tree: Tree, params: Mapping[str, Any]) -> bool:
    """Whether an assignment gives every hole that it comes upon one of the hole's values, and names no other."""
    there = dict(reached(tree, params))
    return there.keys() == params.keys() and all(
        canonical(hole, params[name]) is not None for name, hole in there.items()
    )

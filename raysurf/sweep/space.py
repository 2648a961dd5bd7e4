"""Holes: the places of a job that a sweep fills, and how they are filled.

A tree is made of mappings, lists, scalars and holes; an option of a ``Choice`` is a tree again, so that a hole
inside it is a conditional parameter. Parameters are named by their dotted path; what lies inside an option has the
option's label in its path, as in ``schedule.cyclic.low``.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from raysurf.errors import Fault, SpecError

# Each option and each setting is parsed before anything is run.
MAX_OPTIONS = MAX_SETTINGS = 5_000
LONGEST_LABEL = 40
# What a float can count.
MAX_STEPS = 2**53

Path = tuple[str | int, ...]
Tree = Any
Params = dict[str, Any]


def _refuse(got: str, expected: str) -> SpecError:
    return SpecError([Fault("", got, expected)])


def _number(value: Any, whole: bool) -> bool:
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _check_range(hole: Float | Int, whole: bool) -> None:
    what = "whole numbers" if whole else "finite numbers"
    if not (_number(hole.low, whole) and _number(hole.high, whole)):
        raise _refuse(f"low {hole.low!r}, high {hole.high!r}", what)
    if hole.low > hole.high:
        raise _refuse(f"low {hole.low:g} above high {hole.high:g}", "low at most high")
    if not isinstance(hole.log, bool):
        raise _refuse(f"log {hole.log!r}", "true or false")
    if hole.log and hole.low <= 0:
        raise _refuse(f"low {hole.low:g} with log", "low above 0, since a logarithmic range has no 0")
    given = whole or hole.step is not None
    if given and not (_number(hole.step, whole) and hole.step is not None and hole.step > 0):
        raise _refuse(f"step {hole.step!r}", f"{what}, above 0")
    if hole.log and hole.step != (1 if whole else None):
        raise _refuse(f"step {hole.step!r} with log", "one of step and log")
    if hole.step is not None and (hole.high - hole.low) / hole.step > MAX_STEPS:
        raise _refuse(f"step {hole.step:g} between {hole.low:g} and {hole.high:g}", "fewer values than 2**53")


class _Range:
    def __post_init__(self: Float | Int) -> None:  # type: ignore[misc]
        _check_range(self, whole=isinstance(self, Int))

    def __str__(self: Float | Int) -> str:  # type: ignore[misc]
        whole = isinstance(self, Int)
        low, high, step = (str(number) if whole else f"{number:g}" for number in (self.low, self.high, self.step or 1))
        shows_step = self.step is not None and not (whole and self.step == 1)
        return f"{low} .. {high}" + ", log" * self.log + f", step {step}" * shows_step


@dataclass(frozen=True)
class Float(_Range):
    """A number between two bounds, both included.

    Args:
        low, high: The bounds.
        log: Whether to search its logarithm.
        step: Distance of the values; needed for a grid.

    Raises:
        SpecError: If the bounds are no range.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Int(_Range):
    """A whole number between two bounds, both included.

    Args:
        low, high: The bounds.
        log: Whether to search its logarithm.
        step: Distance of the values.

    Raises:
        SpecError: If the bounds are no range.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1


@dataclass(frozen=True)
class _Options:
    options: tuple[Tree, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.options, tuple | list):
            raise _refuse(repr(self.options), "a list or tuple of options")
        object.__setattr__(self, "options", tuple(self.options))
        if not self.options:
            raise _refuse("an empty choice", "at least one option")

    def __hash__(self) -> int:
        return hash(_frozen(self.options))

    @cached_property
    def by_label(self) -> dict[str, Tree]:
        """The options by their labels, in order."""
        return dict(zip(_labels(self.options), self.options, strict=True))


class Choice(_Options):
    """One of several options, which may be trees with holes of their own.

    Args:
        options: What is chosen from.

    Raises:
        SpecError: If there is no option.
    """

    def __str__(self) -> str:
        return " | ".join(self.by_label)


class Each(_Options):
    """A factorial axis: every option in turn, each a setting to be compared.

    Args:
        options: The settings.

    Raises:
        SpecError: If there is none.
    """

    def __str__(self) -> str:
        return "each of " + ", ".join(self.by_label)


Searched = Float | Int | Choice
Hole = Searched | Each


def _frozen(tree: Tree) -> Any:
    """What equal trees have in common, hashable: mappings and lists are taken apart."""
    if isinstance(tree, Mapping):
        return frozenset((key, _frozen(value)) for key, value in tree.items())
    if isinstance(tree, list | tuple):
        return tuple(map(_frozen, tree))
    return tree


def labels(hole: Choice | Each) -> list[str]:
    """A readable name for every option, each once.

    It is its ``kind`` or ``name``, with its network where that would not tell options apart; its value; of a hole
    ``float``, ``int`` or ``choice``; or its number.
    """
    return list(hole.by_label)


def _labels(options: Sequence[Tree]) -> list[str]:
    named = [_named(option) for option in options]
    alike = Counter(named)
    names = []
    for i, option in enumerate(options):
        if isinstance(option, Mapping):
            network = _named(option.get("model")) if alike[named[i]] > 1 else None
            names.append(" ".join(part for part in (named[i], network) if part) or f"option {i + 1}")
        elif isinstance(option, Hole):
            names.append(type(option).__name__.lower())
        elif isinstance(option, list):
            text = "list" if any(places(option)) else json.dumps(option, default=str)
            names.append(text if len(text) <= LONGEST_LABEL else "list")
        else:
            names.append(str(option).lower() if isinstance(option, bool) else str(option))
    while len(set(names)) < len(names):
        counts = Counter(names)
        names = [name if counts[name] == 1 else f"{name} ({i + 1})" for i, name in enumerate(names)]
    return names


def _named(option: Tree) -> str | None:
    """What a mapping calls itself, or a plain word."""
    name = option.get("kind") or option.get("name") if isinstance(option, Mapping) else option
    return name if isinstance(name, str) else None


def children(tree: Tree) -> Iterator[tuple[str | int, Tree]]:
    """The parts of a mapping, a list or a hole, each with its key, number or option label."""
    if isinstance(tree, Choice | Each):
        yield from tree.by_label.items()
    elif isinstance(tree, Mapping):
        yield from tree.items()
    elif isinstance(tree, list):
        yield from enumerate(tree)


def under(name: str, step: str | int) -> str:
    """The dotted path of a part."""
    return f"{name}.{step}" if name else str(step)


def _replaced(tree: Tree, name: str, take: Callable[[str, Hole], Any]) -> Tree:
    """Rebuild a tree with what ``take`` makes of every hole; a choice gives the label whose option to go into."""
    if isinstance(tree, Float | Int):
        return take(name, tree)
    if isinstance(tree, Choice | Each):
        label = take(name, tree)
        if label not in tree.by_label:
            raise SpecError([Fault(name, repr(label), f"one of {', '.join(tree.by_label)}")])
        return _replaced(tree.by_label[label], under(name, label), take)
    inner = {step: _replaced(part, under(name, step), take) for step, part in children(tree)}
    return inner if isinstance(tree, Mapping) else list(inner.values()) if isinstance(tree, list) else tree


@dataclass(frozen=True)
class Place:
    """A hole, its parameter's name, the choices that lead to it, and its path, options by their numbers."""

    name: str
    hole: Hole
    chosen: Params
    path: Path


def places(tree: Tree, name: str = "", chosen: Params | None = None, path: Path = ()) -> Iterator[Place]:
    """Every hole of a tree, those inside options included."""
    chosen, is_choice = chosen or {}, isinstance(tree, Choice | Each)
    if isinstance(tree, Hole):
        yield Place(name, tree, chosen, path)
    for number, (step, part) in enumerate(children(tree)):
        inside = {**chosen, name: step} if is_choice else chosen
        yield from places(part, under(name, step), inside, (*path, number if is_choice else step))


def without_holes(tree: Tree) -> Iterator[Mapping[str, Any]]:
    """All mappings in which nothing is searched, those in options of choices among them."""
    if isinstance(tree, Mapping) and not any(places(tree)):
        yield tree
    for _, part in children(tree):
        yield from without_holes(part)


def parameters(tree: Tree) -> dict[str, Hole]:
    """Every hole by its parameter's name, those inside options included.

    Raises:
        SpecError: If two holes have one name, as ``a.b`` and the ``b`` of ``a`` have.
    """
    every = list(places(tree))
    counts = Counter(place.name for place in every)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise SpecError([Fault(name, f"{counts[name]} holes of this name", "one hole a name") for name in twice])
    return {place.name: place.hole for place in every}


def configurations(tree: Tree) -> list[Params]:
    """Every combination of the ``Each`` axes; one empty one if there are none.

    Raises:
        SpecError: If an axis lies inside an option of another hole, or there are too many options or combinations.
    """
    axes, num_options = {}, 0
    for place in places(tree):
        num_options += len(getattr(place.hole, "options", ()))
        if num_options > MAX_OPTIONS:
            raise SpecError([Fault(place.name, f"over {MAX_OPTIONS:,} options of all holes", "fewer options")])
        if isinstance(place.hole, Each):
            if place.chosen:
                raise SpecError([Fault(place.name, "an axis inside an option", "!each outside every choice")])
            axes[place.name] = labels(place.hole)
    if (count := math.prod(map(len, axes.values()))) > MAX_SETTINGS:
        expected = f"at most {MAX_SETTINGS:,}, or a search over some of them by !choice"
        raise SpecError([Fault(" x ".join(axes), f"{count:,} settings", expected)])
    return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*axes.values())]


def choose(tree: Tree, take: Callable[[str, Searched], Any]) -> Params:
    """Ask for a value of every searched hole, going only into the options that are chosen.

    Args:
        tree: With holes; ``Each`` axes are left out.
        take: Given a hole and its parameter's name; for a choice it gives the label of an option.
    """
    params: Params = {}

    def taken(name: str, hole: Hole) -> Any:
        if isinstance(hole, Each):
            return labels(hole)[0]
        params[name] = take(name, hole)
        return params[name]

    _replaced(tree, "", taken)
    return params


def suggest(tree: Tree, trial: Any) -> Params:
    """Ask Optuna for every searched hole.

    Args:
        tree: With holes; ``Each`` axes are left out.
        trial: An ``optuna.Trial``.
    """

    def take(name: str, hole: Searched) -> Any:
        if isinstance(hole, Choice):
            return trial.suggest_categorical(name, labels(hole))
        if isinstance(hole, Int):
            return trial.suggest_int(name, hole.low, highest(hole), log=hole.log, step=hole.step)
        return trial.suggest_float(name, hole.low, highest(hole), log=hole.log, step=hole.step)

    return choose(tree, take)


def fill(tree: Tree, params: Mapping[str, Any]) -> Tree:
    """Put values into every hole.

    Args:
        tree: With holes.
        params: A value, or for a choice the label of an option, by parameter.

    Returns:
        A tree without holes.

    Raises:
        SpecError: If a parameter is missing, or names no hole of what was chosen.
    """
    used = set()

    def take(name: str, hole: Hole) -> Any:
        if name not in params:
            raise SpecError([Fault(name, "no value", f"a value in {hole}")])
        used.add(name)
        return params[name]

    filled = _replaced(tree, "", take)
    if extra := sorted(params.keys() - used):
        raise SpecError(
            [Fault(extra[0], repr(params[extra[0]]), f"a hole there; the holes are {', '.join(used) or 'none'}")]
        )
    return filled


def in_order(tree: Tree) -> Tree:
    """The same tree, with the keys of every mapping in alphabetical order."""
    if isinstance(tree, Mapping):
        return {k: in_order(tree[k]) for k in sorted(tree, key=str)}
    if isinstance(tree, list):
        return [in_order(inner) for inner in tree]
    if isinstance(tree, Choice | Each):
        return type(tree)(tuple(in_order(option) for option in tree.options))
    return tree


def meaning(hole: Hole) -> list[Any]:
    """A hole in canonical form: its kind, and its bounds or option labels."""
    if isinstance(hole, Choice | Each):
        return [type(hole).__name__, labels(hole)]
    as_kind = int if isinstance(hole, Int) else float
    step = None if hole.step is None else as_kind(hole.step)
    return [type(hole).__name__, as_kind(hole.low), as_kind(hole.high), hole.log, step]


def num_steps(low: float, high: float, step: float) -> int:
    """Whole steps between two bounds, counted in decimals, as 0.3 is three times 0.1."""
    return int((Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step)))


def highest(hole: Float | Int) -> Any:
    """The highest value that the steps reach."""
    if hole.step is None or hole.log:
        return hole.high
    return at_step(hole, num_steps(hole.low, hole.high, hole.step))


def at_step(hole: Float | Int, number: int) -> Any:
    """The value that lies so many steps above the lowest, counted in decimals; the hole has a step."""
    if isinstance(hole, Int):
        return hole.low + number * hole.step
    return float(Decimal(str(hole.low)) + number * Decimal(str(hole.step)))

"""From a tree of plain mappings to a job, finding every fault on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_origin

from pydantic import ValidationError

from raysurf.data import registry as data_sets
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError, SpecError, UnknownNameError, nearest
from raysurf.jobs.job import Job
from raysurf.jobs.registry import kinds
from raysurf.models import registry as models
from raysurf.models.spec import ModelSpec
from raysurf.values import Node, Path, PathFault, fault, pydantic_fault, shown, values_in


def parse_job(tree: Mapping[str, Any], look_up: bool = True) -> Job:
    """Build a job from a tree.

    Args:
        tree: As in YAML: ``kind`` and the fields of that kind, inputs nested.
        look_up: Whether the networks and data that it names must be there; a network's module is imported for it.

    Raises:
        SpecError: With every fault of the tree.
    """
    job, faults = parse(tree, Job, (), look_up)
    if faults:
        raise SpecError([fault for _, fault in faults])
    assert isinstance(job, Job)
    return job


def parse(
    tree: Any, expected: type[Node] | tuple[type[Node], ...], path: Path, look_up: bool = True
) -> tuple[Node | None, list[PathFault]]:
    """Build one node of a tree, its inner nodes first.

    Args:
        tree: What stands at ``path``.
        expected: The classes of which one must stand there.
        path: Where the node stands in the document.
        look_up: See ``parse_job``.

    Returns:
        The node, or None if it has faults; and the faults, each with its path.
    """
    possible = kinds(expected)
    if isinstance(tree, Node):
        return tree, []
    if not isinstance(tree, Mapping):
        return None, [fault(path, shown(tree), f"a mapping with kind: one of {', '.join(possible)}")]
    kind = tree.get("kind")
    if not isinstance(kind, str) or kind not in possible:
        known = f"one of {', '.join(possible)}"
        if kind is None:
            return None, [fault(path, "no kind", f"kind: {known}")]
        near = nearest(str(kind), possible)
        return None, [fault((*path, "kind"), shown(kind), known, f"did you mean {near!r}?" if near else "")]
    cls = possible[kind]
    values: dict[str, Any] = {}
    faults: list[PathFault] = []
    unbuilt: set[str | int] = set()
    for name, inner in tree.items():
        if name == "kind":
            continue
        wanted = _nodes(cls, name)
        if wanted and isinstance(inner, list) and _is_list(cls, name):
            parsed = [parse(item, wanted, (*path, name, i), look_up) for i, item in enumerate(inner)]
            inner = [item for item, _ in parsed]
            faults += [each for _, found in parsed for each in found]
        elif wanted and inner is not None:
            inner, found = parse(inner, wanted, (*path, name), look_up)
            faults += found
            if inner is None:
                unbuilt.add(name)
        values[name] = inner
    node, found = _validate(cls, values, path)
    found = [fault for fault in found if unbuilt.isdisjoint(fault[0][len(path) :][:1])]
    faults += [
        fault for fault in found if not _concerns(fault[0], faults) and not _missing_in(values, fault[0][len(path) :])
    ]
    faults = _checked(cls, values, path, faults) if look_up else faults
    return (None if faults else node), faults


def _nodes(cls: type[Node], name: str) -> tuple[type[Node], ...]:
    field = cls.model_fields.get(name)
    return tuple(_node_types(field.annotation)) if field else ()


def _node_types(annotation: Any) -> list[type[Node]]:
    return [cls for cls in values_in(annotation) if issubclass(cls, Node)]


def _is_list(cls: type[Node], name: str) -> bool:
    return get_origin(cls.model_fields[name].annotation) is tuple


def _missing_in(values: Mapping[str, Any], inner: Path) -> bool:
    """Whether a fault is about an item of a list that could not be built, whose own faults are told already."""
    items = values.get(str(inner[0])) if len(inner) > 1 else None
    return isinstance(items, list) and isinstance(inner[1], int) and inner[1] < len(items) and items[inner[1]] is None


def _concerns(path: Path, faults: Sequence[PathFault]) -> bool:
    """Whether a fault is but the echo of one already found at or under its place."""
    return any(found[: len(path)] == path or path[: len(found)] == found for found, _ in faults)


def _validate(cls: type[Node], values: dict[str, Any], path: Path) -> tuple[Node | None, list[PathFault]]:
    try:
        return cls.model_validate(values), []
    except ValidationError as error:
        return None, [pydantic_fault(cls, dict(e), path) for e in error.errors(include_url=False)]


def _checked(cls: type[Node], values: Mapping[str, Any], path: Path, faults: list[PathFault]) -> list[PathFault]:
    """Add the faults of names that only a registry knows: models, data sets and pretrained weights."""
    for name in ("model", "data", "pretrained"):
        if name in cls.model_fields and values.get(name) is not None and not _concerns((*path, name), faults):
            try:
                if name == "data":
                    data_sets.check(DataSpec.model_validate(DataSpec.parse(values[name])))
                elif name == "model":
                    model = _model(values)
                    models.check(model.name, model.options)
                elif not _concerns((*path, "model"), faults):
                    models.check_pretrained(_model(values).name, values[name])
            except UnknownNameError as error:
                known = f"one of {', '.join(error.known)}"
                faults.append(fault((*path, name), shown(error.got), known, error.hint))
            except DataError as error:
                faults.append(fault((*path, name), error.got, error.expected))
            except SpecError as error:
                faults += [
                    fault((*path, *each.where.split(".")), each.got, each.expected, each.hint) for each in error.faults
                ]
            except (ValidationError, ValueError):
                pass
    return faults


def _model(values: Mapping[str, Any]) -> ModelSpec:
    return ModelSpec.model_validate(ModelSpec.parse(values.get("model")))

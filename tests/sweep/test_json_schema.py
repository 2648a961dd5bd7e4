"""The JSON Schema of sweep files: all that is shipped is valid by it, and nothing with a value of another type is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from raysurf.sweep import yaml_reader
from raysurf.sweep.json_schema import json_schema
from raysurf.sweep.space import Choice, Each, Float, Int
from tests.support.cases import ROOT

FILES = sorted((ROOT / "sweeps").rglob("*.yaml"))
# Under these any key may stand, with any value.
FREE = ("points", "initial", "options")
DOCUMENT = {
    "name": "all-holes",
    "job": {
        "kind": "swa",
        "start": Choice(({"kind": "sgd", "model": "lenet5", "data": "digits", "epochs": 2, "lr": Float(0.1, 0.2)},)),
        "epochs": Each((2, 4)),
        "schedule": Choice(({"kind": "constant", "lr": Float(0.01, 0.1, log=True)}, {"kind": "constant", "lr": 0.1})),
        "momentum": Choice((0, Float(0.5, 0.9, step=0.1))),
        "cycle_epochs": Int(1, 2),
        "nesterov": Choice((True, False)),
    },
    "search": {"metric": "validation/nll", "sampler": {"kind": "tpe"}, "trials": 3, "stopping": {"kind": "asha"}},
    "seeds": [0, 1],
    "baselines": [
        {"kind": "sgd", "epochs": 1, "model": {"name": "toy_mlp", "options": {"width": 8}}, "data": {"name": "digits"}}
    ],
    "resources": {"workers": [1, 2], "gpus": 0.5},
    "budget": {"trials": 2},
    "failures": {"retries": 1},
}


@cache
def checker() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def as_json(tree: Any) -> Any:
    """A document as an editor reads it, which leaves out tags."""
    if isinstance(tree, Float | Int):
        return {"low": tree.low, "high": tree.high, "log": tree.log} | (
            {} if tree.step is None else {"step": tree.step}
        )
    if isinstance(tree, Choice | Each):
        return [as_json(option) for option in tree.options]
    if isinstance(tree, dict):
        return {key: as_json(value) for key, value in tree.items()}
    return [as_json(value) for value in tree] if isinstance(tree, list) else tree


def paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of a document stand, save under keys that may hold anything."""
    if path:
        yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        if key not in FREE:
            yield from paths(value, (*path, key))


def broken(tree: Any, path: tuple[Any, ...]) -> Any:
    """The document with a value of another type in one place: a number for a text, and a text for all else."""
    changed = copy.deepcopy(tree)
    at(changed, path[:-1])[path[-1]] = 3.5 if isinstance(at(tree, path), str) else {"no": "such"}
    return changed


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    return reduce(getitem, path, tree)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_shipped_files_are_valid(file: Path) -> None:
    """Every document of every shipped file is valid."""
    trees = [as_json(document.tree) for document in yaml_reader.read(file)]
    assert [error.message for tree in trees for error in checker().iter_errors(tree)] == []


def test_values_of_another_type_are_invalid() -> None:
    """A document with one value of another type is not valid: every key of every kind that the shipped files have."""
    seen = set()
    for tree in [as_json(document.tree) for file in FILES for document in yaml_reader.read(file)]:
        for path in paths(tree):
            around = at(tree, path[:-1])
            where = around.get("kind", path[:-1]) if isinstance(around, dict) else path[-2], path[-1]
            if repr(where) not in seen:
                seen.add(repr(where))
                assert not checker().is_valid(broken(tree, path)), path
    assert len(seen) > 200


def test_every_hole_is_known() -> None:
    """Holes of all kinds may stand under a job, one in another, and values of another type in none of them."""
    tree = as_json(DOCUMENT)
    assert [error.message for error in checker().iter_errors(tree)] == []
    assert [path for path in paths(tree) if checker().is_valid(broken(tree, path))] == []
    for change in ({"seeds": {"low": 1, "high": 2}}, {"nmae": "x"}, {"job": {**tree["job"], "seed": [1, 2]}}):
        assert not checker().is_valid({**tree, **change})


def test_descriptions_and_defaults() -> None:
    """Every key has a description, and what may be left out its default, holes or none."""
    schema = json_schema()
    for name in ("SweepFile", "Search", "SGD", "SWA", "Plane", "Resources"):
        properties = schema["$defs"][name]["properties"]
        assert [key for key, value in properties.items() if key != "kind" and not value.get("description")] == []
        required = schema["$defs"][name].get("required", [])
        assert [key for key, value in properties.items() if key not in required and "default" not in value] == []

"""JSON Schema of a sweep file's documents, from the models that check them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from raysurf import plugs
from raysurf.data.registry import function_of
from raysurf.data.source import source_of
from raysurf.data.spec import DataSpec
from raysurf.jobs.job import Job
from raysurf.models.registry import GIVEN
from raysurf.sweep.search import INITIAL, Budget, Search
from raysurf.sweep.sweep import Failures, Resources
from raysurf.values import json_schemas

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def json_schema() -> dict[str, Any]:
    """A sweep, or a job by itself; all kinds, networks and data sets, those of other packages too.

    What stands in a hole's place (``!float`` and the like) is no part of it. It imports torch, for the options of
    networks are arguments of their builders.
    """
    found, definitions = json_schemas(Job, Search, Resources, Budget, Failures)
    job, search, resources, budget, failures = found
    properties = definitions["Search"]["properties"]
    properties[INITIAL] = properties["points"]
    sweep = {
        "name": {"type": "string"},
        "job": job,
        "search": search,
        "seeds": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "baselines": {"type": "array", "items": job},
        "resources": resources,
        "budget": budget,
        "failures": failures,
    }
    for spec, group, taken in (("ModelSpec", "models", _networks()), ("DataSpec", "data", _functions())):
        definitions[spec]["properties"]["name"]["examples"] = list(plugs.names(group))
        definitions[spec]["allOf"] = [_if_named(name, options) for name, options in taken]
    whole = {"type": "object", "properties": sweep, "required": ["job"], "additionalProperties": False}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "anyOf": [whole, job], "$defs": definitions}


def _networks() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, build in plugs.every("models"):
        yield name, _options(build)


def _functions() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in plugs.names("data"):
        if name not in plugs.GROUPS["data"].own and source_of(spec := DataSpec(name=name)).is_function:
            yield name, _options(function_of(spec))


def _options(function: Any) -> dict[str, Any]:
    """The schema of a function's options."""
    taken = [p for p in inspect.signature(function).parameters.values() if p.name not in GIVEN]
    named = [p for p in taken if p.kind is not p.VAR_KEYWORD]
    return {"properties": {p.name: _option(p.default) for p in named}, "additionalProperties": len(named) < len(taken)}


def _option(default: Any) -> dict[str, Any]:
    known = {"type": TYPES[type(default)]} if type(default) in TYPES else {}
    return known if default is inspect.Parameter.empty else {**known, "default": default}


def _if_named(name: str, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
        "then": {"properties": {"options": options}},
    }

"""JSON Schema of a sweep file's documents, from the models that check them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from raysurf import plugs
from raysurf.data.registry import function_of
from raysurf.data.source import source_of
from raysurf.data.spec import DataSpec
from raysurf.jobs.job import Job
from raysurf.models.registry import GIVEN
from raysurf.sweep.document import SweepFile
from raysurf.sweep.search import INITIAL
from raysurf.values import if_is, json_schemas

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
PREFIX = "#/$defs/"
RANGE = {
    "description": "!float or !int: any number between low and high, both included",
    "type": "object",
    "properties": {
        "low": {"type": "number", "description": "the lowest value"},
        "high": {"type": "number", "description": "the highest value"},
        "log": {"type": "boolean", "default": False, "description": "whether to search the logarithm"},
        "step": {"type": "number", "exclusiveMinimum": 0, "description": "distance of the values; needed for a grid"},
    },
    "required": ["low", "high"],
    "additionalProperties": False,
}
OPTIONS = {"description": "!choice or !each: a list of options; of two numbers also !float and !int", "minItems": 1}


def json_schema() -> dict[str, Any]:
    """A sweep, or a job by itself; all kinds, networks and data sets, those of other packages too.

    JSON has no tags: where a hole may stand, its mapping or list may. It imports torch, for the options of networks
    are arguments of their builders.
    """
    (sweep, job), definitions = json_schemas(SweepFile, Job)
    points = definitions["Search"]["properties"]
    points[INITIAL] = points["points"]
    functions = (name for name in plugs.names("data") if name not in plugs.GROUPS["data"].own)
    sources = {name: spec for name in functions if source_of(spec := DataSpec(name=name)).is_function}
    _add_options(definitions["ModelSpec"], "models", dict(plugs.every("models")))
    _add_options(definitions["DataSpec"], "data", {name: function_of(spec) for name, spec in sources.items()})
    whole = definitions[sweep["$ref"].removeprefix(PREFIX)]
    whole["properties"]["job"] = _with_holes(whole["properties"]["job"], definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        **{"if": {"required": ["kind"], "not": {"required": ["job"]}}, "then": job, "else": sweep},
        "$defs": definitions,
    }


def _add_options(spec: dict[str, Any], group: str, functions: dict[str, Callable[..., Any]]) -> None:
    spec["properties"]["name"]["examples"] = list(plugs.names(group))
    if functions:
        taken = {name: {"properties": {"options": _options(function)}} for name, function in functions.items()}
        spec["allOf"] = [if_is("name", name, options) for name, options in taken.items()]


def _options(function: Callable[..., Any]) -> dict[str, Any]:
    """The schema of a function's options."""
    taken = [p for p in inspect.signature(function).parameters.values() if p.name not in GIVEN]
    named = [p for p in taken if p.kind is not p.VAR_KEYWORD]
    return {"properties": {p.name: _option(p.default) for p in named}, "additionalProperties": len(named) < len(taken)}


def _option(default: Any) -> dict[str, Any]:
    known = {"type": TYPES[type(default)]} if type(default) in TYPES else {}
    return known if default is inspect.Parameter.empty else {**known, "default": default}


def _with_holes(job: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a job with holes; those of its parts are made so that holes may stand in them too."""
    seen = set[str]()

    def visit(schema: Any, name: str) -> Any:
        """A schema in whose parts holes may stand."""
        if isinstance(schema, list):
            return [visit(inner, name) for inner in schema]
        if not isinstance(schema, dict):
            return schema
        if (reference := schema.get("$ref", "")) and reference not in seen:
            seen.add(reference)
            target = reference.removeprefix(PREFIX)
            definitions[target] = visit(definitions[target], target)
        opened = dict(schema)
        for key in ("anyOf", "allOf", "then"):
            if key in schema:
                opened[key] = visit(schema[key], name)
        for key in ("items", "prefixItems"):
            if key in schema:
                inner = schema[key]
                opened[key] = (
                    [hole(part, f"{name}.{i}") for i, part in enumerate(inner)]
                    if isinstance(inner, list)
                    else hole(inner, f"{name}.item")
                )
        if "properties" in schema:
            opened["properties"] = {
                key: inner if key in ("kind", "seed") else hole(inner, f"{name}.{key}")
                for key, inner in schema["properties"].items()
            }
        return opened

    def hole(schema: dict[str, Any], name: str) -> dict[str, Any]:
        while name in definitions:
            name += "'"
        definitions[name] = {}
        said: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
        value = visit({key: inner for key, inner in schema.items() if key not in said}, name)
        options = {**OPTIONS, "type": "array", "items": {"$ref": PREFIX + name}}
        kinds = {inner.get("type") for inner in (schema, *schema.get("anyOf", ()))}
        ranges = [RANGE] if kinds & {"number", "integer"} or not schema.keys() - said.keys() else []
        definitions[name] = {"anyOf": [value, *ranges, options]}
        return {**said, "$ref": PREFIX + name}

    return hole(job, "job")

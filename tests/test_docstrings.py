"""Every public name is documented: what it is, each of its arguments, and each field of what files may hold."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import raysurf as rs
from raysurf.cluster.events import Finished

NAMES = {f"raysurf.{name}": getattr(rs, name) for name in rs.__all__}
NAMES |= {f"raysurf.results.{name}": getattr(rs.results, name) for name in rs.results.__all__}
CLASSES = (rs.results.Results, rs.LiveTable, Finished, rs.Average, rs.Sweep)
SECTION = re.compile(r"^Args:\n(?P<body>(?:[ ]+.*\n|\n)+)", re.MULTILINE)


def methods() -> Iterator[tuple[str, Any]]:
    """Public methods and properties of the classes that users call."""
    for owner in CLASSES:
        for name, value in vars(owner).items():
            if not name.startswith("_") and (callable(value) or isinstance(value, property) or hasattr(value, "func")):
                yield f"{owner.__name__}.{name}", value


METHODS = dict(methods())


def documented(value: Any) -> str:
    """Its own docstring, none that it has from a class above."""
    return inspect.cleandoc(getattr(value, "__doc__", None) or "")


def parameters(value: Any) -> set[str]:
    """What it takes, ``self`` left out."""
    if isinstance(value, property) or inspect.ismodule(value) or not callable(value):
        return set()
    names = inspect.signature(value).parameters.values()
    return {
        parameter.name for parameter in names if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    } - {"self"}


def listed(text: str) -> list[str]:
    """The names in an ``Args:`` section; several may share a line, as ``low, high: ...``."""
    section = SECTION.search(text + "\n")
    if section is None:
        return []
    heads = re.findall(r"^    (\w+(?:, \w+)*):", section["body"], re.MULTILINE)
    return [name for head in heads for name in head.split(", ")]


def test_there_are_methods_to_look_at() -> None:
    """The methods that the README names are among those that are looked at."""
    assert {"Results.best", "Results.weights", "Finished.tables", "Average.update", "Average.applied"} <= set(METHODS)


@pytest.mark.parametrize("name", [*NAMES, *METHODS])
def test_it_is_documented(name: str) -> None:
    """It says what it is in a sentence, and where it lists arguments, lists those that it takes and no others."""
    value = (NAMES | METHODS)[name]
    if name == "raysurf.results.SCHEMAS":
        assert all(field.metadata[b"meaning"] for schema in value.values() for field in schema)
        return
    if isinstance(value, type):
        assert value.__dict__.get("__doc__"), "no docstring of its own"
    text = documented(value)
    assert re.match(r"[A-Za-z`].{10,}?[.:]", text, re.DOTALL), text
    if "Args:" in text:
        assert set(listed(text)) == parameters(value)


@pytest.mark.parametrize(
    "name", [name for name, v in NAMES.items() if isinstance(v, type) and issubclass(v, BaseModel)]
)
def test_fields_of_a_file_are_documented(name: str) -> None:
    """Each field that a sweep file may set has a description, but ``kind``, which is what it is."""
    fields = NAMES[name].model_fields
    assert [name for name, field in fields.items() if not field.description and name != "kind"] == []


def test_section_of_arguments_is_read() -> None:
    """Names are those at the first indent of the section, whatever stands deeper or after it."""
    text = "Do.\n\nArgs:\n    a: One.\n    b, c: Two\n        more: of it.\n\nReturns:\n    d: Three.\n"
    assert listed(text) == ["a", "b", "c"]

"""Base of all user-written values: frozen, strict, no unknown keys, errors as ``SpecError``."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from raysurf.errors import Fault, SpecError, nearest

Path = tuple[str | int, ...]
PathFault = tuple[Path, Fault]
WRAPPERS = (Union, types.UnionType, typing.Annotated, tuple)

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as Metaclass
else:
    Metaclass = type(BaseModel)


class _Spoken(Metaclass):
    """Raise ``SpecError`` from constructors; ``model_validate`` keeps pydantic's own error."""

    def __call__(cls: type[Any], *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        try:
            return Metaclass.__call__(cls, *args, **kwargs)
        except ValidationError as error:
            found = error.errors(include_url=False)
        raise SpecError([pydantic_fault(cls, dict(each), (cls.__name__,))[1] for each in found])


class Value(BaseModel, metaclass=_Spoken):
    """A frozen pydantic model that coerces nothing, forbids unknown keys, NaN and infinity.

    Validators are built at first use: a file is checked with a few of the kinds.

    Raises:
        SpecError: With every fault of what it is made of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Node(Value):
    """A value that is chosen by name: one of several kinds may stand in its place."""

    kind: ClassVar[str] = ""


def as_tuple(value: Any) -> Any:
    """YAML's lists are our tuples."""
    return tuple(value) if isinstance(value, list) else value


def pydantic_fault(cls: type[Value], error: Mapping[str, Any], path: Path) -> PathFault:
    """Say one of pydantic's errors in our words.

    Args:
        cls: The model that was validated.
        error: One item of ``ValidationError.errors()``.
        path: Where the model stands in the document.
    """
    inner = tuple(part for part in error["loc"] if not str(part).startswith("function-"))
    here, kind = (*path, *inner), error["type"]
    if kind == "extra_forbidden":
        owner = _class_at(cls, inner[:-1])
        known = list(owner.model_fields) if owner else []
        near = nearest(str(inner[-1]), known)
        expected = f"one of {', '.join(known)}" if known else "a known key"
        return fault(here, "an unknown key", expected, f"did you mean {near!r}?" if near else "")
    if kind == "missing":
        return fault(here, "nothing", "a value, which is required")
    wanted = _class_at(cls, inner)
    if kind == "model_type" and wanted is not None:
        if issubclass(wanted, Node):
            return fault(here, shown(error["input"]), f"a {wanted.__name__}")
        short = f"a name, {wanted.model_fields['name'].description}; or " if "name" in wanted.model_fields else ""
        return fault(here, shown(error["input"]), f"{short}a mapping of {', '.join(wanted.model_fields)}")
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    message = message.replace("a valid tuple", "a list")
    if kind == "value_error":
        got = "" if isinstance(error["input"], Mapping | Value) else shown(error["input"])
        return fault(here, got, message) if got else fault(here, message, "values that fit together")
    return fault(here, shown(error["input"]), message)


def _class_at(cls: type[Value], inner: Path) -> type[Value] | None:
    """The class of what lies at a path within a model; None if it is not known."""
    found: type[Value] | None = cls
    for part in inner:
        if isinstance(part, str) and found is not None:
            field = found.model_fields.get(part)
            found = next(iter(values_in(field.annotation)), None) if field else None
    return found


def values_in(annotation: Any) -> list[type[Value]]:
    """The classes of values that an annotation allows, lists of them included."""
    if get_origin(annotation) in WRAPPERS:
        return [cls for arg in get_args(annotation) for cls in values_in(arg)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, Value) else []


def fault(path: Path, got: str, expected: str, hint: str = "") -> PathFault:
    """A fault at a path of the document."""
    return path, Fault(".".join(map(str, path)) or "job", got, expected, hint)


def shown(value: Any) -> str:
    """A value as its user would know it, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

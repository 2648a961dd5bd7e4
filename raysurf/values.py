"""Base of all user-written values: frozen, strict, no unknown keys, errors as ``SpecError``."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.json_schema import models_json_schema
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from raysurf import own_code, plugs
from raysurf.errors import DataError, Fault, SpecError, UnknownNameError, nearest

Path = tuple[str | int, ...]
PathFault = tuple[Path, Fault]
# Key of the validation context: whether named networks and data must exist.
LOOK_UP = "look_up"
# Key of a JSON Schema: the classes whose kinds are allowed.
KINDS_OF = "kinds of"
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
            faults = faults_of(cls, error, (cls.__name__,))
        raise SpecError([fault for _, fault in faults])


class Value(BaseModel, metaclass=_Spoken):
    """A frozen pydantic model that coerces nothing, forbids unknown keys, NaN and infinity.

    Validators are built at first use, since a file needs only a few of the kinds.

    Raises:
        SpecError: With the faults of all its fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """JSON Schema with every kind that is allowed in it, those of other packages too."""
        (own,), definitions = json_schemas(cls)
        return {**own, "$defs": definitions}


def kinds(*expected: type[Node]) -> dict[str, type[Node]]:
    """The kinds of some classes, by name."""
    every = (plug for group in _groups(expected) for plug in plugs.every(group))
    return {name: cls for name, cls in every if issubclass(cls, expected)}


def _groups(expected: tuple[type[Node], ...]) -> list[str]:
    """The groups that have kinds of some classes; one that does not say its own may have them in every group."""
    own = {cls.PLUGS for cls in expected}
    return [name for name, group in plugs.GROUPS.items() if group.contract and (name in own or "" in own)]


def _union_by_kind(expected: tuple[type[Node], ...]) -> CoreSchema:
    # Which kinds there are is known when a JSON Schema is asked for, not here.
    described = {"pydantic_js_functions": [lambda schema, handler: {KINDS_OF: expected}]}
    return core_schema.with_info_plain_validator_function(partial(_built, expected), metadata=described)


def _built(expected: tuple[type[Node], ...], value: Any, info: ValidationInfo) -> Node:
    """The node that a tree describes; what is a node already is taken as it is."""
    if isinstance(value, expected):
        return value
    if not isinstance(value, Mapping):
        raise refusal(((), Fault("", shown(value), f"a mapping with kind: one of {', '.join(kinds(*expected))}")))
    kind = value.get("kind")
    if kind is None:
        raise refusal(((), Fault("", "no kind", f"kind: one of {', '.join(kinds(*expected))}")))
    cls = _class_of(kind, expected)
    fields = {name: inner for name, inner in value.items() if name != "kind"}
    try:
        return cls.model_validate(fields, context=info.context)
    except ValidationError as error:
        raise refusal(*faults_of(cls, error, ())) from None


def _class_of(kind: Any, expected: tuple[type[Node], ...]) -> type[Node]:
    for group in _groups(expected) if isinstance(kind, str) else ():
        try:
            cls: type[Node] = plugs.find(group, kind)
        except UnknownNameError:
            continue
        except SpecError as error:
            raise refusal(*((("kind",), wrong) for wrong in error.faults)) from None
        if issubclass(cls, expected):
            return cls
    known = kinds(*expected)
    hint = f"did you mean {near!r}?" if (near := nearest(str(kind), known)) else ""
    raise refusal((("kind",), Fault("", shown(kind), f"one of {', '.join(known)}", hint)))


def refusal(*faults: PathFault) -> ValidationError:
    """A validation error that carries our own faults, each with its path below the value."""
    lines = []
    for path, wrong in faults:
        said = {"got": wrong.got, "expected": wrong.expected, "hint": wrong.hint}
        lines.append(InitErrorDetails(type=PydanticCustomError("said", "{expected}", said), loc=path, input=None))
    return ValidationError.from_exception_data("value", lines)


class Node(Value):
    """A value of one of several kinds, chosen by ``kind``.

    A class without a ``kind`` of its own is open to every kind that subclasses it, those of other packages too: as a
    field's type, or validated itself, it builds the class that ``kind`` names.

    Attributes:
        kind: Its name in a file.
        PLUGS: The group of its plugs; empty if they are in several.
    """

    kind: ClassVar[str] = ""
    PLUGS: ClassVar[str] = ""

    def __reduce__(self) -> Any:
        # Another process may not know yet where the plugs of other packages are.
        if plugs.code_of(self.PLUGS, self.kind) is None:
            return super().__reduce__()
        return _unpickled, (own_code.folders(), self.PLUGS, self.kind, self.__getstate__())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _union_by_kind((cls,)) if _is_open(cls) else handler(source)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        described = handler(schema)
        if _is_open(cls):
            return described
        own = handler.resolve_ref_schema(described)
        own["properties"] = {"kind": {"const": cls.kind}, **own.get("properties", {})}
        own["required"] = ["kind", *own.get("required", [])]
        return described


def _unpickled(folders: tuple[str, ...], group: str, kind: str, state: dict[Any, Any]) -> Node:
    for folder in folders:
        own_code.look_in(folder)
    cls: type[Node] = plugs.find(group, kind)
    node = cls.__new__(cls)
    node.__setstate__(state)
    return node


class _ByKind:
    """Annotation of a union of nodes, discriminated by ``kind``."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _union_by_kind(tuple(_nodes_in(source)))


BY_KIND = _ByKind()


def inner_values(value: Value) -> Iterator[Value]:
    """The values in the fields of a value, lists included."""
    for name in type(value).model_fields:
        inner = getattr(value, name)
        yield from (item for item in (inner if isinstance(inner, list | tuple) else [inner]) if isinstance(item, Value))


def json_schemas(*models: type[Value]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """JSON Schemas of models, and the definitions that they refer to, those of all kinds included."""
    every = dict.fromkeys((*models, *(cls for group in _groups((Node,)) for _, cls in plugs.every(group))))
    schemas, whole = models_json_schema([(cls, "validation") for cls in every if not _is_open(cls)])

    def closed(tree: Any) -> Any:
        if isinstance(tree, list):
            return [closed(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        if KINDS_OF in tree:
            known, said = kinds(*tree[KINDS_OF]), {name: inner for name, inner in tree.items() if name != KINDS_OF}
            named = {"type": "object", "properties": {"kind": {"enum": list(known)}}, "required": ["kind"]}
            each_kind = [if_is("kind", name, schemas[cls, "validation"]) for name, cls in known.items()]
            return {**said, **named, "allOf": each_kind}
        return {name: closed(inner) for name, inner in tree.items()}

    own = [closed({KINDS_OF: (cls,)} if _is_open(cls) else schemas[cls, "validation"]) for cls in models]
    return own, closed(whole.get("$defs", {}))


def if_is(key: str, value: str, then: dict[str, Any]) -> dict[str, Any]:
    """A conditional JSON Schema: ``then`` applies to mappings with this value under the key."""
    return {"if": {"properties": {key: {"const": value}}, "required": [key]}, "then": then}


def _is_open(cls: type[Value]) -> bool:
    return issubclass(cls, Node) and not cls.kind


def as_tuple(value: Any) -> Any:
    """A list from YAML as a tuple; other values as they are."""
    return tuple(value) if isinstance(value, list) else value


def faults_of(cls: type[Value], error: ValidationError, path: Path) -> list[PathFault]:
    """Translate pydantic's errors into faults.

    Args:
        cls: The model that was validated.
        error: What pydantic raised.
        path: Where the model stands in the document.
    """
    return [fault for details in error.errors(include_url=False) for fault in _faults_of(cls, dict(details), path)]


def _faults_of(cls: type[Value], error: Mapping[str, Any], path: Path) -> Iterable[PathFault]:
    inner = tuple(part for part in error["loc"] if not str(part).startswith("function-"))
    here, kind = (*path, *inner), error["type"]
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "said":
        yield fault(here, error["ctx"]["got"], error["ctx"]["expected"], error["ctx"]["hint"])
    elif kind == "extra_forbidden":
        owner = _class_at(cls, inner[:-1])
        known = list(owner.model_fields) if owner else []
        near = nearest(str(inner[-1]), known)
        expected = f"one of {', '.join(known)}" if known else "a known key"
        yield fault(here, "an unknown key", expected, f"did you mean {near!r}?" if near else "")
    elif kind == "missing":
        yield fault(here, "nothing", "a value, which is required")
    elif kind == "model_type" and (wanted := _class_at(cls, inner)) is not None:
        short = f"a name, {wanted.model_fields['name'].description}; or " if "name" in wanted.model_fields else ""
        yield fault(here, shown(error["input"]), f"{short}a mapping of {', '.join(wanted.model_fields)}")
    elif kind == "value_error":
        yield from _faults_in(error["ctx"]["error"], here, error["input"], message)
    else:
        yield fault(here, shown(error["input"]), message.replace("a valid tuple", "a list"))


def _faults_in(error: Exception, here: Path, value: Any, message: str) -> Iterable[PathFault]:
    """What a validator has raised."""
    if isinstance(error, SpecError):
        for inner in error.faults:
            yield fault((*here, *inner.where.split(".")[1:]), inner.got, inner.expected, inner.hint)
    elif isinstance(error, UnknownNameError):
        yield fault(here, shown(error.got), f"one of {', '.join(error.known)}", error.hint)
    elif isinstance(error, DataError):
        yield fault(here, error.got, error.expected)
    elif isinstance(value, Mapping | Value):
        yield fault(here, message, "values that fit together")
    else:
        yield fault(here, shown(value), message)


def _class_at(cls: type[Value], inner: Path) -> type[Value] | None:
    """The class of what lies at a path within a model; None if it is not known."""
    owner: type[Value] | None = cls
    for part in inner:
        if isinstance(part, str) and owner is not None:
            field = owner.model_fields.get(part)
            owner = next(iter(values_in(field.annotation)), None) if field else None
    return owner


def values_in(annotation: Any) -> list[type[Value]]:
    """The classes of values that an annotation allows, lists of them included."""
    if get_origin(annotation) in WRAPPERS:
        return [cls for arg in get_args(annotation) for cls in values_in(arg)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, Value) else []


def _nodes_in(annotation: Any) -> Iterable[type[Node]]:
    return (cls for cls in values_in(annotation) if issubclass(cls, Node))


def fault(path: Path, got: str, expected: str, hint: str = "") -> PathFault:
    """A fault at a path of the document."""
    return path, Fault(".".join(map(str, path)) or "job", got, expected, hint)


def shown(value: Any) -> str:
    """A value as Python writes it, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

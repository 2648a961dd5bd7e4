"""The base of every value that a user writes: frozen, strict, with no unknown keys."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen pydantic model that coerces nothing, forbids unknown keys, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Node(Value):
    """A value that is chosen by name: one of several kinds may stand in its place."""

    kind: ClassVar[str] = ""


def as_tuple(value: Any) -> Any:
    """YAML's lists are our tuples."""
    return tuple(value) if isinstance(value, list) else value

"""raysurf: sweeps over neural-network loss surfaces on a Ray cluster.

Public names, which ``__init__.pyi`` lists for editors too, are imported when they are first used, so that
``import raysurf`` costs nothing and ``raysurf.results`` needs neither torch nor Ray.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path as _File
from typing import Any

_NAMES = _File(__file__).with_suffix(".pyi").read_text()
# The module of every public name, and the public names of every module.
_HOME = {name: home for home, name in re.findall(r"from (raysurf\.\S+) import (\w+)", _NAMES)}
HOMES = {home: tuple(name for name in _HOME if _HOME[name] == home) for home in _HOME.values()}

__all__ = sorted([*_HOME, "results"])


def __getattr__(name: str) -> Any:
    if name == "results":
        return importlib.import_module("raysurf.results")
    if name in _HOME:
        try:
            return getattr(importlib.import_module(_HOME[name]), name)
        except ModuleNotFoundError as error:
            from raysurf.packages import missing

            raise missing(error, f"raysurf.{name}") or error from error
    raise AttributeError(f"module 'raysurf' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__

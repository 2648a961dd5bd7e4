"""Result tables: their schemas and their reader. Needs neither torch nor Ray.

The reader is imported when it is first used: a sweep is checked and written without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raysurf.store.schemas import SCHEMAS

if TYPE_CHECKING:
    from raysurf.results.api import Results as Results
    from raysurf.results.api import open as open

__all__ = ["SCHEMAS", "Results", "open"]


def __getattr__(name: str) -> Any:
    if name in ("Results", "open"):
        from raysurf.results import api

        return getattr(api, name)
    raise AttributeError(f"module 'raysurf.results' has no attribute {name!r}")

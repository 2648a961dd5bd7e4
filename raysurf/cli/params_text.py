"""The searched values of a trial in print, of a population's trial those of every generation up to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raysurf.results.parts import WHOLE, mapping_in
from raysurf.sweep.lineage import history, own_values


def params_text(row: dict[str, Any], uri: str) -> list[str]:
    """The values of a ``trials`` row, such as ``lr = 0.1`` or ``lr = 0.17 → 0.21``; see ``mapping_in`` for ``uri``."""
    params = mapping_in(row["params"], uri, f"trial {row['trial']}")
    return [f"{name or WHOLE} = {_along(history(params, name))}" for name in own_values(params)]


def _along(values: Sequence[Any]) -> str:
    """A value in every generation, or once if it has not changed; a dash where it was not chosen."""
    shown = [f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value) for value in values]
    return shown[0] if len(set(shown)) == 1 else " → ".join(shown)

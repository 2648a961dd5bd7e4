"""The best trial of a sweep that searches one figure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raysurf.errors import StoreError
from raysurf.results.sweeps import trials_of

if TYPE_CHECKING:
    from raysurf.results.query import Results


def best_trial(results: Results, sweep: str) -> dict[str, Any]:
    """The row of a sweep's best finished trial; see ``Results.best``."""
    rows = trials_of(results, sweep)
    done = [row for row in rows if row["state"] == "done"]
    if not done:
        counts = Counter(row["state"] for row in rows)
        told = ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "it has none yet"
        raise StoreError(results.store.uri, f"no finished trial of {sweep!r} ({told})", "a sweep with a finished trial")
    if not done[0]["metric"]:
        expected = "a sweep with search:; its settings are in the table trials"
        raise StoreError(results.store.uri, f"{sweep!r}, which searches nothing", expected)
    if ", " in done[0]["metric"]:
        several = f"{sweep!r}, which searches {done[0]['metric']}"
        raise StoreError(results.store.uri, several, "a sweep that searches one metric; of several see pareto()")
    best = ranked(done)[0]
    if best["value"] is None or math.isnan(best["value"]):
        expected = "a metric that its jobs give (raysurf logs SWEEP/TRIAL shows those that a run has)"
        raise StoreError(results.store.uri, f"no {best['metric']} in any finished trial of {sweep!r}", expected)
    return best


def ranked(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``trials`` of one sweep, the best in its figure first; those without one last, in their own order."""

    def rank(row: dict[str, Any]) -> tuple[bool, float, int]:
        value = row["value"]
        is_figure = value is not None and not math.isnan(value)
        sign = -1.0 if row["mode"] == "max" else 1.0
        return not is_figure, sign * value if is_figure else 0.0, row["trial"]

    return sorted(rows, key=rank)

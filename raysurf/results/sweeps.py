"""The sweeps of a store by name, and what is still going on in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from raysurf.errors import UnknownNameError

if TYPE_CHECKING:
    from raysurf.results.query import Results


def require_known(sweeps: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Check that there are such sweeps.

    Args:
        sweeps: Names that were asked for.
        rows: Of ``runs`` and ``trials``.

    Raises:
        UnknownNameError: For the first that there is not; those that there are are named.
    """
    known = sorted({row["sweep"] for row in rows})
    for name in sweeps:
        if name not in known:
            raise UnknownNameError("sweep", name, known or ("none yet",))


def trials_of(results: Results, sweep: str) -> list[dict[str, Any]]:
    """The rows of ``trials`` of a sweep, by number; none if all that it has is inputs and baselines.

    Raises:
        UnknownNameError: If there is no such sweep.
    """
    rows = results.table("trials").to_pylist()
    mine = [row for row in rows if row["sweep"] == sweep]
    if not mine:
        require_known([sweep], [*results.table("runs", ["sweep"]).to_pylist(), *rows])
    return sorted(mine, key=lambda row: row["trial"])


def running(results: Results) -> dict[str, int]:
    """By sweep how many trials have begun and not ended: they run, or were broken off."""
    rows = results.table("trials", ["sweep", "state"]).to_pylist()
    return dict(sorted(Counter(row["sweep"] for row in rows if row["state"] == "running").items()))


def parts_of_sweeps(results: Results, sweeps: Sequence[str]) -> Callable[[str, str], bool]:
    """Whether a part of a table is of some sweeps; see ``Results.parts_of_sweeps``."""
    rows = results.table("runs", ["run_id", "sweep"]).to_pylist()
    require_known(sweeps, [*rows, *results.table("trials", ["sweep"]).to_pylist()])
    runs = {row["run_id"] for row in rows if row["sweep"] in sweeps}

    def is_theirs(table: str, part: str) -> bool:
        return part.rpartition("-")[0] in sweeps if table == "trials" else part.partition(".")[0] in runs

    return is_theirs

"""Finding one run by its id, or by the beginning of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raysurf.errors import StoreError, UnknownNameError

if TYPE_CHECKING:
    from raysurf.results.query import Results

SHOWN = 8


def one_run(results: Results, text: str) -> dict[str, Any]:
    """The ``runs`` row of a run.

    Args:
        results: The store.
        text: The run's id, or a beginning of it that no other run's id has; the kind may be left out.

    Raises:
        UnknownNameError: If no run's id begins like that.
        StoreError: If those of several do; they are named.
    """
    known = sorted(results.table("runs", ["run_id"])["run_id"].to_pylist())
    found = [text] if text in known else [each for each in known if text and _begins(each, text)]
    if not found:
        raise UnknownNameError("run", text, known[:SHOWN] + ["…"] * (len(known) > SHOWN) or ["none yet"])
    if len(found) > 1:
        rows = results.table("runs", ["run_id", "sweep", "arm", "seed"]).to_pylist()
        called = {row["run_id"]: f"{row['run_id']} ({row['sweep']}: {row['arm']}, seed {row['seed']})" for row in rows}
        listed = [called[each] for each in found[:SHOWN]] + [f"{len(found) - SHOWN} more"] * (len(found) > SHOWN)
        raise StoreError(
            results.store.uri, f"{text!r}, which {len(found)} runs begin with", f"one of {'; '.join(listed)}"
        )
    name = found[0].replace("'", "''")
    (row,) = results.table("runs", where=f"run_id = '{name}'").to_pylist()
    return dict(row)


def _begins(run_id: str, text: str) -> bool:
    return run_id.startswith(text) or run_id.rpartition("-")[2].startswith(text)

"""Every picture that the rows of one run allow."""

from __future__ import annotations

from pathlib import Path

from raysurf.report.draw import KINDS, draw
from raysurf.results.query import Results


def pictures_of_run(results: Results, run_id: str, folder: Path) -> dict[str, Path]:
    """Draw a run: the plane, profile, path or widths that it measured, or its prediction schemes.

    Args:
        results: The store.
        run_id: The run, done.
        folder: Where the pictures go.

    Returns:
        PNG files by kind of picture; none for a run that has nothing to draw.
    """
    found = {}
    for name, kind in KINDS.items():
        # Pictures that any kind of job may have are drawn if they show more than a summary does.
        if kind.wanted.job != run_id.partition("-")[0] and not kind.in_sweep:
            continue
        where = f"run_id = '{run_id}' and ({kind.in_sweep or kind.wanted.where})"
        if results.sql(f"select 1 from {kind.wanted.table} where {where} limit 1").num_rows:
            found[name] = folder / f"{run_id}-{name}.png"
            draw(results, name, str(found[name]), run_ids=[run_id])
    return found

"""Every picture that the rows of one run allow."""

from __future__ import annotations

from pathlib import Path

from raysurf.report.draw import KINDS, draw
from raysurf.results.query import Results


def pictures_of_run(results: Results, run_id: str, folder: Path) -> dict[str, Path]:
    """Draw what a run was made to measure: its plane, profile, path or widths.

    Pictures that any kind of job may have, such as its prediction schemes, are left out: every run would have
    one, and its rows are a table in W&B.

    Args:
        results: The store.
        run_id: The run, done.
        folder: Where the pictures go.

    Returns:
        PNG files by kind of picture; none for a run that has nothing to draw.
    """
    found = {}
    for name, kind in KINDS.items():
        if kind.wanted.job != run_id.partition("-")[0]:
            continue
        where = f"run_id = '{run_id}' and ({kind.wanted.where})"
        if results.sql(f"select 1 from {kind.wanted.table} where {where} limit 1").num_rows:
            found[name] = folder / f"{run_id}-{name}.png"
            draw(results, name, str(found[name]), run_ids=[run_id])
    return found

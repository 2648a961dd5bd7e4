"""The colour of each curve and minimum-energy path of a store, the same in all its pictures."""

from __future__ import annotations

from raysurf.report.measured_runs import MeasuredRun
from raysurf.report.two_panels import OKABE_ITO
from raysurf.results.query import Results

QUERY = "select run_id from runs where kind in ('curve', 'path') order by started_at nulls last, run_id"


def curve_colours(results: Results) -> dict[str, str]:
    """A colour a curve or path, by the id of its run, in the order in which they were run; later ones change none.

    There are more curves than colours that all can tell apart: in a picture line styles tell those of one colour apart.
    """
    ids = results.sql(QUERY)["run_id"].to_pylist()
    return {run_id: OKABE_ITO[number % len(OKABE_ITO)] for number, run_id in enumerate(ids)}


def curve_of(run: MeasuredRun) -> str:
    """Run id of the measured curve or path; empty for other lines or if unknown."""
    if run.kind == "path":
        return run.run_id
    along = run.spec.get("along")
    kind = along.get("kind") if isinstance(along, dict) else None
    of_kind = (each for each in run.inputs if each.startswith(f"{kind}-"))
    return next(of_kind, "") if kind in ("curve", "path") else ""

"""What failed, and why: by exception and line, with the first traceback."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from raysurf.results.error_text import KINDS
from raysurf.results.failures import FailureGroup, failures
from raysurf.results.query import Results

MOST = 8
LONGEST = 6000


def failed_runs(results: Results, sweeps: Sequence[str]) -> str:
    """A part a kind of failure; none if nothing failed."""
    found = failures(results, sweeps)
    if not found.groups:
        return ""
    runs = "run" if found.num_runs == 1 else "runs"
    head = (
        f"<p>{found.num_failed} of {found.num_runs} {runs} failed. <code>raysurf run FILE --retry-failed</code> tries"
    )
    return head + " them again.</p>" + "".join(_group(group) for group in found.groups)


def _group(group: FailureGroup) -> str:
    what = group.what
    title = " at ".join(part for part in (what.error, what.place) if part)
    times = f"{len(group.runs)} run{'s' * (len(group.runs) != 1)}"
    trials = [f"{run.sweep} {run.trial}" for run in group.runs if run.trial is not None]
    others = [f"{run.role} of {run.sweep}" for run in group.runs if run.trial is None]
    lines = [f"<h3>{escape(f'{times}: {KINDS[what.kind]}')}</h3>"]
    lines.append(f"<p>{f'<b>{escape(title)}</b>: ' if title else ''}{escape(what.message[:LONGEST])}</p>")
    for name, values in (("Trials", trials), ("Also", others), ("Runs", group.run_ids)):
        if listed := list(dict.fromkeys(values)):
            more = f" and {len(listed) - MOST} more" if len(listed) > MOST else ""
            lines.append(f"<p><small>{name}: {escape(', '.join(listed[:MOST]) + more)}</small></p>")
    if "\n" in group.traceback:
        text = group.traceback[-LONGEST:]
        lines.append(f"<details><summary>the first traceback</summary><pre>{escape(text)}</pre></details>")
    return "".join(lines)

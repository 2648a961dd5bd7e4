"""Where the figures come from: commands, commits, versions, hardware, data, and the jobs themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from raysurf.report.html_text import duration, table
from raysurf.report.sweep_rows import Row, SweepRows
from raysurf.results.parts import job_in, mapping_in
from raysurf.results.query import Results

MOST = 10
MOST_JOBS = 6
PACKAGES = ("python", "raysurf", "torch", "torchvision", "ray", "optuna", "numpy")


def provenance(results: Results, sweeps: Sequence[SweepRows]) -> str:
    """A table of all that the runs say of themselves, costs by kind of job, and the jobs of the best trials."""
    runs = list({run_id: row for sweep in sweeps for run_id, row in sweep.runs.items()}.values())
    if not runs:
        return ""
    said: dict[str, Callable[[Row], str | None]] = {
        "command": lambda row: row["command"],
        "commit": _commit,
        "device": lambda row: _device(row),
        "versions": lambda row: _versions(results, row),
        "data fingerprint": lambda row: row["data_fingerprint"] and f"{row['data']}: {row['data_fingerprint']}",
        "unreadable files": lambda row: row["skipped"] and f"{row['run_id']}: {len(row['skipped'])}",
    }
    lines = [[name, text, number] for name, of in said.items() for text, number in _counted(map(of, runs))]
    table_of_sources = table(("what", "is", "runs"), lines, name="sources")
    parts = [f'<div class="rows">{table_of_sources}</div>']
    parts.append(f'<h3>Cost</h3><div class="rows">{_costs(runs)}</div>')
    parts.append("".join(_jobs(results, sweep) for sweep in sweeps))
    parts.append(f"<p><small>Tables: {escape(results.store.uri)}</small></p>")
    return "".join(parts)


def _counted(texts: Iterable[str | None]) -> list[tuple[str, int]]:
    """Different texts, the most frequent first, and how many runs have each."""
    counts = Counter(text for text in texts if text)
    shown = counts.most_common(MOST)
    if more := len(counts) - len(shown):
        shown.append((f"{more} more", counts.total() - sum(number for _, number in shown)))
    return shown


def _commit(row: Row) -> str | None:
    if not row["git_commit"]:
        return None
    return f"{row['git_commit']}{' with changes' if row['git_dirty'] else ''}"


def _device(row: Row) -> str | None:
    if not row["device"]:
        return None
    workers = row["workers"] or 1
    return f"{row['device']}, {workers} worker{'s' * (workers > 1)}"


def _versions(results: Results, row: Row) -> str:
    versions = mapping_in(row["versions"], results.store.uri, row["run_id"])
    known = [name for name in PACKAGES if name in versions] + sorted(versions.keys() - set(PACKAGES))
    return ", ".join(f"{name} {versions[name]}" for name in known)


def _costs(runs: Sequence[Row]) -> str:
    kinds = list(dict.fromkeys((row["role"], row["kind"]) for row in runs))
    lines = []
    for role, kind in kinds:
        mine = [row for row in runs if (row["role"], row["kind"]) == (role, kind)]
        device_s = [row["device_s"] for row in mine if row["device_s"] is not None]
        longest = max((row["wall_s"] for row in mine if row["wall_s"] is not None), default=None)
        lines.append(
            [
                kind,
                role,
                len(mine),
                sum(row["epochs"] for row in mine),
                duration(sum(device_s)) if device_s else "",
                "" if longest is None else duration(longest),
            ]
        )
    return table(("job", "as", "runs", "epochs", "device time", "longest run"), lines)


def _jobs(results: Results, sweep: SweepRows) -> str:
    """The jobs of the best trial, or of some settings of a sweep that does not search, as they were run."""
    parts = []
    shown = [run_id for run_id in sweep.best_runs if run_id in sweep.runs][: 1 if sweep.metrics else MOST_JOBS]
    for run_id in shown:
        row = sweep.runs[run_id]
        spec: Mapping[str, Any] = job_in(row["spec"], results.store.uri, run_id)
        what = f"job of {'the best trial' if sweep.metrics else row['arm']} of {sweep.name}, {run_id}"
        text = json.dumps(spec, indent=1, ensure_ascii=False)
        parts.append(f"<details><summary>{escape(what)}</summary><pre>{escape(text)}</pre></details>")
    return "".join(parts)

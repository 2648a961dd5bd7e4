"""What was asked, what it cost, and where the metrics come from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from raysurf.report.page_html import duration, table
from raysurf.report.sweep_rows import Row, SweepRows, short
from raysurf.results.reader import Reader
from raysurf.store.parts import job_in, mapping_in

STATES = ("done", "running", "stopped", "failed")
MOST = 6


def summary(sweep: SweepRows) -> str:
    """A sentence, tiles of figures, and what was searched; of an empty sweep that it is."""
    if not sweep.trials and not sweep.runs:
        return "<p>No trial of this sweep has a row yet.</p>"
    parts = []
    if running := sweep.states["running"]:
        what = "trial was" if running == 1 else "trials were"
        parts.append(
            f'<p class="notice"><b>Not finished:</b> {running} {what} running, or broken off, when this page was made. '
            "It shows the rows so far.</p>"
        )
    parts.append(f"<p>{escape(_asked(sweep))}</p>")
    if not sweep.trials:
        parts.append("<p>No trial of this sweep has a row yet.</p>")
    parts.append(_tiles(sweep))
    if sweep.params:
        lines = [[name, *_range(sweep, name)] for name in sweep.params]
        names = ("searched", "values tried", "in the best trial")
        # Without a search no trial is the best.
        shown = len(names) if sweep.metrics else 2
        searched = table(names[:shown], [line[:shown] for line in lines])
        parts.append(f'<div class="rows">{searched}</div>')
    return "".join(parts)


def _asked(sweep: SweepRows) -> str:
    mine = {run_id for trial in sweep.trials for run_id in trial.run_ids}
    runs = [sweep.runs[run_id] for run_id in sweep.runs if run_id in mine] or list(sweep.runs.values())
    jobs = (
        f"Jobs of kind {_listed(row['kind'] for row in runs)}: {_listed(row['model'] for row in runs) or 'no network'}"
    )
    jobs += f" on {_listed(row['data'] for row in runs) or 'no data'}."
    if sweep.metrics:
        pairs = zip(sweep.modes, sweep.metrics, strict=True)
        wanted = " and ".join(f"{'the highest' if mode == 'max' else 'the lowest'} {name}" for mode, name in pairs)
        jobs += f" Sought: {wanted}."
    arms = list(dict.fromkeys(trial.arm for trial in sweep.trials))
    if len(arms) > 1:
        jobs += f" {len(arms)} settings: {_listed(arms)}."
    seeds = sorted({row["seed"] for row in runs if row["seed"] is not None})
    if len(seeds) > 1:
        jobs += f" Seeds: {_listed(map(str, seeds))}."
    return jobs


def _tiles(sweep: SweepRows) -> str:
    states = sweep.states
    counts = ", ".join(f"{states[state]} {state}" for state in STATES if states[state]) or "none"
    tiles = [("trials", str(len(sweep.trials)), counts)]
    best = next(iter(sweep.ranked), None)
    if best is not None and sweep.metrics and best.values[0] is not None:
        spread = f" ± {best.std:.2g}" if best.std is not None else ""
        tiles.append((f"best {sweep.metrics[0]}", f"{best.values[0]:.4g}{spread}", f"trial {best.number}"))
    runs = list(sweep.runs.values())
    roles = Counter(row["role"] for row in runs)
    said = ", ".join(
        f"{roles[role]} {role}{'s' * (roles[role] > 1)}" for role in ("trial", "input", "baseline") if roles[role]
    )
    tiles.append(("runs", str(len(runs)), f"{said}, each counted once" if said else ""))
    tiles.append(("epochs trained", f"{sum(row['epochs'] for row in runs):g}", "inputs and baselines included"))
    device_s = sum(row["device_s"] or 0.0 for row in runs)
    tiles.append(
        ("device time", duration(device_s), "last sittings of all runs and all points of surfaces, times workers")
    )
    began = [row["started_at"] for row in runs if row["started_at"] is not None]
    if began:
        tiles.append(("begun", f"{min(began):%Y-%m-%d}", f"last run {max(began):%Y-%m-%d %H:%M} UTC"))
    inner = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, value, note in tiles
    )
    return f'<dl class="tiles">{inner}</dl>'


def _range(sweep: SweepRows, name: str) -> tuple[str, str]:
    """What was tried of a searched value, and what the best trial has."""
    values = [trial.params[name] for trial in sweep.trials if name in trial.params]
    best = next(iter(sweep.ranked), None)
    chosen = short(best.params[name]) if best is not None and sweep.metrics and name in best.params else ""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return f"{short(min(values))} to {short(max(values))}", chosen
    counts = Counter(map(str, values))
    return _listed(f"{value} ({number})" for value, number in counts.most_common()), chosen


def _listed(names: Iterable[Any]) -> str:
    known = list(dict.fromkeys(str(name) for name in names if name))
    return ", ".join(known[:MOST]) + (f" and {len(known) - MOST} more" if len(known) > MOST else "")


MOST_COMMANDS = 10
MOST_JOBS = 6
PACKAGES = ("python", "raysurf", "torch", "torchvision", "ray", "optuna", "numpy")


def provenance(results: Reader, sweeps: Sequence[SweepRows]) -> str:
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
    shown = counts.most_common(MOST_COMMANDS)
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


def _versions(results: Reader, row: Row) -> str:
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


def _jobs(results: Reader, sweep: SweepRows) -> str:
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

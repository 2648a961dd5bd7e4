"""What was asked, what it cost, and where the metrics come from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from markupsafe import Markup

from raysurf.report.html import part, table
from raysurf.report.sweep_rows import SweepRows, are_numbers, short
from raysurf.results.reader import Reader
from raysurf.store import Row
from raysurf.store.parts import job_in, mapping_in
from raysurf.wording import counted, duration

STATES = ("done", "running", "stopped", "failed")
MOST = 6
MOST_COMMANDS = 10
PACKAGES = ("python", "raysurf", "torch", "torchvision", "ray", "optuna", "numpy")


def summary(sweep: SweepRows) -> Markup:
    """A sentence, tiles of metrics, and what was searched; of an empty sweep that it is."""
    if not sweep.trials and not sweep.runs:
        return part("summary", 0, "", False, [], "")
    # Without a search no trial is the best.
    names = ("searched", "values tried", "in the best trial")[: 3 if sweep.metrics else 2]
    lines = [[name, *_range(sweep, name)][: len(names)] for name in sweep.params]
    searched = table(names, lines) if lines else ""
    return part("summary", sweep.states["running"], _asked(sweep), bool(sweep.trials), _tiles(sweep), searched)


def _asked(sweep: SweepRows) -> str:
    mine = {run_id for trial in sweep.trials for run_id in trial.run_ids}
    runs = [row for run_id, row in sweep.runs.items() if run_id in mine] or list(sweep.runs.values())
    kinds, models, data = (_listed(row[name] for row in runs) for name in ("kind", "model", "data"))
    asked = f"Jobs of kind {kinds}: {models or 'no network'} on {data or 'no data'}."
    if sweep.metrics:
        pairs = zip(sweep.modes, sweep.metrics, strict=True)
        wanted = " and ".join(f"{'the highest' if mode == 'max' else 'the lowest'} {name}" for mode, name in pairs)
        asked += f" Sought: {wanted}."
    configurations = list(dict.fromkeys(trial.arm for trial in sweep.trials))
    if len(configurations) > 1:
        asked += f" {len(configurations)} settings: {_listed(configurations)}."
    seeds = sorted({row["seed"] for row in runs if row["seed"] is not None})
    if len(seeds) > 1:
        asked += f" Seeds: {_listed(map(str, seeds))}."
    return asked


def _tiles(sweep: SweepRows) -> list[tuple[str, str, str]]:
    """Name, value and a note each."""
    states = sweep.states
    counts = ", ".join(f"{states[state]} {state}" for state in STATES if states[state]) or "none"
    tiles = [("trials", str(len(sweep.trials)), counts)]
    best = next(iter(sweep.ranked), None)
    if best is not None and sweep.metrics and best.values[0] is not None:
        spread = f" ± {best.std:.2g}" if best.std is not None else ""
        tiles.append((f"best {sweep.metrics[0]}", f"{best.values[0]:.4g}{spread}", f"trial {best.number}"))
    runs = list(sweep.runs.values())
    roles = Counter(row["role"] for row in runs)
    said = ", ".join(counted(roles[role], role) for role in ("trial", "input", "baseline") if roles[role])
    tiles.append(("runs", str(len(runs)), f"{said}, each counted once" if said else ""))
    tiles.append(("epochs trained", f"{sum(row['epochs'] for row in runs):g}", "inputs and baselines included"))
    device_s = duration(sum(row["device_s"] or 0.0 for row in runs))
    tiles.append(("device time", device_s, "last sittings of all runs and all points of surfaces, times workers"))
    began = [row["started_at"] for row in runs if row["started_at"] is not None]
    if began:
        tiles.append(("begun", f"{min(began):%Y-%m-%d}", f"last run {max(began):%Y-%m-%d %H:%M} UTC"))
    return tiles


def _range(sweep: SweepRows, name: str) -> tuple[str, str]:
    """What was tried of a searched value, and what the best trial has."""
    values = [trial.params[name] for trial in sweep.trials if name in trial.params]
    best = next(iter(sweep.ranked), None)
    chosen = short(best.params[name]) if best is not None and sweep.metrics and name in best.params else ""
    if are_numbers(values):
        return f"{short(min(values))} to {short(max(values))}", chosen
    counts = Counter(map(str, values))
    return _listed(f"{value} ({number})" for value, number in counts.most_common()), chosen


def _listed(names: Iterable[str]) -> str:
    known = list(dict.fromkeys(name for name in names if name))
    return ", ".join(known[:MOST]) + (f" and {len(known) - MOST} more" if len(known) > MOST else "")


def provenance(results: Reader, sweeps: Sequence[SweepRows]) -> Markup:
    """A table of all that the runs say of themselves, costs by kind of job, and the jobs of the best trials."""
    runs = list({run_id: row for sweep in sweeps for run_id, row in sweep.runs.items()}.values())
    if not runs:
        return Markup()
    uri = results.store.uri
    said: dict[str, Callable[[Row], str | None]] = {
        "command": lambda row: row["command"],
        "commit": lambda row: row["git_commit"] and row["git_commit"] + (" with changes" if row["git_dirty"] else ""),
        "device": lambda row: row["device"] and f"{row['device']}, {counted(row['workers'] or 1, 'worker')}",
        "versions": lambda row: _versions(uri, row),
        "data fingerprint": lambda row: row["data_fingerprint"] and f"{row['data']}: {row['data_fingerprint']}",
        "unreadable files": lambda row: row["skipped"] and f"{row['run_id']}: {len(row['skipped'])}",
    }
    lines: list[list[Any]] = []
    for name, of in said.items():
        counts = Counter(filter(None, map(of, runs)))
        shown = counts.most_common(MOST_COMMANDS)
        lines += [[name, text, number] for text, number in shown]
        if more := len(counts) - len(shown):
            lines.append([name, f"{more} more", counts.total() - sum(number for _, number in shown)])
    sources = table(("what", "is", "runs"), lines, name="sources")
    jobs = [job for sweep in sweeps for job in _jobs(uri, sweep)]
    return part("provenance", sources, _costs(runs), jobs, uri)


def _versions(uri: str, row: Row) -> str:
    versions = mapping_in(row["versions"], uri, row["run_id"])
    known = [name for name in PACKAGES if name in versions] + sorted(versions.keys() - set(PACKAGES))
    return ", ".join(f"{name} {versions[name]}" for name in known)


def _costs(runs: Sequence[Row]) -> Markup:
    lines = []
    for role, kind in dict.fromkeys((row["role"], row["kind"]) for row in runs):
        mine = [row for row in runs if (row["role"], row["kind"]) == (role, kind)]
        device_s, wall_s = ([row[name] for row in mine if row[name] is not None] for name in ("device_s", "wall_s"))
        times = [duration(sum(device_s)) if device_s else "", duration(max(wall_s)) if wall_s else ""]
        lines.append([kind, role, len(mine), sum(row["epochs"] for row in mine), *times])
    return table(("job", "as", "runs", "epochs", "device time", "longest run"), lines)


def _jobs(uri: str, sweep: SweepRows) -> Iterable[tuple[str, str]]:
    """The jobs of the best trial, or of some configurations of a sweep that does not search, as they were run."""
    best = sweep.ranked[:1] if sweep.metrics else sweep.ranked
    run_ids = [run_id for trial in best for run_id in trial.run_ids if run_id in sweep.runs]
    for run_id in run_ids[: 1 if sweep.metrics else MOST]:
        row = sweep.runs[run_id]
        what = f"job of {'the best trial' if sweep.metrics else row['arm']} of {sweep.name}, {run_id}"
        yield what, json.dumps(job_in(row["spec"], uri, run_id), indent=1, ensure_ascii=False)

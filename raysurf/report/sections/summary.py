"""What was asked, what came of it, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from html import escape
from typing import Any

from raysurf.report.html_text import duration, table
from raysurf.report.sweep_rows import SweepRows, short

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

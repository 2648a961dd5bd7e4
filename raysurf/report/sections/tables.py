"""Tables of the report: best trials, comparisons, failures and all trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from markupsafe import Markup

from raysurf.errors import NothingComparedError
from raysurf.failure import KINDS
from raysurf.report.html import part, table
from raysurf.report.sweep_rows import SweepRows, short
from raysurf.results.comparison.compare import Comparison, compare, counted
from raysurf.results.comparison.printed import printed
from raysurf.results.comparison.tables import LAYOUTS
from raysurf.results.failures import FailureGroup, failures
from raysurf.results.reader import Reader
from raysurf.results.trials import front
from raysurf.wording import counted as number_of

MOST_BEST = 10
LONG_TABLE = 20
MOST_LISTED = 8
LONGEST_TEXT = 6000
MOST_PARAMS = 10


def best_trials(sweep: SweepRows) -> Markup:
    """A table of the best finished trials and of the baselines; none of a sweep that does not search."""
    several = len(sweep.metrics) > 1
    finished = [trial for trial in sweep.ranked if sweep.metrics and None not in trial.values]
    trials = finished
    if several:
        points = [[value for value in trial.values if value is not None] for trial in finished]
        trials = [finished[number] for number in front(points, sweep.modes)]
    if not trials:
        return Markup()
    baselines = [trial for trial in sweep.measured_baselines if trial.values[0] is not None]
    listed = [*trials[:MOST_BEST], *baselines]
    if not several:
        listed.sort(key=lambda trial: (trial.values[0] or 0.0) * (-1.0 if sweep.modes[0] == "max" else 1.0))
    spread = not several and any(trial.std is not None for trial in listed)
    names = ["trial", *sweep.metrics, *(["± over seeds"] if spread else []), "values", *sweep.other_metrics]
    lines = [
        [
            "baseline" if trial in baselines else trial.number,
            *trial.values,
            *([trial.std] if spread else []),
            ", ".join(f"{name} = {short(value)}" for name, value in trial.params.items()) or trial.arm,
            *map(trial.metrics.get, sweep.other_metrics),
        ]
        for trial in listed
    ]
    shown = min(len(trials), MOST_BEST)
    if several:
        said = f"The Pareto front: {len(trials)} of the finished trials are beaten by no other in all metrics"
        said += f"; {shown} are shown." if shown < len(trials) else "."
    else:
        said = (
            f"The best {shown} of {len(trials)} finished trials, by {sweep.metrics[0]}; metrics are means over seeds."
        )
    said += " Beside them the baseline." if len(baselines) == 1 else " Beside them the baselines." if baselines else ""
    return part("rows", table(names, lines, "best"), before=said)


def comparisons(results: Reader, sweeps: Sequence[str]) -> Markup:
    """Every table in which finished runs of the sweeps, or of their inputs, have a place, as far as it is published.

    Networks and data of which nothing is published are left to ``raysurf compare``.
    """
    parts = []
    for name in LAYOUTS:
        try:
            compared = compare(results, name, sweeps)
        except NothingComparedError:
            continue
        for comparison in map(_published, compared):
            if any(comparison.table["group"].to_pylist()):
                set_out = printed(comparison)
                left_out = [f"Left out: {counted(comparison.left_out)}."] if comparison.left_out else []
                cells, is_tall = table(set_out.headings, set_out.cells, "compared"), len(set_out.cells) > LONG_TABLE
                parts.append(part("comparison", set_out.title, cells, is_tall, [*set_out.notes, *left_out]))
    return Markup().join(parts)


def _published(comparison: Comparison) -> Comparison:
    """Rows whose network and data set have a published value."""
    networks = zip(comparison.table["model"].to_pylist(), comparison.table["data"].to_pylist(), strict=True)
    kept = [bool(comparison.layout.published.of(*network)) for network in networks]
    return replace(comparison, table=comparison.table.filter(pa.array(kept, pa.bool_())))


def failed_runs(results: Reader, sweeps: Sequence[str]) -> Markup:
    """A part a kind of failure; none if nothing failed."""
    failed = failures(results, sweeps)
    if not failed.groups:
        return Markup()
    return part("failures", failed.num_failed, number_of(failed.num_runs, "run"), map(_failure, failed.groups))


def _failure(group: FailureGroup) -> dict[str, Any]:
    what = group.what
    trials = [f"{run.sweep} {run.trial}" for run in group.runs if run.trial is not None]
    others = [f"{run.role} of {run.sweep}" for run in group.runs if run.trial is None]
    listed = []
    for name, values in (("Trials", trials), ("Also", others), ("Runs", group.run_ids)):
        if known := list(dict.fromkeys(values)):
            more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
            listed.append((name, ", ".join(known[:MOST_LISTED]) + more))
    return {
        "heading": f"{number_of(len(group.runs), 'run')}: {KINDS[what.kind]}",
        "title": " at ".join(part for part in (what.error, what.place) if part),
        "message": what.message[:LONGEST_TEXT],
        "listed": listed,
        "traceback": group.traceback[-LONGEST_TEXT:] if "\n" in group.traceback else "",
    }


def trials_table(sweep: SweepRows) -> Markup:
    """All trials, a line each; a line's tip is all that its trial is."""
    if not sweep.trials:
        return Markup()
    params = sweep.params[:MOST_PARAMS]
    has_configurations = len({trial.arm for trial in sweep.trials}) > 1
    spread = any(trial.std is not None for trial in sweep.trials)
    names = ["trial", "state", *(["setting"] if has_configurations else []), *sweep.metrics, *(["±"] if spread else [])]
    names += [*params, *sweep.other_metrics, "seconds", "runs"]
    lines = [
        [
            trial.number,
            trial.state,
            *([trial.arm] if has_configurations else []),
            *trial.values,
            *([trial.std] if spread else []),
            *(_shown(trial.params.get(name)) for name in params),
            *map(trial.metrics.get, sweep.other_metrics),
            None if trial.wall_s is None else float(f"{trial.wall_s:.3g}"),
            list(trial.run_ids),
        ]
        for trial in sweep.trials
    ]
    return part("trials", table(names, lines, "trials", sweep.trials), len(sweep.params) - len(params))


def _shown(value: object) -> object:
    return value if isinstance(value, int | float | None) else short(value)

"""Tables of the report: best trials, comparisons, failures and all trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

import pyarrow as pa

from raysurf.errors import NothingComparedError
from raysurf.report.page_html import table
from raysurf.report.sweep_rows import SweepRows, Trial, short
from raysurf.results.comparison.compare import Comparison, compare, counted
from raysurf.results.comparison.printed import printed
from raysurf.results.comparison.tables import LAYOUTS
from raysurf.results.error_text import KINDS
from raysurf.results.failures import FailureGroup, failures
from raysurf.results.reader import Reader
from raysurf.results.trials import front

SHOWN = 10


def best_trials(sweep: SweepRows) -> str:
    """A table of the best finished trials and of the baselines; none of a sweep that does not search."""
    if not sweep.metrics:
        return ""
    several = len(sweep.metrics) > 1
    trials = _front(sweep) if several else [trial for trial in sweep.ranked if trial.values[0] is not None]
    if not trials:
        return ""
    baselines = [each for each in sweep.measured_baselines if each.values[0] is not None]
    listed = [*trials[:SHOWN], *baselines]
    if not several:
        listed.sort(key=lambda trial: (trial.values[0] or 0.0) * (-1.0 if sweep.modes[0] == "max" else 1.0))
    spread = not several and any(trial.std is not None for trial in listed)
    names = ["trial", *sweep.metrics, *(["± over seeds"] if spread else []), "values", *sweep.figures]
    lines = [
        [
            "baseline" if trial in baselines else trial.number,
            *trial.values,
            *([trial.std] if spread else []),
            ", ".join(f"{name} = {short(value)}" for name, value in trial.params.items()) or trial.arm,
            *(trial.figures.get(name) for name in sweep.figures),
        ]
        for trial in listed
    ]
    shown = min(len(trials), SHOWN)
    said = (
        f"The Pareto front: {len(trials)} of the finished trials are beaten by no other in all metrics"
        f"{f'; {shown} are shown' if shown < len(trials) else ''}."
        if several
        else f"The best {shown} of {len(trials)} finished trials, by {sweep.metrics[0]}; figures are means over seeds."
    )
    said += " Beside them the baseline." if len(baselines) == 1 else " Beside them the baselines." if baselines else ""
    return f'<p>{escape(said)}</p><div class="rows">{table(names, lines, name="best")}</div>'


def _front(sweep: SweepRows) -> list[Trial]:
    found = [trial for trial in sweep.ranked if None not in trial.values]
    points = [[value for value in trial.values if value is not None] for trial in found]
    return [found[number] for number in front(points, sweep.modes)] if found else []


LONG = 20


def comparisons(results: Reader, sweeps: Sequence[str]) -> str:
    """Every table in which finished runs of the sweeps, or of their inputs, have a place, as far as it is published.

    Networks and data of which it has no published figure are left to ``raysurf compare``.
    """
    parts = []
    for name in LAYOUTS:
        try:
            found = compare(results, name, sweeps)
        except NothingComparedError:
            continue
        for each in map(_published, found):
            if not any(each.table["group"].to_pylist()):
                continue
            set_out = printed(each)
            tall = " tall" if len(set_out.cells) > LONG else ""
            lines = [f"<h3>{escape(set_out.title)}</h3>"]
            lines.append(f'<div class="rows{tall}">{table(set_out.headings, set_out.cells, name="compared")}</div>')
            lines += [f"<p><small>{escape(note)}</small></p>" for note in set_out.notes]
            if each.left_out:
                lines.append(f"<p><small>Left out: {escape(counted(each.left_out))}.</small></p>")
            parts.append("".join(lines))
    return "".join(parts)


def _published(found: Comparison) -> Comparison:
    """Rows whose network and data set have a published figure."""
    networks = zip(found.table["model"].to_pylist(), found.table["data"].to_pylist(), strict=True)
    kept = [bool(found.layout.published.of(*network)) for network in networks]
    return replace(found, table=found.table.filter(pa.array(kept, pa.bool_())))


MOST = 8
LONGEST = 6000


def failed_runs(results: Reader, sweeps: Sequence[str]) -> str:
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


MOST_PARAMS = 10
FILTER = (
    '<p class="filter" hidden><label>Filter <input type="search" placeholder="text in any column" '
    'autocomplete="off"></label> <output></output></p>'
)


def trials_table(sweep: SweepRows) -> str:
    """All trials, a line each; a line's tip is all that its trial is."""
    if not sweep.trials:
        return ""
    params = sweep.params[:MOST_PARAMS]
    has_arms = len({trial.arm for trial in sweep.trials}) > 1
    spread = any(trial.std is not None for trial in sweep.trials)
    names = ["trial", "state", *(["setting"] if has_arms else []), *sweep.metrics, *(["±"] if spread else [])]
    names += [*params, *sweep.figures, "seconds", "runs"]
    lines = [
        [
            trial.number,
            trial.state,
            *([trial.arm] if has_arms else []),
            *trial.values,
            *([trial.std] if spread else []),
            *(_value(trial, name) for name in params),
            *(trial.figures.get(name) for name in sweep.figures),
            None if trial.wall_s is None else float(f"{trial.wall_s:.3g}"),
            list(trial.run_ids),
        ]
        for trial in sweep.trials
    ]
    attributes = [
        f'class="trial {trial.state}" data-trial="{trial.number}" title="{escape(trial.tip)}"' for trial in sweep.trials
    ]
    listed = table(names, lines, name="trials", attributes=attributes)
    left_out = len(sweep.params) - len(params)
    note = f"<p>{left_out} further searched values are told when a line is pointed at.</p>" if left_out else ""
    return f'{note}<div class="filtered">{FILTER}<div class="rows tall">{listed}</div></div>'


def _value(trial: Trial, name: str) -> object:
    value = trial.params.get(name)
    return value if value is None or isinstance(value, int | float) else short(value)

"""The best trials of a search, or its Pareto front."""

from __future__ import annotations

from html import escape

from raysurf.report.html_text import table
from raysurf.report.sweep_rows import SweepRows, Trial, short
from raysurf.results.pareto import front

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

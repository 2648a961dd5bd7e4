"""The table of all trials, which a few lines of script filter and sort."""

from __future__ import annotations

from html import escape

from raysurf.report.html_text import table
from raysurf.report.sweep_rows import SweepRows, Trial, short

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

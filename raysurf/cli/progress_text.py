"""Progress of sweeps as text, for ``raysurf run``, ``status`` and ``status --watch``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from raysurf.results.progress import Running, SweepProgress
from raysurf.wording import duration

MOST_RUNNING = 8
# Seconds without a new row after which a run says so; after the longer time it has probably lost its process.
QUIET_S, SILENT_S = 30.0, 600.0


def line(sweep: SweepProgress) -> str:
    """The progress of a sweep's trials in one line."""
    return "; ".join((_trials(sweep), *_rates(sweep)))


def lines(sweeps: Sequence[SweepProgress]) -> list[str]:
    """The progress of some sweeps; running work is listed once, since sweeps may share inputs."""
    shown = []
    for sweep in sweeps:
        shown += [inputs] if (inputs := inputs_line(sweep)) else []
        # In two lines, since a terminal may have but 80 columns.
        shown.append(_trials(sweep))
        shown += [f"  {rates}"] if (rates := "; ".join(_rates(sweep))) else []
        shown += [f"  {number} failed: {text}" for number, text in sweep.failures]
    running = sweeps[0].running if sweeps else ()
    shown += [f"  {_at_work(run)}".rstrip() for run in running[:MOST_RUNNING]]
    more = len(running) - MOST_RUNNING
    return shown + ([f"  and {more} more"] if more > 0 else [])


def inputs_line(sweep: SweepProgress) -> str:
    """Progress of inputs and baselines in one line; empty if there are none, or other sweeps have run them.

    The plan counts the inputs that all trials share; trials may have further ones of their own.
    """
    total, inputs = sweep.total_inputs, sweep.inputs
    if not inputs.total() and (sweep.is_over or not total):
        return ""
    return f"{sweep.sweep} inputs: {_counts(inputs, ('done',))}" + (f" of {total}" if inputs.total() <= total else "")


def _trials(sweep: SweepProgress) -> str:
    total = f" of {sweep.total}" if sweep.total is not None else ""
    return f"{sweep.sweep} trials: {_counts(sweep.counts, ('done', 'running', 'failed'))}{total}"


def _counts(counts: Counter[str], always: Sequence[str]) -> str:
    states = dict.fromkeys((*always, *counts))
    return ", ".join(f"{counts[state]} {state}" for state in states if state in always or counts[state])


def _rates(sweep: SweepProgress) -> Iterator[str]:
    """The best value so far, the speed, and the time left."""
    if not sweep.has_begun:
        yield "workers are starting"
    if sweep.best is not None:
        yield f"best {sweep.metric} {sweep.best:.4f} ({sweep.best_of})"
    if sweep.per_hour is not None and not sweep.is_over:
        yield f"{sweep.per_hour:,.0f} an hour" if sweep.per_hour >= 100 else f"{sweep.per_hour:.3g} an hour"
    if sweep.left_s is not None:
        yield f"about {duration(sweep.left_s)} left"


def _at_work(run: Running) -> str:
    silent = f"; no new row for {duration(run.silent_s)}" if run.silent_s > QUIET_S else ""
    return f"{run.label}  {run.place}{silent}{', its process may be gone' if run.silent_s > SILENT_S else ''}"

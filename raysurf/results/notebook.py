"""HTML views of tables, stores and sweeps for notebooks; all text from a store is escaped."""

from __future__ import annotations

import html
import math
import sys
from collections import Counter
from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING

from raysurf.results.failures import failures
from raysurf.results.reader import Reader
from raysurf.results.trials import best_rows, trials_of, values_of
from raysurf.store import Row
from raysurf.store.parts import mapping_in, values_in
from raysurf.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa


ROWS, TRIALS, FAILURES, LONGEST = 20, 5, 3, 60
# Shown beside the searched metrics, where a trial has them.
METRICS = ("validation/accuracy", "test/accuracy", "validation/nll", "test/nll")


def html_table(names: Sequence[str], rows: Sequence[Sequence[object]], titles: Sequence[str] = ()) -> str:
    """A table with ``titles`` as tooltips of its headings; long cells are cut, their whole text being a tooltip."""
    heads = (
        f'<th title="{html.escape(title)}">{html.escape(name)}</th>' if title else f"<th>{html.escape(name)}</th>"
        for name, title in zip(names, [*titles, *[""] * (len(names) - len(titles))], strict=True)
    )
    lines = ("".join(map(_cell, row)) for row in rows)
    return f"<table><tr>{''.join(heads)}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def arrow_html(table: pa.Table) -> str:
    """The first rows of an Arrow table; headings have the meaning of their column as a tooltip."""
    titles = []
    for field in table.schema:
        metadata = field.metadata or {}
        unit = metadata.get(b"unit", b"").decode(errors="replace")
        titles.append(metadata.get(b"meaning", b"").decode(errors="replace") + (f" [{unit}]" if unit else ""))
    first = table.slice(0, ROWS)
    columns = [column.to_pylist() for column in first.columns]
    shown = html_table(table.column_names, list(zip(*columns, strict=True)), titles)
    more = f", the first {first.num_rows} shown" if first.num_rows < table.num_rows else ""
    return f"{shown}<small>{counted(table.num_rows, 'row')}{more}</small>"


def store_html(results: Reader) -> str:
    """A store: the row counts of its tables, and the states of its sweeps' trials."""
    counts = [(name, results.count(name)) for name in results.tables()]
    shown = [f"<b>{html.escape(results.store.uri)}</b>", html_table(["table", "rows"], counts)]
    states: dict[str, Counter[str]] = {}
    for row in results.table("trials", ["sweep", "state"]).to_pylist():
        states.setdefault(row["sweep"], Counter())[row["state"]] += 1
    if states:
        shown.append(html_table(["sweep", "trials"], [[name, _states_text(states[name])] for name in sorted(states)]))
    return "".join(shown)


def sweep_html(results: Reader, sweep: str) -> str:
    """A sweep: the states of its trials, the best trials with searched values and metrics, and failures."""
    trials = trials_of(results, sweep)
    if not trials:
        return f"<p><b>{html.escape(sweep)}</b>: no trial has begun</p>"
    done = [row for row in trials if row["state"] == "done"]
    best = best_rows(done)[:TRIALS]
    shown = [f"<p><b>{html.escape(sweep)}</b>: {_states_text(Counter(row['state'] for row in trials))}</p>"]
    if best:
        shown.append(html_table(*_trials(results, best)))
        more = f"the best {len(best)} of {len(done)}" if best[0]["metric"] else f"{len(best)} of {len(done)}"
        shown += [f"<small>{more}</small>"] if len(best) < len(done) else []
    groups = failures(results, [sweep]).groups
    lines = [[len(group.runs), " ".join(f"{group.what.error} {group.what.message}".split())] for group in groups]
    if lines:
        shown.append(html_table(["failed", "why"], lines[:FAILURES]))
        shown.append(f"<small>more: <code>raysurf why {html.escape(sweep)}</code></small>")
    return "".join(shown)


def show_arrow_tables() -> None:
    """Register ``arrow_html`` with a notebook, unless it shows Arrow tables already."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "display_formatter"):
        return
    formatter = shell.display_formatter.formatters["text/html"]
    name = ("pyarrow.lib", "Table")
    if name not in formatter.deferred_printers and not any(
        (cls.__module__, cls.__name__) == name for cls in formatter.type_printers
    ):
        formatter.for_type_by_name(*name, arrow_html)


def _trials(results: Reader, rows: Sequence[Row]) -> tuple[list[str], list[list[object]]]:
    """Headings and cells: number, searched metrics, configuration, searched values, other metrics."""
    uri = results.store.uri
    metrics = rows[0]["metric"].split(", ") if rows[0]["metric"] else []
    params = [values_in(row["params"], uri, f"trial {row['trial']}") for row in rows]
    searched = list(dict.fromkeys(name for values in params for name in values))
    stored = {
        row["run_id"]: mapping_in(row["metrics"], uri, row["run_id"])
        for row in results.table("runs", ["run_id", "metrics"]).to_pylist()
        if any(row["run_id"] in trial["run_ids"] for trial in rows)
    }
    shown = [name for name in METRICS if name not in metrics and any(name in run for run in stored.values())]
    lines: list[list[object]] = []
    for row, values in zip(rows, params, strict=True):
        runs = [stored[run_id] for run_id in row["run_ids"] if run_id in stored]
        means = [mean(there) if (there := [run[name] for run in runs if name in run]) else None for name in shown]
        sought = values_of(row) if metrics else ()
        lines.append([row["trial"], *sought, row["arm"], *(values.get(name) for name in searched), *means])
    return ["trial", *metrics, "arm", *searched, *shown], lines


def _states_text(states: Counter[str]) -> str:
    return ", ".join(f"{number} {html.escape(state)}" for state, number in sorted(states.items()))


def _cell(value: object) -> str:
    if isinstance(value, float):
        text = f"{value:.4g}" if math.isfinite(value) else str(value)
    else:
        text = "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    right = ' style="text-align: right"' if isinstance(value, int | float) and not isinstance(value, bool) else ""
    if len(text) > LONGEST:
        return f'<td title="{html.escape(text[:1000])}">{html.escape(text[:LONGEST])}…</td>'
    return f"<td{right}>{html.escape(text)}</td>"

"""One self-contained HTML page for a picture: what it shows, its runs' figures, and the rows that are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from raysurf.report.measured_runs import MeasuredRun

MAX_ROWS = 1000
FIGURES = {
    "worst train loss": ("train/max_loss",),
    "barrier of train loss": ("train/barrier_loss",),
    "worst test error": ("test/max_error",),
    "length": ("length",),
    "pivots": ("num_pivots",),
}
COLUMNS = {
    "surface": "geometry origin ray point t x y distance split loss nll error failure",
    "epochs": "epoch weights lr train_loss train_error validation_loss validation_error test_loss test_error",
    "predictions": "weights scheme num_samples split accuracy nll brier ece num_examples",
    "activations": "layer neuron label low high share mean std num_draws",
    "inputs": "origin point x y label answer confidence deterministic_answer layer output_mean output_std",
}
LANDMARK_COLUMNS = ("name", "x", "y", "off_plane", "source")
STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fcfcfb; --faint: #6a6a6a; --rule: #d8d8d4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e6; --paper: #161718; --faint: #a0a09c; --rule: #3a3b3c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1.2rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 1rem; }
figure { margin: 0; }
.picture { overflow-x: auto; background: white; border: 1px solid var(--rule); border-radius: 6px; padding: .5rem; }
.picture svg { display: block; width: 100%; min-width: 34rem; height: auto; }
figcaption { margin: .8rem 0; color: var(--faint); }
.rows { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { color: var(--faint); font-weight: 600; }
td.number, th.number { text-align: right; }
summary { cursor: pointer; margin: 1rem 0 .5rem; }
"""


@dataclass(frozen=True)
class Caption:
    """What a page says about its picture.

    Args:
        says: A sentence on what is drawn, and how to read it.
        runs: The runs that are drawn, each with its label.
        rows: The rows that are drawn.
        landmarks: The rows of ``landmarks`` that are drawn, one a landmark.
        table: The table that the rows are of.
    """

    says: str = ""
    runs: Sequence[tuple[MeasuredRun, str]] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    landmarks: Sequence[Mapping[str, Any]] = ()
    table: str = "surface"


def page(title: str, svg: str, caption: Caption) -> str:
    """The page, as HTML; it loads nothing, and its policy forbids it to.

    Args:
        title: Above the picture.
        svg: The picture, an ``svg`` element.
        caption: What stands under it.
    """
    parts = [_runs(caption.runs)]
    if caption.landmarks:
        listed = [[row[name] for name in LANDMARK_COLUMNS] for row in caption.landmarks]
        parts.append(_details(f"{len(listed)} landmarks", _table(LANDMARK_COLUMNS, listed)))
    if caption.rows:
        parts.append(_rows(caption))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<figure>
<div class="picture" role="img" aria-label="{escape(title)}" tabindex="0">{svg}</div>
<figcaption>{escape(caption.says)}</figcaption>
</figure>
{"".join(parts)}
</body>
</html>
"""


def _runs(runs: Sequence[tuple[MeasuredRun, str]]) -> str:
    """What was drawn, a line a run, with the figures that any of them has."""
    if not runs:
        return ""
    found = {
        name: [next((r.metrics[k] for k in keys if k in r.metrics), None) for r, _ in runs]
        for name, keys in FIGURES.items()
    }
    kept = {name: values for name, values in found.items() if any(value is not None for value in values)}
    names = ("drawn", *kept, "sweep", "model", "data set", "seed", "run")
    lines = [
        [
            label,
            *(values[i] for values in kept.values()),
            ", ".join(run.sweeps),
            run.model,
            run.data,
            run.seed,
            run.run_id,
        ]
        for i, (run, label) in enumerate(runs)
    ]
    return f'<div class="rows">{_table(names, lines)}</div>'


def _rows(caption: Caption) -> str:
    rows, labels = caption.rows, {run.run_id: label for run, label in caption.runs}
    shown = rows[:MAX_ROWS]
    kept = [name for name in COLUMNS[caption.table].split() if any(row[name] is not None for row in rows)]
    lines = [[labels.get(row["run_id"], row["run_id"]), *(row[name] for name in kept)] for row in shown]
    text = (
        f"the {len(rows)} rows that are drawn"
        if len(shown) == len(rows)
        else f"the first {len(shown)} of the {len(rows)} rows that are drawn"
        f" (all of them: raysurf table {caption.table})"
    )
    return _details(text, _table(("drawn", *kept), lines))


def _details(summary: str, inner: str) -> str:
    return f'<details><summary>{escape(summary)}</summary><div class="rows">{inner}</div></details>'


def _table(names: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """Numbers stand to the right; a figure that is not there is an empty cell."""
    right = [any(isinstance(line[i], int | float) for line in lines) for i in range(len(names))]
    kinds = [' class="number"' if number else "" for number in right]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(names, kinds, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{_cell(value)}</td>" for value, kind in zip(line, kinds, strict=True)) + "</tr>"
        for line in lines
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value)
    return escape(f"{value:.5g}" if isinstance(value, float) else str(value))

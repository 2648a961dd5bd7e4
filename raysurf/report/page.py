"""One self-contained HTML page for a picture: what it shows, its runs' figures, and the rows that are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from raysurf.report.page_html import details, document, table
from raysurf.report.page_style import STYLE
from raysurf.report.runs import MeasuredRun

MAX_ROWS = 1000
FIGURES = {
    "worst train loss": ("train/max_loss",),
    "Entezari barrier of train loss": ("train/entezari_barrier_loss", "train/barrier_loss"),
    "saddle of train NLL": ("train/saddle_nll",),
    "worst test error": ("test/max_error",),
    "Frankle barrier of test error": ("test/frankle_barrier_error",),
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
        parts.append(details(f"{len(listed)} landmarks", table(LANDMARK_COLUMNS, listed)))
    if caption.rows:
        parts.append(_rows(caption))
    body = f"""<h1>{escape(title)}</h1>
<figure>
<div class="picture" role="img" aria-label="{escape(title)}" tabindex="0">{svg}</div>
<figcaption>{escape(caption.says)}</figcaption>
</figure>
{"".join(parts)}"""
    return document(title, STYLE, "img-src data:", body)


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
    return f'<div class="rows">{table(names, lines)}</div>'


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
    return details(text, table(("drawn", *kept), lines))

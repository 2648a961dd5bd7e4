"""What a W&B run has at its end, from its rows: a summary of scalars, tables, and the files of its weights."""

from __future__ import annotations

from typing import Any

from raysurf.results.schemas import schema_of
from raysurf.results.store import Store

FIGURES = ("accuracy", "nll", "brier", "ece")
# W&B shows no more rows of a table than this.
MOST_ROWS = 10_000
TABLES = ("predictions", "layers", "surface")


def figure_name(weights: str, scheme: str, split: str, figure: str) -> str:
    """What a figure of predictions is called in a summary, such as ``final/ensemble/test_accuracy``."""
    by = "" if scheme == "deterministic" else f"{scheme}/"
    return f"{weights}/{by}{split}_{figure}"


def summary_of(store: Store, run_id: str) -> dict[str, float]:
    """Figures of every scheme, an ensemble's being those of its most samples; and what noisy layers carry."""
    rows = sorted(store.rows_of("predictions", run_id), key=lambda row: int(row["num_samples"]))
    figures: dict[str, float] = {}
    for row in rows:
        for name in FIGURES:
            figures[figure_name(row["weights"], row["scheme"], row["split"], name)] = row[name]
    for row in store.rows_of("layers", run_id):
        for name in ("log_alpha", "snr", "kl", "mmd"):
            if row[name] is not None:
                figures[f"layers/{row['layer']}/{name}"] = row[name]
    return figures


def tables_of(store: Store, run_id: str) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Columns and rows of a run's tables that W&B shows; of more rows than it takes the first."""
    found = {}
    for table in TABLES:
        rows = store.rows_of(table, run_id)[:MOST_ROWS]
        filled = [name for name in schema_of(table).names if any(row[name] is not None for row in rows)]
        columns = [name for name in filled if name != "run_id"]
        if rows:
            found[table] = (columns, [[row[name] for name in columns] for row in rows])
    return found


def weights_of(store: Store, run_id: str) -> list[str]:
    """Paths in the store of the tensors that a run has kept."""
    return [path for path in store.list(f"jobs/{run_id}") if path.endswith(".safetensors") and path.count("/") == 2]

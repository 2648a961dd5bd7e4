"""The summary at the end of a run, from the result rows alone."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import mean, stdev
from typing import Any

from raysurf.cli.output import text_table
from raysurf.cli.trial_text import params_text
from raysurf.results.api import Results, open
from raysurf.results.sql import quoted, quoted_list
from raysurf.results.trials import best_rows
from raysurf.store import Row
from raysurf.store.filesystem import results_option
from raysurf.store.store import Store
from raysurf.sweep.sweep import Sweep
from raysurf.wording import counted

COLUMNS = ("validation accuracy", "test accuracy", "validation nll", "test nll")


def summarise(sweeps: Sequence[Sweep], store: Store, file: str, wandb_notice: str) -> Iterator[str]:
    """The lines of the summary: best trials, comparisons, where everything is, and what to do next."""
    results = open(store.uri)
    pictures: list[str] = []
    measured: dict[Any, Any] = {}
    rows = sorted(results.table("trials").to_pylist(), key=lambda row: row["trial"])
    for sweep in sweeps:
        trials = [row for row in rows if row["sweep"] == sweep.name]
        best = best_rows(trials)
        if not (sweep.search and len(sweep.search.metrics) > 1):
            best = best[:1]
        yield ""
        yield from _best(sweep, results, trials, best)
        yield from _comparison(sweep, results, trials, best)
        yield from _surfaces(results, best)
        pictures += _pictures(sweep, results, store, best, measured)
    yield ""
    yield f"tables    {store.uri} ({', '.join(results.tables())})"
    for path in _studies(sweeps, store):
        yield f"study     {path} (optuna-dashboard shows it)"
    for path in pictures:
        yield f"picture   {path}"
    if wandb_notice:
        yield f"W&B       {wandb_notice}"
    yield f"next      raysurf table predictions{results_option(store.uri)} --where \"split = 'test'\""


def _studies(sweeps: Sequence[Sweep], store: Store) -> list[str]:
    """Journals of the Optuna studies; for a remote store they are in the working folder."""
    from raysurf.cluster.study import study_path

    paths = [study_path(store, sweep.name) for sweep in sweeps if sweep.is_searched]
    shown = [(os.path.relpath(path), str(path)) for path in paths if path.exists()]
    return [path if below.startswith("..") else below for below, path in shown]


def _best(sweep: Sweep, results: Results, trials: Sequence[Row], best: Sequence[Row]) -> Iterator[str]:
    counts = ", ".join(f"{n} {state}" for state, n in sorted(Counter(row["state"] for row in trials).items()))
    if not best:
        yield f"{sweep.name}: no trial finished ({counts})"
        return
    yield f"{sweep.name}: {counts}"
    if sweep.search and len(sweep.search.metrics) > 1:
        yield from _front(results, sweep.search.metrics, sweep.search.directions, best)
        return
    row = best[0]
    if sweep.search is not None and row["value"] is None:
        yield f"  no finished trial has {row['metric']}"
    if row["value"] is not None:
        spread = f" +- {row['std']:.4f} over {len(row['seeds'])} seeds" if row["std"] is not None else ""
        yield f"  best trial {row['trial']}: {row['metric']} {row['value']:.4f}{spread}"
        yield f"    {', '.join(params_text(row, results.store.uri))}"


def _front(results: Results, metrics: Sequence[str], modes: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    """The Pareto front, a line per trial."""
    sought = ", ".join(f"{mode} {metric}" for mode, metric in zip(modes, metrics, strict=True))
    yield f"  Pareto front of {sought}: {counted(len(rows), 'trial')}"
    lines = [[row["trial"], *row["values"], ", ".join(params_text(row, results.store.uri))] for row in rows]
    yield from (f"    {line}" for line in text_table(["trial", *metrics, "params"], lines, None).splitlines())


def _comparison(sweep: Sweep, results: Results, trials: Sequence[Row], best: Sequence[Row]) -> Iterator[str]:
    """Accuracy and NLL of the best trial's weights, or of every configuration's, and of their inputs."""
    rows = best if sweep.search is not None else [row for row in trials if row["state"] == "done"]
    configurations = {run_id: row["arm"] for row in rows for run_id in row["run_ids"]}
    chain = _with_inputs([*configurations, *(job.id for job in sweep.baselines)], results)
    if not chain:
        return
    query = f"""select kind, weights, scheme, num_samples, budget, split, accuracy, nll, "group", run_id
        from predictions join runs using (run_id)
        where run_id in {quoted_list(chain)} and split in ('validation', 'test')
        qualify num_samples = max(num_samples) over (partition by run_id, weights, scheme, split)"""
    settings: dict[tuple[str, str, str, float | None, str], dict[str, list[float]]] = {}
    for row in sorted(results.sql(query).to_pylist(), key=lambda row: chain.index(row["run_id"])):
        name = row["kind"] if sweep.search else configurations.get(row["run_id"], row["kind"])
        scheme = {"deterministic": "means", "ensemble": f"ensemble of {row['num_samples']}"}.get(
            row["scheme"], row["scheme"]
        )
        key = (name, row["weights"], scheme, row["budget"], row["group"])
        metrics = settings.setdefault(key, {})
        for metric in ("accuracy", "nll"):
            metrics.setdefault(f"{row['split']} {metric}", []).append(row[metric])
    if settings:
        said = {"final": "", "average": "", "last": ", last iterate"}
        schemes = Counter((name, weights, group) for name, weights, _, _, group in settings)
        lines = []
        for (name, weights, scheme, budget, group), metrics in settings.items():
            by = f", {scheme}" if schemes[name, weights, group] > 1 else ""
            label = f"{name}{said.get(weights, f', {weights}')}{by}"
            lines.append([label, budget, *(_spread(metrics.get(c, [])) for c in COLUMNS)])
        yield from (
            f"  {line}".rstrip() for line in ["", *text_table(["weights", "budget", *COLUMNS], lines).splitlines()]
        )


def _surfaces(results: Results, best: Sequence[Row]) -> Iterator[str]:
    """Worst train loss and test error on the best trial's surface: value, position and barrier."""
    for run_id in best[0]["run_ids"][:1] if best else []:
        ids = f"run_id = {quoted(run_id)}"
        metrics = json.loads(results.table("runs", ["metrics"], ids)["metrics"][0].as_py())
        for split, name in (("train", "loss"), ("test", "error")):
            query = f"""select {name} as worst, t, x, y, ray from surface where {ids} and split = '{split}'
                and {name} is not null order by {name} desc, point limit 1"""
            for worst in results.sql(query).to_pylist():
                where = f"x = {worst['x']:.4g}, y = {worst['y']:.4g}" if worst["x"] is not None else ""
                where = where or f"t = {worst['t']:.3g}" + ("" if worst["ray"] is None else f" of ray {worst['ray']}")
                by_whom = {who: metrics.get(f"{split}/{who}_barrier_{name}") for who in ("frankle", "entezari")}
                barriers = ", ".join(
                    f"{value:.4g} ({who.title()})" for who, value in by_whom.items() if value is not None
                )
                barrier = f"; barrier {barriers}" if barriers else ""
                yield f"  {split} {name}: at most {worst['worst']:.4g}, at {where}{barrier}"


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.4f}" + (f" +- {stdev(values):.4f}" if len(values) > 1 else "")


def _with_inputs(run_ids: Sequence[str], results: Results) -> list[str]:
    """Runs with all their inputs, inputs first."""
    inputs = {row["run_id"]: row["inputs"] for row in results.table("runs", ["run_id", "inputs"]).to_pylist()}
    ordered: dict[str, None] = {}

    def visit(run_id: str) -> None:
        for needed in inputs.get(run_id, []):
            visit(needed)
        ordered.setdefault(run_id)

    for run_id in run_ids:
        visit(run_id)
    return list(ordered)


def _pictures(sweep: Sweep, results: Results, store: Store, best: Sequence[Row], measured: dict[Any, Any]) -> list[str]:
    """Draw the measurements of a sweep; of profiles the best trial's and those of the baselines."""
    if not best or "://" in store.uri:
        return []
    from raysurf.report.draw import pictures_of_sweep

    run_ids = [best[0]["run_ids"][0], *(job.id for job in sweep.baselines)]
    return pictures_of_sweep(results, sweep.name, f"{store.uri}/pictures", run_ids, measured)

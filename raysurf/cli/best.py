"""``raysurf best``: the best trial of a sweep, and the job to run again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from raysurf.cli.asked_rows import tell_running
from raysurf.cli.echo import echo
from raysurf.cli.formats import finite, text_table
from raysurf.cli.store_warnings import strict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raysurf.results.query import Results

Row = dict[str, Any]


@click.command()
@strict
@click.argument("sweep")
@click.option("--job", "as_job", is_flag=True, help="Print its job as a file for `raysurf run`, with all its seeds.")
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def best(sweep: str, as_job: bool, style: str, results: str) -> None:
    """Print the best finished trial of SWEEP: value, setting, searched values, runs, and how to run its job again.

    Of a sweep that searches several metrics it is the Pareto front, a line a trial.
    """
    from raysurf.results.query import open
    from raysurf.results.sweeps import trials_of

    found = open(results)
    trials = {row["trial"]: row for row in trials_of(found, sweep)}
    several = any(", " in row["metric"] for row in trials.values())
    rows = [trials[trial] for trial in found.pareto(sweep)["trial"].to_pylist()] if several else [found.best(sweep)]
    tell_running(found, sweep)
    if as_job:
        if len(rows) > 1:
            raise click.UsageError(f"{len(rows)} trials are best; choose one of the runs: raysurf why --job RUN_ID")
        from raysurf.cli.job_text import sweep_file
        from raysurf.results.one_run import one_run

        runs = [one_run(found, run_id) for run_id in rows[0]["run_ids"]]
        echo(sweep_file(f"{sweep}-best", runs, results))
    elif style == "json":
        echo(json.dumps(finite([_as_json(row, found) for row in rows]), indent=1))
    elif several:
        echo(_front(rows, found.store.uri))
    else:
        echo("\n".join(_lines(rows[0], results)))


def _lines(row: Row, results: str) -> Iterator[str]:
    from raysurf.cli.params_text import params_text
    from raysurf.results.address import results_option

    spread = "" if row["std"] is None else f" ± {row['std']:.4g} over {len(row['seeds'])} seeds"
    at = results_option(results)
    told = {
        "trial": [str(row["trial"])],
        row["metric"]: [f"{row['value']:.4g}{spread}, the {row['mode']}"],
        "arm": [row["arm"]],
        "params": params_text(row, results),
        "runs": row["run_ids"],
        "again": [f"raysurf best {row['sweep']} --job{at} > job.yaml", f"raysurf run job.yaml{at}"],
    }
    width = max(map(len, told))
    for name, values in told.items():
        yield from (f"{'' if i else name:<{width}}  {value}" for i, value in enumerate(values))


def _front(rows: list[Row], uri: str) -> str:
    from raysurf.cli.params_text import params_text

    metrics = rows[0]["metric"].split(", ")
    cells = [
        [row["trial"], *row["values"], row["arm"], ", ".join(params_text(row, uri)), row["run_ids"]] for row in rows
    ]
    return text_table(["trial", *metrics, "arm", "params", "runs"], cells, None)


def _as_json(row: Row, results: Results) -> Row:
    from raysurf.results.one_run import one_run
    from raysurf.results.parts import mapping_in

    uri = results.store.uri
    job = mapping_in(one_run(results, row["run_ids"][0])["spec"], uri, row["run_ids"][0])
    kept = ("sweep", "trial", "metric", "mode", "value", "values", "std", "seeds", "arm", "run_ids")
    return {**{name: row[name] for name in kept}, "params": mapping_in(row["params"], uri, "trials"), "job": job}

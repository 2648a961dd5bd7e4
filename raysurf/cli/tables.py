"""``raysurf table``, ``best``, ``compare`` and ``export``."""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raysurf.cli.options import format_option, results_option, strict
from raysurf.cli.output import EXPORTED, FORMATS, SUFFIXES, echo, encoded, finite, print_rows, text_table
from raysurf.store import Row
from raysurf.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from raysurf.results.api import Results


TABLES = ("parameterizations", "schemes", "budgets")
BY = {name.removesuffix("s"): name for name in TABLES}


@click.command()
@strict
@click.argument("name", metavar="[TABLE]", required=False, type=click.Choice(TABLES))
@click.option("--by", type=click.Choice(tuple(BY)), help="The same as TABLE: --by budget is the table budgets.")
@click.option("--sweep", "sweeps", multiple=True, help="Compare the runs of this sweep; repeatable.")
@format_option(
    ("table", "csv", "json", "latex", "markdown"),
    "Output format; csv and json have a row per metric, with accuracies as fractions.",
)
@results_option
def compare(name: str | None, by: str | None, sweeps: tuple[str, ...], style: str, results: str) -> None:
    """Print our metrics beside published ones: mean ± std over seeds.

    TABLE, or --by, is parameterizations (of variational dropout: ELBO, deterministic and ensemble accuracy by layer,
    neuron, weight, and additive), schemes (of prediction: stochastic, deterministic and ensemble accuracy with dropout
    and variance layers) or budgets (accuracy of SGD and FGE, of SWA at 1, 1.25 and 1.5 budgets, and of pretrained
    weights after 5 and 10 epochs of SWA). Without --sweep, every finished run in the store is compared.
    """
    asked = name or BY.get(by or "")
    if asked is None:
        raise click.UsageError(f"got no table; expected one of {', '.join(TABLES)}, or --by {', --by '.join(BY)}")
    if by is not None and asked != BY[by]:
        raise click.UsageError(f"got both {name} and --by {by}; give one of them")
    from raysurf.cli.comparison_text import latex, markdown, text
    from raysurf.results.api import open
    from raysurf.results.comparison.compare import compare as compared
    from raysurf.results.comparison.compare import counted as by_status
    from raysurf.results.comparison.compare import joined

    comparisons = compared(open(results), asked, sweeps)
    left_out = sum((Counter(comparison.left_out) for comparison in comparisons), Counter[str]())
    if left_out:
        echo(f"{counted(left_out.total(), 'run')} left out: {by_status(left_out)}", err=True)
    if style in ("csv", "json"):
        print_rows(joined(comparisons), style)
    elif style in ("markdown", "latex"):
        printed = markdown if style == "markdown" else latex
        echo("\n\n".join(printed(comparison) for comparison in comparisons))
    else:
        # A terminal's width, or $COLUMNS; a file has room for any line.
        width = shutil.get_terminal_size(fallback=(10_000, 24)).columns
        echo("\n\n".join(text(comparison, width) for comparison in comparisons))


OPTIONS = (
    click.argument("name", required=False),
    click.option("--sql", "query", default=None, help="A query over all tables, in DuckDB's SQL, instead of a NAME."),
    click.option("--params", "sweep", default=None, help="The trials of this sweep, with a column per searched value."),
    click.option("--where", default=None, help="A condition on the rows of NAME, in SQL."),
    click.option("--columns", default=None, help="Columns of NAME, separated by commas."),
    results_option,
)


def asks_for_rows(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and options that select rows to a command, which is called with a function that reads them."""

    @functools.wraps(command)
    def asked(
        name: str | None,
        query: str | None,
        sweep: str | None,
        where: str | None,
        columns: str | None,
        results: str,
        **others: Any,
    ) -> Any:
        _check(command.__name__, name, query, sweep, where or columns)

        def read() -> pa.Table:
            from raysurf.results.api import open

            reader = open(results)
            if query is not None:
                rows = reader.sql(query)
            elif sweep is not None:
                rows = reader.params(sweep)
            else:
                assert name is not None
                rows = reader.table(name, [column.strip() for column in columns.split(",")] if columns else None, where)
            note_running(reader, sweep)
            return rows

        return command(read=read, **others)

    for option in reversed(OPTIONS):
        asked = option(asked)
    return strict(asked)


def _check(command: str, name: str | None, query: str | None, sweep: str | None, narrowed: str | None) -> None:
    asked = [what for what, value in (("a NAME", name), ("--sql", query), ("--params", sweep)) if value is not None]
    if len(asked) != 1:
        got = " and ".join(asked) or "no NAME, --sql or --params"
        raise click.UsageError(f"got {got}; give one of them, such as: raysurf {command} runs")
    if narrowed and name is None:
        raise click.UsageError(f"--where and --columns are for a NAME; got them with {asked[0]}")


def note_running(results: Results, sweep: str | None = None) -> None:
    """Print a note on stderr if trials of a sweep, or of any sweep, have not ended."""
    running: Mapping[str, int] = results.running()
    for name, number in running.items():
        if sweep in (None, name):
            echo(f"{name}: {counted(number, 'trial')} running or interrupted; these are the rows so far", err=True)


@click.command()
@asks_for_rows
@format_option(FORMATS, "Output format; parquet needs a pipe or a file.")
def table(read: Callable[[], pa.Table], style: str) -> None:
    """Print the table NAME (runs, trials, epochs, predictions, surface, landmarks, layers, activations, inputs), the
    trials of a sweep with their searched values (--params), or the result of --sql."""
    if style == "parquet" and sys.stdout.isatty():
        raise click.UsageError("parquet is not for a terminal; redirect it, such as: > runs.parquet")
    print_rows(read(), style)


@click.command()
@strict
@click.argument("sweep")
@click.option("--job", "as_job", is_flag=True, help="Print its job as a file for `raysurf run`, with all its seeds.")
@format_option()
@results_option
def best(sweep: str, as_job: bool, style: str, results: str) -> None:
    """Print the best finished trial of SWEEP: value, configuration, searched values, runs, and how to rerun its job.

    For a sweep over several metrics, print the Pareto front, a line per trial.
    """
    from raysurf.results.api import open
    from raysurf.results.trials import trials_of

    reader = open(results)
    trials = {row["trial"]: row for row in trials_of(reader, sweep)}
    several = any(", " in row["metric"] for row in trials.values())
    rows = [trials[trial] for trial in reader.pareto(sweep)["trial"].to_pylist()] if several else [reader.best(sweep)]
    note_running(reader, sweep)
    if as_job:
        if len(rows) > 1:
            raise click.UsageError(f"{len(rows)} trials are best; choose one of the runs: raysurf why --job RUN_ID")
        from raysurf.cli.job_text import sweep_file
        from raysurf.results.runs import one_run

        runs = [one_run(reader, run_id) for run_id in rows[0]["run_ids"]]
        echo(sweep_file(f"{sweep}-best", runs, results))
    elif style == "json":
        echo(json.dumps(finite([_as_json(row, reader) for row in rows]), indent=1))
    elif several:
        echo(_front(rows, reader.store.uri))
    else:
        echo("\n".join(_lines(rows[0], results)))


def _lines(row: Row, results: str) -> Iterator[str]:
    from raysurf.cli.trial_text import params_text
    from raysurf.store.filesystem import results_option

    spread = "" if row["std"] is None else f" ± {row['std']:.4g} over {len(row['seeds'])} seeds"
    at = results_option(results)
    facts = {
        "trial": [str(row["trial"])],
        row["metric"]: [f"{row['value']:.4g}{spread}, the {row['mode']}"],
        "arm": [row["arm"]],
        "params": params_text(row, results),
        "runs": row["run_ids"],
        "again": [f"raysurf best {row['sweep']} --job{at} > job.yaml", f"raysurf run job.yaml{at}"],
    }
    width = max(map(len, facts))
    for name, values in facts.items():
        yield from (f"{'' if i else name:<{width}}  {value}" for i, value in enumerate(values))


def _front(rows: list[Row], uri: str) -> str:
    from raysurf.cli.trial_text import params_text

    metrics = rows[0]["metric"].split(", ")
    cells = [
        [row["trial"], *row["values"], row["arm"], ", ".join(params_text(row, uri)), row["run_ids"]] for row in rows
    ]
    return text_table(["trial", *metrics, "arm", "params", "runs"], cells, None)


def _as_json(row: Row, results: Results) -> Row:
    from raysurf.results.runs import one_run
    from raysurf.store.parts import mapping_in

    uri = results.store.uri
    job = mapping_in(one_run(results, row["run_ids"][0])["spec"], uri, row["run_ids"][0])
    kept = ("sweep", "trial", "metric", "mode", "value", "values", "std", "seeds", "arm", "run_ids")
    return {**{name: row[name] for name in kept}, "params": mapping_in(row["params"], uri, "trials"), "job": job}


@click.command()
@asks_for_rows
@click.option(
    "-o", "--output", default=None, help=f"The output file; its suffix ({', '.join(SUFFIXES)}) selects the format."
)
@click.option("--format", "style", type=click.Choice(EXPORTED), help="The format, whatever the suffix.  [default: csv]")
def export(read: Callable[[], pa.Table], output: str | None, style: str | None) -> None:
    """Write the table NAME, the trials of a sweep with their searched values (--params), or the result of --sql to a
    file, or to stdout: CSV, JSON, Parquet, a LaTeX tabular or a Markdown table."""
    style = style or _style_of(output)
    if output is None:
        if style == "parquet" and sys.stdout.isatty():
            raise click.UsageError("parquet is not for a terminal; name a file, such as: -o runs.parquet")
        print_rows(read(), style)
        return
    rows = read()
    try:
        from raysurf.store.filesystem import replace_file

        replace_file(output, encoded(rows, style))
    except OSError as error:
        raise click.ClickException(
            f"{output}: {error.strerror}; expected a file in a folder that can be written"
        ) from error
    echo(f"{output}  {rows.num_rows} rows", err=True)


def _style_of(output: str | None) -> str:
    if output is None:
        return "csv"
    suffix = Path(output).suffix.lower()
    if suffix not in SUFFIXES:
        raise click.UsageError(f"-o: got {output!r}; expected a file in {', '.join(SUFFIXES)}, or --format")
    return SUFFIXES[suffix]

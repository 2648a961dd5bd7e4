"""The rows that a command is asked for: a table, a sweep's trials with their values, or the answer to SQL."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from raysurf.cli.echo import echo
from raysurf.cli.store_warnings import strict

if TYPE_CHECKING:
    import pyarrow as pa

    from raysurf.results.query import Results

OPTIONS = (
    click.argument("name", required=False),
    click.option("--sql", "query", default=None, help="A query over all tables, in DuckDB's SQL, instead of a NAME."),
    click.option("--params", "sweep", default=None, help="The trials of this sweep, every searched value a column."),
    click.option("--where", default=None, help="A condition on the rows of NAME, in SQL."),
    click.option("--columns", default=None, help="Columns of NAME, separated by commas."),
    click.option(
        "--results", default="results", show_default=True, help="Address of the result store, a folder or a URI."
    ),
)


def asks_for_rows(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument and options that say which rows; it is called with a function that reads them."""

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
            from raysurf.results.query import open

            found = open(results)
            if query is not None:
                rows = found.sql(query)
            elif sweep is not None:
                rows = found.params(sweep)
            else:
                assert name is not None
                rows = found.table(name, [each.strip() for each in columns.split(",")] if columns else None, where)
            tell_running(found, sweep)
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


def tell_running(results: Results, sweep: str | None = None) -> None:
    """Say on stderr that trials of a sweep, or of any, have not ended, so that these are its rows so far."""
    running: Mapping[str, int] = results.running()
    for name, number in running.items():
        if sweep in (None, name):
            trials = "1 trial" if number == 1 else f"{number} trials"
            echo(f"{name}: {trials} running, or broken off; these are the rows so far", err=True)

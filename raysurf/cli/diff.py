"""``raysurf diff``: what two runs differ in, and their figures."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from raysurf.cli.echo import echo
from raysurf.cli.formats import text_table
from raysurf.cli.store_warnings import strict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raysurf.results.run_difference import Differing, RunDifference

# Cells of a table; with longer ones its lines would have more than 80 characters.
LONGEST = 24
HEADINGS = {"job": "job", "versions": "versions", "provenance": "provenance", "run": "run"}


@click.command()
@strict
@click.argument("a")
@click.argument("b")
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def diff(a: str, b: str, style: str, results: str) -> None:
    """Compare the runs A and B: job by dotted path, versions, commit, data, device, and figures side by side.

    A and B are run ids, or beginnings of them that are unique; the kind may be left out.
    """
    from raysurf.results.query import open
    from raysurf.results.run_difference import run_difference

    found = run_difference(open(results), a, b)
    if style == "json":
        echo(json.dumps(dataclasses.asdict(found), default=str, indent=1))
    else:
        echo("\n".join(_lines(found)))


def _lines(found: RunDifference) -> Iterable[str]:
    yield f"A  {found.a}"
    yield f"B  {found.b}"
    if found.a == found.b:
        yield "one and the same run"
    for name, heading in HEADINGS.items():
        differing: tuple[Differing, ...] = getattr(found, name)
        if differing:
            yield ""
            yield from _table(heading, [[each.name, _text(each.a), _text(each.b)] for each in differing])
    same = [heading for name, heading in HEADINGS.items() if not getattr(found, name)]
    if same:
        yield ""
        yield f"the same in both: {', '.join(same)}"
    if found.figures:
        yield ""
        lines = [[each.name, each.a, each.b, _difference(each)] for each in found.figures]
        yield from text_table(["figure", "A", "B", "B - A"], lines, None).splitlines()


def _table(heading: str, cells: list[list[str]]) -> Iterable[str]:
    """What differs, as a table; below it what is too long for one."""
    short = [row for row in cells if max(map(len, row)) <= LONGEST]
    if short:
        yield from text_table([heading, "A", "B"], short, LONGEST).splitlines()
    for name, a, b in cells:
        if [name, a, b] not in short:
            yield from (f"{name} ({heading})", f"  A  {a}", f"  B  {b}")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


def _difference(each: Differing) -> str:
    numbers = [value for value in (each.a, each.b) if isinstance(value, int | float)]
    return f"{numbers[1] - numbers[0]:+.4g}" if len(numbers) == 2 else ""

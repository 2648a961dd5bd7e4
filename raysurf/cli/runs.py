"""``raysurf diff`` and ``why``."""

from __future__ import annotations

import dataclasses
import json
import os
import textwrap
from typing import TYPE_CHECKING, Any

import click

from raysurf.cli.options import format_option, results_option, strict
from raysurf.cli.output import echo, text_table
from raysurf.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raysurf.results.failures import FailureGroup, Failures
    from raysurf.results.runs import Differing, RunDifference


# Cells of a table; with longer ones its lines would have more than 80 characters.
LONGEST = 24
HEADINGS = {"job": "job", "versions": "versions", "provenance": "provenance", "run": "run"}


@click.command()
@strict
@click.argument("a")
@click.argument("b")
@format_option()
@results_option
def diff(a: str, b: str, style: str, results: str) -> None:
    """Compare the runs A and B: job by dotted path, versions, commit, data, device, and figures side by side.

    A and B are run ids, or beginnings of them that are unique; the kind may be left out.
    """
    from raysurf.results.api import open
    from raysurf.results.runs import run_difference

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


WIDTH = 79
SHOWN = 6


@click.command()
@strict
@click.argument("sweeps", metavar="[SWEEP]...", nargs=-1)
@click.option("--job", "run_id", default=None, help="Print the job of this run as a file for `raysurf run`; no more.")
@format_option()
@results_option
def why(sweeps: tuple[str, ...], run_id: str | None, style: str, results: str) -> None:
    """Say why runs failed: by exception and line, with counts, arms, seeds and the first traceback.

    Without a SWEEP all of them are looked at. RUN_IDs may be cut short, as long as they are unique.
    """
    from raysurf.results.api import open
    from raysurf.results.failures import failures

    if run_id is not None:
        from raysurf.cli.job_text import job_file
        from raysurf.results.runs import one_run

        if sweeps:
            raise click.UsageError("got a SWEEP and --job; give one of them")
        echo(job_file(one_run(open(results), run_id), results))
        return
    found = failures(open(results), sweeps)
    if style == "json":
        echo(json.dumps([_as_json(group, results) for group in found.groups], indent=1))
    else:
        echo("\n".join(_why_lines(found, results)))


def _why_lines(found: Failures, results: str) -> list[str]:
    if not found.groups:
        return [f"nothing failed: {counted(found.num_runs, 'run')} looked at"]
    ways = "in one way" if len(found.groups) == 1 else f"in {len(found.groups)} ways"
    lines = [f"{found.num_failed} of {counted(found.num_runs, 'run')} failed, {ways}"]
    for number, group in enumerate(found.groups, start=1):
        lines += ["", *_group_lines(number, group, results)]
    return lines


def _group_lines(number: int, group: FailureGroup, results: str) -> list[str]:
    from raysurf.failure import KINDS

    what = group.what
    title = " at ".join(part for part in (what.error, _near(what.place)) if part)
    kind = KINDS[what.kind]
    lines = _wrapped(f"{number}. {counted(len(group.runs), 'run')}: {title + ': ' if title else ''}{kind}", "", "   ")
    lines += [line for each in what.message.splitlines()[:SHOWN] for line in _wrapped(each, "   ", "   ")]
    trials = [f"{run.sweep} {run.trial}" for run in group.runs if run.trial is not None]
    others = [f"{run.role} of {run.sweep}" for run in group.runs if run.trial is None]
    for name, values in (
        ("trials", list(dict.fromkeys(trials))),
        ("also", list(dict.fromkeys(others))),
        ("arms", _counted(group)),
        ("seeds", [str(seed) for seed in sorted(group.of("seed"))]),
        ("runs", group.run_ids),
    ):
        if values:
            more = [f"{len(values) - SHOWN} more"] if len(values) > SHOWN else []
            lines += _wrapped(", ".join(values[:SHOWN] + more), f"   {name:<8}", " " * 11)
    if what.kind != "blocked" and "\n" in group.traceback:
        lines += ["", *(f"   {line}".rstrip() for line in group.traceback.splitlines()), ""]
    # Commands are to be copied, so they are not wrapped.
    lines.append(f"   again   {_again(group)}")
    alone = [] if what.kind == "blocked" else _alone(group, results)
    return lines + [f"   {'' if i else 'alone':<8}{command}" for i, command in enumerate(alone)]


def _counted(group: FailureGroup) -> list[str]:
    arms = [run.arm for run in group.runs if run.arm]
    return [arm if arms.count(arm) == 1 else f"{arm} ({arms.count(arm)} runs)" for arm in dict.fromkeys(arms)]


def _again(group: FailureGroup) -> str:
    """The command that tries the runs again: the one that ran them, as far as it is known."""
    command = next((run.command for run in group.runs if run.command.startswith("raysurf run ")), "raysurf run FILE")
    return command if "--retry-failed" in command else f"{command} --retry-failed"


def _alone(group: FailureGroup, results: str) -> list[str]:
    """The commands that run the first of the jobs by itself."""
    from raysurf.store.filesystem import results_option

    at = results_option(results)
    first = next(iter(group.run_ids), None)
    return [f"raysurf why --job {first}{at} > job.yaml", f"raysurf run job.yaml{at}"] if first else []


def _near(place: str) -> str:
    """A place as it is called from the working folder."""
    here = os.getcwd().rstrip("/") + "/"
    return place.removeprefix(here)


def _wrapped(text: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )


def _as_json(group: FailureGroup, results: str) -> dict[str, Any]:
    what = group.what
    return {
        "kind": what.kind,
        "error": what.error,
        "place": what.place,
        "message": what.message,
        "count": len(group.runs),
        **{name: group.of(name) for name in ("sweep", "trial", "role", "arm", "seed")},
        "run_ids": group.run_ids,
        "traceback": group.traceback,
        "again": _again(group),
        "alone": _alone(group, results),
    }

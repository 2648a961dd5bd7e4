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


# Longest cell of a table, so that lines have at most 80 characters.
LONGEST = 24
HEADINGS = {"job": "job", "versions": "versions", "provenance": "provenance", "run": "run"}


@click.command()
@strict
@click.argument("a")
@click.argument("b")
@format_option()
@results_option
def diff(a: str, b: str, style: str, results: str) -> None:
    """Compare the runs A and B: job by dotted path, versions, commit, data, device, and metrics side by side.

    A and B are run ids or unique prefixes of them; the kind may be left out.
    """
    from raysurf.results.api import open
    from raysurf.results.runs import run_difference

    difference = run_difference(open(results), a, b)
    if style == "json":
        tree = dataclasses.asdict(difference)
        # As its readers know it.
        tree["figures"] = tree.pop("metrics")
        echo(json.dumps(tree, default=str, indent=1))
    else:
        echo("\n".join(_lines(difference)))


def _lines(difference: RunDifference) -> Iterable[str]:
    yield f"A  {difference.a}"
    yield f"B  {difference.b}"
    if difference.a == difference.b:
        yield "one and the same run"
    for name, heading in HEADINGS.items():
        differing: tuple[Differing, ...] = getattr(difference, name)
        if differing:
            yield ""
            yield from _table(heading, [[leaf.name, _text(leaf.a), _text(leaf.b)] for leaf in differing])
    same = [heading for name, heading in HEADINGS.items() if not getattr(difference, name)]
    if same:
        yield ""
        yield f"the same in both: {', '.join(same)}"
    if difference.metrics:
        yield ""
        lines = [[metric.name, metric.a, metric.b, _difference(metric)] for metric in difference.metrics]
        yield from text_table(["metric", "A", "B", "B - A"], lines, None).splitlines()


def _table(heading: str, cells: list[list[str]]) -> Iterable[str]:
    """Differences as a table; below it those that are too long for one."""
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


def _difference(metric: Differing) -> str:
    numbers = [value for value in (metric.a, metric.b) if isinstance(value, int | float)]
    return f"{numbers[1] - numbers[0]:+.4g}" if len(numbers) == 2 else ""


WIDTH = 79
SHOWN = 6


@click.command()
@strict
@click.argument("sweeps", metavar="[SWEEP]...", nargs=-1)
@click.option("--job", "run_id", default=None, help="Print only the job of this run, as a file for `raysurf run`.")
@format_option()
@results_option
def why(sweeps: tuple[str, ...], run_id: str | None, style: str, results: str) -> None:
    """Show why runs failed: by exception and line, with counts, configurations, seeds and the first traceback.

    Without SWEEP, all sweeps are included. RUN_ID may be a unique prefix.
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
    failed = failures(open(results), sweeps)
    if style == "json":
        echo(json.dumps([_as_json(group, results) for group in failed.groups], indent=1))
    else:
        echo("\n".join(_why_lines(failed, results)))


def _why_lines(failures: Failures, results: str) -> list[str]:
    if not failures.groups:
        return [f"nothing failed: {counted(failures.num_runs, 'run')} looked at"]
    ways = "in one way" if len(failures.groups) == 1 else f"in {len(failures.groups)} ways"
    lines = [f"{failures.num_failed} of {counted(failures.num_runs, 'run')} failed, {ways}"]
    for number, group in enumerate(failures.groups, start=1):
        lines += ["", *_group_lines(number, group, results)]
    return lines


def _group_lines(number: int, group: FailureGroup, results: str) -> list[str]:
    from raysurf.failure import KINDS

    what = group.what
    title = " at ".join(part for part in (what.error, _near(what.place)) if part)
    kind = KINDS[what.kind]
    lines = _wrapped(f"{number}. {counted(len(group.runs), 'run')}: {title + ': ' if title else ''}{kind}", "", "   ")
    lines += [part for line in what.message.splitlines()[:SHOWN] for part in _wrapped(line, "   ", "   ")]
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
    labels = [run.arm for run in group.runs if run.arm]
    return [
        label if labels.count(label) == 1 else f"{label} ({labels.count(label)} runs)"
        for label in dict.fromkeys(labels)
    ]


def _again(group: FailureGroup) -> str:
    """The command that retries the runs: the one that ran them, if it is known."""
    command = next((run.command for run in group.runs if run.command.startswith("raysurf run ")), "raysurf run FILE")
    return command if "--retry-failed" in command else f"{command} --retry-failed"


def _alone(group: FailureGroup, results: str) -> list[str]:
    """The commands that run the first job by itself."""
    from raysurf.store.filesystem import results_option

    at = results_option(results)
    first = next(iter(group.run_ids), None)
    return [f"raysurf why --job {first}{at} > job.yaml", f"raysurf run job.yaml{at}"] if first else []


def _near(place: str) -> str:
    """A place relative to the working folder."""
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

"""``raysurf plot`` and ``report``."""

from __future__ import annotations

import click

from raysurf.cli.examples import sweep_file
from raysurf.cli.options import results_option, strict
from raysurf.cli.output import echo

PICTURES = ("plane", "profile", "width", "path", "schemes", "activations", "toy", "schedule")


@click.command()
@strict
@click.argument("kind", type=click.Choice(PICTURES))
@sweep_file(required=False)
@click.option("--sweep", "sweeps", multiple=True, help="Draw the runs of this sweep; repeatable.")
@click.option("--run", "run_ids", multiple=True, help="Draw this run, by its id or a unique prefix; repeatable.")
@click.option(
    "-o",
    "--output",
    default=None,
    help="The output file; its suffix (.png, .svg, .pdf, .html) selects the format.  [default: "
    "RESULTS/pictures/KIND.png; schedule.png for a FILE]",
)
@click.option(
    "--x",
    "axis",
    type=click.Choice(["t", "arc", "distance"]),
    metavar="[t|arc]",
    default=None,
    help="x-axis of profile and path: position, or arc length (weight distance along the line; `distance` is its older "
    "name).  [default: t]",
)
@results_option
def plot(
    kind: str,
    file: str | None,
    sweeps: tuple[str, ...],
    run_ids: tuple[str, ...],
    output: str | None,
    axis: str | None,
    results: str,
) -> None:
    """Draw KIND: planes, profiles of curves and lines, widths along rays, minimum-energy paths, schemes of prediction,
    activations of neurons by class, a toy network on two-dimensional inputs, or schedules: learning rates of finished
    epochs, or with `schedule FILE` those that a sweep file asks for, before training.

    Without --sweep and --run, every such run in the store is drawn, running ones too.
    """
    if axis is not None and kind not in ("profile", "path"):
        raise click.UsageError(f"--x is for profile and path; {kind} has its own axes")
    if file is not None:
        if kind != "schedule" or run_ids:
            raise click.UsageError(f"a file is for schedule, without --run; got {kind} of {file}")
        from raysurf.cli.planned_rates import draw_planned

        draw_planned(file, output or "schedule.png", sweeps)
        echo(output or "schedule.png")
        return
    from raysurf.report.draw import draw
    from raysurf.results.api import open

    path = output or (f"{kind}.png" if "://" in results else f"{results}/pictures/{kind}.png")
    draw(open(results), kind, path, sweeps=sweeps, run_ids=run_ids, axis=axis or "t")
    echo(path)


@click.command()
@click.argument("sweeps", metavar="SWEEP...", nargs=-1, required=True)
@click.option("-o", "--output", default="report.html", show_default=True, help="The output file, ending in .html.")
@click.option("--interactive", is_flag=True, help="Interactive pictures, drawn in the browser (about 5 MB more).")
@results_option
def report(sweeps: tuple[str, ...], output: str, interactive: bool, results: str) -> None:
    """Write a report on SWEEPs: one HTML page that needs no network and no other file.

    It shows the question, the outcome and its cost, the best trials, the search, surfaces, predictions, comparisons
    with published metrics, failures and provenance; of a running sweep the rows so far.
    """
    from raysurf.report.sweep_report import write_report
    from raysurf.results.api import open

    write_report(open(results), sweeps, output, is_interactive=interactive)
    echo(output)

"""``raysurf compare``: our figures beside published ones, in the layout of the published table."""

from __future__ import annotations

import shutil
from collections import Counter

import click

from raysurf.cli.echo import echo
from raysurf.cli.formats import print_rows
from raysurf.cli.store_warnings import strict

TABLES = ("parameterizations", "schemes", "budgets")
BY = {name.removesuffix("s"): name for name in TABLES}


@click.command()
@strict
@click.argument("name", metavar="[TABLE]", required=False, type=click.Choice(TABLES))
@click.option("--by", type=click.Choice(tuple(BY)), help="The same as TABLE: --by budget is the table budgets.")
@click.option("--sweep", "sweeps", multiple=True, help="Compare the runs of this sweep; may be given again.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json", "latex", "markdown"]),
    default="table",
    show_default=True,
    help="How to print; csv and json have a row a figure, with accuracies as fractions.",
)
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def compare(name: str | None, by: str | None, sweeps: tuple[str, ...], style: str, results: str) -> None:
    """Print our figures beside published ones: mean ± std over seeds.

    TABLE, or --by, is parameterizations (of variational dropout: ELBO, deterministic and ensemble accuracy by layer,
    neuron, weight, and additive), schemes (of prediction: stochastic, deterministic and ensemble accuracy with dropout
    and variance layers) or budgets (accuracy of SGD and FGE, of SWA at 1, 1.25 and 1.5 budgets, and of pretrained
    weights after 5 and 10 epochs of SWA). Without --sweep every finished run in the store is taken.
    """
    asked = name or BY.get(by or "")
    if asked is None:
        raise click.UsageError(f"got no table; expected one of {', '.join(TABLES)}, or --by {', --by '.join(BY)}")
    if by is not None and asked != BY[by]:
        raise click.UsageError(f"got both {name} and --by {by}; give one of them")
    from raysurf.cli.comparison_text import latex, markdown, text
    from raysurf.results.comparison import compare as compared
    from raysurf.results.comparison import counted, joined
    from raysurf.results.query import open

    found = compared(open(results), asked, sweeps)
    left_out = sum((Counter(each.left_out) for each in found), Counter[str]())
    if left_out:
        number = left_out.total()
        echo(f"{number} {'run' if number == 1 else 'runs'} left out: {counted(left_out)}", err=True)
    if style in ("csv", "json"):
        print_rows(joined(found), style)
    elif style in ("markdown", "latex"):
        printed = markdown if style == "markdown" else latex
        echo("\n\n".join(printed(each) for each in found))
    else:
        # A terminal's width, or $COLUMNS; a file has room for any line.
        width = shutil.get_terminal_size(fallback=(10_000, 24)).columns
        echo("\n\n".join(text(each, width) for each in found))

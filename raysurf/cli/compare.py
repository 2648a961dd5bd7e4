"""``raysurf compare``: our figures beside published ones, in the layout of the published table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from raysurf.cli.table import text_table, write

if TYPE_CHECKING:
    from raysurf.results.comparison import Comparison

TABLES = ("parameterizations", "schemes")
DASH = "–"


@click.command()
@click.argument("name", metavar="TABLE", type=click.Choice(TABLES))
@click.option("--sweep", "sweeps", multiple=True, help="Compare the runs of this sweep; may be given again.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    default="table",
    show_default=True,
    help="How to print; csv and json have a row a figure, with accuracies as fractions.",
)
@click.option("--results", default="results", show_default=True, help="Address of the result store, a folder or a URI.")
def compare(name: str, sweeps: tuple[str, ...], style: str, results: str) -> None:
    """Print our figures beside published ones: mean ± std over seeds.

    TABLE is parameterizations (of variational dropout: ELBO, deterministic and ensemble accuracy by layer, neuron,
    weight, and additive) or schemes (of prediction: stochastic, deterministic and ensemble accuracy with dropout and
    variance layers). Without --sweep every finished run in the store is taken.
    """
    from raysurf.results.comparison import compare as compared
    from raysurf.results.comparison import counted
    from raysurf.results.query import open

    found = compared(open(results), name, sweeps)
    if found.left_out:
        number = sum(found.left_out.values())
        click.echo(f"{number} {'run' if number == 1 else 'runs'} left out: {counted(found.left_out)}", err=True)
    if style in ("csv", "json"):
        write(found.table, style)
    else:
        click.echo((markdown if style == "markdown" else text)(found))


@dataclass(frozen=True)
class Line:
    """A line of print: its labels, how many runs it is of, and ours and the published figure of each column."""

    labels: tuple[str, ...]
    num_seeds: int
    figures: tuple[tuple[str, str], ...]


def text(found: Comparison) -> str:
    """The table for a terminal: a column a figure, ours | published."""
    names, lines = _labels(found), lines_of(found)
    columns = []
    for number in range(len(found.layout.columns)):
        pairs = [line.figures[number] for line in lines]
        ours, theirs = (max(len(pair[side]) for pair in pairs) for side in (0, 1))
        columns.append([f"{pair[0].rjust(ours)} | {pair[1].ljust(theirs)}" for pair in pairs])
    cells = [
        [*line.labels, line.num_seeds or DASH, *(column[place] for column in columns)]
        for place, line in enumerate(lines)
    ]
    table = text_table([*names, "seeds", *(column.heading for column in found.layout.columns)], cells, longest=None)
    return "\n".join([f"{found.layout.title}; mean ± std over seeds, ours | published", "", table, "", *_notes(found)])


def markdown(found: Comparison) -> str:
    """The table in Markdown: two columns a figure, ours and the published one."""
    names, lines = _labels(found), lines_of(found)
    headings = [part for column in found.layout.columns for part in (column.heading, "published")]
    rows = [
        [*names, "seeds", *headings],
        ["---"] * len(names) + ["---:"] * (1 + len(headings)),
        *(
            [*line.labels, str(line.num_seeds or DASH), *(part for pair in line.figures for part in pair)]
            for line in lines
        ),
    ]
    table = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    title = f"{found.layout.title}; ours, mean ± std over seeds, beside the published figure"
    return "\n\n".join([title, "\n".join(table), *_notes(found)])


def lines_of(found: Comparison) -> list[Line]:
    """The lines of print, from rows of a figure each."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in found.table.to_pylist():
        rows.setdefault((row["model"], row["data"], row["method"], row["setting"]), {})[row["figure"]] = row
    networks = _networks({key[0] for key in rows})
    said = len(_labels(found))
    lines = []
    for (model, data, method, setting), figures in rows.items():
        most = max(row["num_seeds"] for row in figures.values())
        pairs = [_pair(figures.get(column.name), most) for column in found.layout.columns]
        labels = (networks[model], _data_label(data), method, setting)[:said]
        lines.append(Line(labels, most, tuple(pairs)))
    return lines


def _labels(found: Comparison) -> list[str]:
    """Headings of the labels; that of the setting only if some row has more than one."""
    names = ["network", "data", found.layout.method_heading]
    return [*names, "setting"] if any(found.table["setting"].to_pylist()) else names


def _networks(models: set[str]) -> dict[str, str]:
    """What networks are called: as published, with our name too where two of ours go by that name."""
    from raysurf.results.published import NETWORKS

    names = {model: NETWORKS.get(model, model) for model in models}
    counts = Counter(names.values())
    return {model: f"{name} ({model})" if counts[name] > 1 else name for model, name in names.items()}


def _data_label(data: str) -> str:
    from raysurf.results.published import DATA

    return DATA.get(data, data)


def _notes(found: Comparison) -> Sequence[str]:
    """What one must know to read the table."""
    from raysurf.results.published import DATA_NOTES

    has_published = any(value is not None for value in found.table["published"].to_pylist())
    notes = [f"published: {found.layout.published.source}"] if has_published else []
    return [*notes, *(note for data, note in DATA_NOTES.items() if data in found.table["data"].to_pylist())]


def _pair(row: dict[str, Any] | None, most: int) -> tuple[str, str]:
    """Ours and the published figure; ours says its number of runs where the line has more."""
    if row is None:
        return DASH, DASH
    ours = _number(row["mean"], row["unit"])
    if row["std"] is not None:
        ours += f" ± {_number(row['std'], row['unit'])}"
    if 0 < row["num_seeds"] < most:
        ours += f" (n = {row['num_seeds']})"
    return ours, _number(row["published"], row["unit"])


def _number(value: float | None, unit: str) -> str:
    """Fractions as percent, nats with two digits and an exponent, as in print: -5.9e2."""
    if value is None:
        return DASH
    if unit == "fraction":
        return f"{100 * value:.1f}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"

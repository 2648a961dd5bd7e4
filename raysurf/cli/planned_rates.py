"""Picture of the learning rates of a sweep file: ``raysurf plot schedule FILE``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raysurf.errors import Fault, SpecError, UnknownNameError
from raysurf.report.labels import differing
from raysurf.report.picture import Caption, check_suffix, write
from raysurf.report.pictures.schedule import RateLine, schedule_figure
from raysurf.sweep.document import load
from raysurf.sweep.rates import Chain, chains, rates_of

SAYS = """The learning rate of every step of the file's training jobs, inputs before what goes on from them, drawn by
raysurf before anything is trained; dots are where weights are taken, dotted lines where one job ends and the next
begins. Of a searched value its bounds are drawn."""


def draw_planned(file: str, path: str, sweeps: Sequence[str] = ()) -> None:
    """Draw the learning rates of a sweep file; no store is read or written.

    Args:
        file: The sweep file.
        path: The output file; .png, .svg or .html.
        sweeps: Names of the sweeps to draw; all if not given.

    Raises:
        SpecError: If the file has faults, trains nothing, or the suffix is of no known kind.
        UnknownNameError: If it has no such sweep.
        StoreError: If the output cannot be written.
    """
    check_suffix(path)
    loaded = load(file)
    names = [sweep.name for sweep in loaded]
    for name in sweeps:
        if name not in names:
            raise UnknownNameError("sweep", name, names)
    planned = chains([sweep for sweep in loaded if not sweeps or sweep.name in sweeps])
    if not planned:
        raise SpecError([Fault("job", "no training job", "a job that trains, or measures what was trained", file=file)])
    title = f"Learning rates: {Path(file).name}"
    figure = schedule_figure(_lines(planned), title=title, x_text="epochs, inputs included")
    write(figure, path, title, Caption(" ".join(SAYS.split())))


def _lines(planned_chains: Sequence[Chain]) -> list[RateLine]:
    lines = []
    counts = Counter(chain.name for chain in planned_chains)
    for number, chain in enumerate(planned_chains, start=1):
        label = ""
        if counts[chain.name] > 1:
            alike = [other.params for other in planned_chains if other.name == chain.name]
            label = differing(chain.params, alike) or f"{number}"
        planned = rates_of(chain)
        epochs, rates, members = (np.array(values) for values in (planned.epochs, planned.rates, planned.members))
        lines.append(RateLine(chain.name, label, epochs, rates, members, planned.seams))
    return lines

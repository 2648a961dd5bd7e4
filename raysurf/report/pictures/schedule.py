"""The picture of learning rates against epochs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from raysurf.report.labels import Detail, labels_of
from raysurf.report.pictures.axes import BLUE, GREY, OKABE_ITO, Array, new_figure, plain_text, tidy
from raysurf.report.pictures.kind import Picture, PictureKind, Rows
from raysurf.report.pictures.lines import SOLID
from raysurf.report.runs import MeasuredRun, Wanted

COLOURS = tuple(colour for colour in OKABE_ITO if colour != BLUE)
MAX_LINES = len(COLOURS) * len(SOLID)
ARROW = " → "
MEMBERS_TEXT = "weights are taken"


@dataclass(frozen=True)
class RateLine:
    """The learning rates of one training, at ascending epochs, both of shape (n,).

    Args:
        panel: Kind of training, jobs that go on from one another joined by ``ARROW``; lines of a kind share a panel.
        members: Epochs at which weights are taken for an average or an ensemble, shape (m,).
        seams: Epochs at which one job ends and the next begins.
    """

    panel: str
    label: str
    epochs: Array
    rates: Array
    members: Array
    seams: tuple[float, ...] = ()

    def at_members(self) -> Array:
        """The rate of the last step before each member is taken, shape (m,)."""
        before = np.searchsorted(self.epochs, self.members - 1e-9) - 1
        return np.take(self.rates, np.maximum(before, 0))


def read_rates(rows: Rows, run_id: str) -> tuple[Array, Array]:
    """Epochs of one run, and the rate of each one's last step, from rows of ``epochs`` in any order."""
    rates = {row["epoch"]: row["lr"] for row in rows if row["run_id"] == run_id}
    return np.array(sorted(rates), dtype=float), np.array([rates[epoch] for epoch in sorted(rates)], dtype=float)


@plain_text()
def schedule_figure(lines: Sequence[RateLine], *, title: str, x_text: str) -> Figure:
    """Draw learning rates, from zero up, a panel a kind of training.

    Args:
        lines: At least one; those beyond ``MAX_LINES`` are left out, and the picture says so.
        title: Above the picture.
        x_text: What the epochs are counted from.
    """
    shown = lines[:MAX_LINES]
    kinds = list(dict.fromkeys(line.panel for line in shown))
    columns = min(len(kinds), 4 if len(kinds) > 6 or len(kinds) == 4 else 3)
    rows = -(-len(kinds) // columns)
    figure = new_figure(max(6.0, 3.1 * columns), 0.9 + 2.1 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    handles: list[Line2D] = []
    for panel, kind in zip(grid, kinds, strict=False):
        of_kind = [line for line in shown if line.panel == kind]
        if len(of_kind) == 1:
            _draw(panel, of_kind[0], BLUE, "-")
        else:
            for line in of_kind:
                number, style = len(handles) % len(COLOURS), SOLID[len(handles) // len(COLOURS)]
                handles.append(_draw(panel, line, COLOURS[number], style))
        panel.set_title(kind.replace(ARROW, f"\n{ARROW.lstrip()}"), fontsize=9)
        panel.set_ylim(bottom=0.0)
        panel.margins(x=0.03)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        tidy(panel)
        panel.tick_params(labelsize=8)
    for panel in grid[len(kinds) :]:
        panel.set_axis_off()
    figure.suptitle(title + (f" (the first {len(shown)} of {len(lines)})" if len(shown) < len(lines) else ""))
    for panel in grid[max(0, len(kinds) - columns) : len(kinds)]:
        panel.set_xlabel(x_text, fontsize=9)
    for panel in grid[::columns]:
        panel.set_ylabel("learning rate", fontsize=9)
    if any(len(line.members) for line in shown):
        handles.append(Line2D([], [], linestyle="none", marker="o", color=GREY, markersize=4, label=MEMBERS_TEXT))
    if handles:
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(3, int(14 * figure.get_figwidth()) // (longest + 8)))
        figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(handles) // columns))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    return figure


def _draw(panel: Axes, line: RateLine, colour: str, style: Any) -> Line2D:
    for seam in line.seams:
        panel.axvline(seam, color=GREY, linestyle=":", linewidth=0.9)
    name = ": ".join(filter(None, (line.panel.split(ARROW)[-1], line.label)))
    is_an_epoch_a_point = len(line.epochs) < 2 or np.diff(line.epochs).min() >= 1
    marker = "." if is_an_epoch_a_point else ""
    (drawn,) = panel.plot(line.epochs, line.rates, linestyle=style, marker=marker, color=colour, label=name)
    if len(line.members):
        panel.plot(line.members, line.at_members(), "o", color=colour, markersize=4, clip_on=False, zorder=5)
    return drawn


def _schedule(picture: Picture) -> Figure:
    """Runs of one kind of job whose rates are the same, such as seeds, are one line."""
    alike: dict[tuple[str, bytes, bytes], list[MeasuredRun]] = defaultdict(list)
    read = {run.run_id: read_rates(picture.rows, run.run_id) for run in picture.runs}
    for run in picture.runs:
        epochs, rates = read[run.run_id]
        alike[run.kind, epochs.tobytes(), rates.tobytes()].append(run)
    # Lines differ in their rates, never by seeds alone.
    details: list[Detail] = [
        lambda run, same: f"{len(read[run.run_id][0])} epochs",
        lambda run, same: f"rates up to {read[run.run_id][1].max():.3g}",
    ]
    labels = labels_of([runs[0] for runs in alike.values()], details)
    lines = []
    for runs in alike.values():
        kind = runs[0].kind
        parts = [part.removeprefix(kind).strip() for part in labels[runs[0].run_id].split(", ")]
        count = f"{len(runs)} runs" if len(runs) > 1 else ""
        label = ", ".join(filter(None, [*parts, count]))
        lines.append(RateLine(kind, label, *read[runs[0].run_id], np.empty(0)))
    return schedule_figure(lines, title=picture.title, x_text="epochs of the run")


SCHEDULE = PictureKind(
    title="Learning rates",
    says="The learning rate of each epoch's last step, a panel a kind of job; runs with the same rates are one line.",
    wanted=Wanted("epochs", rows="epochs of training", jobs="training"),
    figure=_schedule,
    where="true",
    order=("epoch", "weights"),
    # Rates are known before training: they are drawn when asked for, not at the end of every sweep.
    in_sweep="false",
)

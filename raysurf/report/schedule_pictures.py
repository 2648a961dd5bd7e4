"""The kind of picture that is drawn from the learning rates in rows of ``epochs``."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from matplotlib.figure import Figure

from raysurf.report.measured_runs import MeasuredRun, Wanted
from raysurf.report.picture_kind import Picture, PictureKind
from raysurf.report.run_labels import Detail, labels_of
from raysurf.report.schedule_plot import RateLine, read_rates, schedule_figure


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
    wanted=Wanted("epochs", rows="epochs of training"),
    figure=_schedule,
    where="true",
    order=("epoch", "weights"),
    # Rates are known before training: they are drawn when asked for, not at the end of every sweep.
    in_sweep="false",
)

"""The picture of activations: a neuron's values for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raysurf.report.pictures.axes import GREY, OKABE_ITO, Array, new_figure, plain_text
from raysurf.report.pictures.kind import Picture, PictureKind, Rows
from raysurf.report.runs import Wanted

HEIGHT = 0.9
FAINT = 0.003
MAX_COLUMNS = 4


@dataclass(frozen=True)
class Ridge:
    """Histogram of one class's activations, with their mean and standard deviation over examples and draws.

    Args:
        edges: Ends of the bins, ascending, shape (bins + 1,); a gap between bins is a bin without draws.
        density: Share of the class's draws in each bin over the bin's width, shape (bins,).
    """

    label: int
    edges: Array
    density: Array
    mean: float
    std: float

    def extent(self, share: float) -> tuple[float, float]:
        """The ends of the bins whose density is at least a share of the highest."""
        high = np.flatnonzero(self.density >= share * self.density.max())
        return float(self.edges[high[0]]), float(self.edges[high[-1] + 1])


Neurons = dict[tuple[str, int], list[Ridge]]


def read_neurons(rows: Rows, run_id: str) -> Neurons:
    """The histograms of one run, by layer and neuron, each with its classes in order, from rows in any order."""
    bins: dict[tuple[str, int], dict[int, list[Mapping[str, Any]]]] = {}
    for row in sorted((row for row in rows if row["run_id"] == run_id), key=lambda row: float(row["low"])):
        bins.setdefault((row["layer"], row["neuron"]), {}).setdefault(row["label"], []).append(row)
    return {
        neuron: [_ridge(label, own) for label, own in sorted(by_label.items())]
        for neuron, by_label in sorted(bins.items())
    }


def _ridge(label: int, bins: list[Mapping[str, Any]]) -> Ridge:
    edges, density = [float(bins[0]["low"])], []
    for row in bins:
        low, high = float(row["low"]), float(row["high"])
        if low > edges[-1] + 1e-9 * (high - low):
            density.append(0.0)
            edges.append(low)
        density.append(row["share"] / (high - low) if high > low else 0.0)
        edges.append(high)
    return Ridge(label, np.array(edges), np.array(density), bins[0]["mean"], bins[0]["std"])


@plain_text()
def activation_figure(picture: Picture) -> Figure:
    """Draw the distributions of neurons' activations over examples and noise, by class, as ridges.

    Several runs are columns and their neurons rows; the neurons of one run stand side by side. Each ridge is scaled
    to its own peak, so that widths can be compared; a tick on it is the class's mean.

    Source:
        Variance layers, of whose outputs all means are zero, are those of Neklyudov et al. 2018 (arXiv:1803.03764).
    """
    runs = [(picture.labels[run.run_id], read_neurons(picture.rows, run.run_id)) for run in picture.runs]
    neurons = sorted({neuron for _, ridges in runs for neuron in ridges})
    columns = len(runs) if len(runs) > 1 else min(len(neurons), MAX_COLUMNS)
    rows = -(-len(neurons) * len(runs) // columns)
    num_classes = max((len(by_class) for _, ridges in runs for by_class in ridges.values()), default=1)
    title = picture.title if len(runs) > 1 or not runs else f"{picture.title}, {runs[0][0]}"
    figure = new_figure(max(0.6 + 4.4 * columns, 5.5), 0.8 + rows * (0.9 + 0.34 * max(num_classes, 5)), title)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[len(neurons) * len(runs) :]:
        panel.set_axis_off()
    shown = [(neuron, i, ridges) for neuron in neurons for i, (_, ridges) in enumerate(runs)]
    for panel, (neuron, i, ridges) in zip(panels.flat, shown, strict=False):
        _draw(panel, ridges.get(neuron, []), OKABE_ITO[i % len(OKABE_ITO)])
        panel.set_xlabel(f"activation of neuron {neuron[1]} of {neuron[0]}")
    for panel in panels[:, 0]:
        panel.set_ylabel(f"{picture.data} class\n(density over its peak)".strip())
    if len(runs) > 1:
        for panel, (label, _) in zip(panels[0], runs, strict=True):
            panel.set_title(label, fontsize=11, pad=12)
    return figure


def _draw(panel: Axes, ridges: Sequence[Ridge], colour: str) -> None:
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.grid(axis="x", alpha=0.25)
    panel.tick_params(axis="y", length=0)
    panel.spines["bottom"].set_visible(bool(ridges))
    panel.set_yticks([-place for place in range(len(ridges))], [str(ridge.label) for ridge in ridges])
    if not ridges:
        panel.text(0.5, 0.5, "no rows", transform=panel.transAxes, ha="center", color=GREY)
        panel.set_xticks([])
        return
    beside: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
    beside["xycoords"] = panel.get_yaxis_transform()
    for place, ridge in enumerate(ridges):
        scaled = ridge.density * HEIGHT / max(float(ridge.density.max()), 1e-300) - place
        panel.stairs(scaled, ridge.edges, baseline=-place, fill=True, color=colour, alpha=0.3)
        panel.stairs(scaled, ridge.edges, baseline=None, color=colour, linewidth=1.1)
        panel.plot([ridge.mean] * 2, [-place, -place + HEIGHT / 2], color="black", linewidth=1.6, zorder=4)
        mean, std = moments_text(ridge)
        for text, points, side in ((mean, 44, "right"), (f"± {std}", 47, "left")):
            panel.annotate(text, (1.0, -place + 0.05), xytext=(points, 0), ha=side, fontsize=8, **beside)
    panel.annotate("mean ± std", (1.0, 0.95), xytext=(18, 0), color=GREY, fontsize=8, **beside)
    ends = [ridge.extent(FAINT) for ridge in ridges]
    panel.set_xlim(min(low for low, _ in ends), max(high for _, high in ends))
    panel.set_ylim(-len(ridges) + 0.85, HEIGHT + 0.1)


def moments_text(ridge: Ridge) -> tuple[str, str]:
    """Mean and standard deviation, both to the place of the second digit of the latter."""
    digits = 1 - math.floor(math.log10(float(f"{ridge.std:.1e}"))) if ridge.std > 0 else 3
    mean, std = (f"{round(value, digits) + 0.0:.{max(digits, 0)}f}" for value in (ridge.mean, ridge.std))
    return mean.replace("-", "\N{MINUS SIGN}"), std


ACTIVATIONS = PictureKind(
    title="Activations by class",
    says="What neurons give over examples and draws of the noise, a ridge a class, each scaled to its own peak; the "
    "tick is the class's mean. Where the means coincide, only the deviations tell the classes apart.",
    wanted=Wanted("activations", job="noise", rows="activations"),
    figure=activation_figure,
    where="true",
    order=("layer", "neuron", "label", "low"),
)

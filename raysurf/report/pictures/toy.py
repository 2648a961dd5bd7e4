"""The picture of a network on two-dimensional inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure

from raysurf.report.pictures.axes import OKABE_ITO, Array, new_figure, plain_text, set_log
from raysurf.report.pictures.kind import Picture, PictureKind, Rows
from raysurf.report.runs import Wanted

Whole = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Examples:
    """Examples of test, or of train where test has none, and what the network gives for them.

    Args:
        origin: test or train.
        at: The inputs, shape (n, 2).
        label, answer, deterministic: Their classes, the ensemble's answers, those of the mean weights, shape (n,).
        layer: The noisy layer.
        num_outputs: How many outputs it has; the first two are kept.
        mean, std: Of these outputs over the noise, shape (n, 2); 0 for a second output that is not there.
    """

    origin: str
    at: Array
    label: Whole
    answer: Whole
    deterministic: Whole
    layer: str
    num_outputs: int
    mean: Array
    std: Array

    def accuracy(self, answer: Whole) -> float:
        """Share of answers that are right; NaN without examples."""
        return float((answer == self.label).mean()) if len(self.label) else float("nan")


@dataclass(frozen=True)
class Regions:
    """Answers over a regular grid of inputs x (w,) and y (h,), each of shape (h, w); -1 and NaN without a row."""

    x: Array
    y: Array
    answer: Whole
    confidence: Array
    deterministic: Whole

    @property
    def extent(self) -> tuple[float, float, float, float] | None:
        """Left, right, bottom and top of the cells, whose middles are the nodes; None if these are no grid."""
        if min(len(self.x), len(self.y)) < 2:
            return None
        across, up = ((axis[-1] - axis[0]) / (len(axis) - 1) / 2 for axis in (self.x, self.y))
        left, right = float(self.x[0] - across), float(self.x[-1] + across)
        return left, right, float(self.y[0] - up), float(self.y[-1] + up)


@dataclass(frozen=True)
class InputPlane:
    """What a picture of one run shows, and what the run is called."""

    label: str
    examples: Examples
    regions: Regions

    @property
    def classes(self) -> list[int]:
        """Every class that is a label or an answer."""
        given = [self.examples.label, self.regions.answer.ravel(), self.regions.deterministic.ravel()]
        return [int(label) for label in np.unique(np.concatenate(given)) if label >= 0]


def read_inputs(rows: Rows, run_id: str, label: str) -> InputPlane:
    """The examples and the grid of one run, from rows of ``inputs`` of any runs, in any order."""
    by_origin: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted((row for row in rows if row["run_id"] == run_id), key=lambda row: int(row["point"])):
        by_origin.setdefault(row["origin"], []).append(row)
    origin = "test" if "test" in by_origin else "train"
    return InputPlane(label, _examples(origin, by_origin.get(origin, [])), _regions(by_origin.get("grid", [])))


def _examples(origin: str, rows: list[Mapping[str, Any]]) -> Examples:
    label, answer, deterministic = (
        np.array([row[name] for row in rows], dtype=np.int64) for name in ("label", "answer", "deterministic_answer")
    )
    mean, std = (
        np.array([(*row[name], 0.0)[:2] for row in rows], dtype=float).reshape(-1, 2)
        for name in ("output_mean", "output_std")
    )
    at = np.array([(row["x"], row["y"]) for row in rows], dtype=float).reshape(-1, 2)
    layer, num_outputs = (rows[0]["layer"], len(rows[0]["output_mean"])) if rows else ("", 2)
    return Examples(origin, at, label, answer, deterministic, layer, num_outputs, mean, std)


def _regions(rows: list[Mapping[str, Any]]) -> Regions:
    (x, column), (y, line) = (
        np.unique(np.array([row[name] for row in rows], dtype=float), return_inverse=True) for name in "xy"
    )
    answer, deterministic = (np.full((len(y), len(x)), -1, dtype=np.int64) for _ in range(2))
    confidence = np.full((len(y), len(x)), np.nan)
    answer[line, column] = [row["answer"] for row in rows]
    confidence[line, column] = [row["confidence"] for row in rows]
    deterministic[line, column] = [row["deterministic_answer"] for row in rows]
    return Regions(x, y, answer, confidence, deterministic)


MARKERS = "os^DvPX*"
STRENGTHS = 0.1, 0.75
FLAT = 0.45


def colour_of(number: int) -> str:
    """The colour of a class, by its place among the classes."""
    return OKABE_ITO[number % len(OKABE_ITO)]


def marker_of(number: int) -> str:
    """Its marker; where colours come again, markers differ."""
    return MARKERS[number % len(MARKERS)]


def strength_of(confidence: Array, num_classes: int) -> Array:
    """How strong a colour is: from faint at a guess, a confidence of 1 / num_classes, to strong at 1."""
    guess = 1.0 / max(num_classes, 2)
    sure = np.clip((confidence - guess) / (1.0 - guess), 0.0, 1.0)
    return np.interp(sure, (0.0, 1.0), STRENGTHS)


def shaded(answer: Whole, strength: Array, classes: Sequence[int]) -> Array:
    """An image of shape (h, w, 4): the colour of each answer, mixed with white; -1 is nothing, and transparent.

    ``answer`` and ``strength``, the share of the colour in [0, 1], have shape (h, w); ``classes`` are in order.
    """
    image = np.zeros((*answer.shape, 4))
    for number, label in enumerate(classes):
        at = answer == label
        mix = strength[at][:, None]
        image[at, :3] = mix * np.array(to_rgb(colour_of(number))) + (1.0 - mix)
        image[at, 3] = 1.0
    return image


INPUT_TEXTS = ("first input", "second input")
FAR = 10.0


@plain_text()
def input_figure(picture: Picture) -> Figure:
    """Draw, a block of panels a run: (a) the examples, (b) means and (c) standard deviations of the noisy layer's
    first two outputs, (d) the ensemble's decision regions and (e) those of the mean weights.

    A class has one colour and one marker everywhere. The axes of the means are as wide as the outputs are noisy, so
    that means which coincide beside their noise are seen to coincide.

    Source:
        The toy problem is that of Neklyudov et al. 2018 (arXiv:1803.03764); colours of Okabe & Ito 2008.
    """
    planes = [read_inputs(picture.rows, run.run_id, picture.labels[run.run_id]) for run in picture.runs]
    title = picture.title if len(planes) != 1 else f"{picture.title}, {planes[0].label}"
    figure = new_figure(10.0, 0.4 + 6.7 * len(planes), title)
    classes = sorted({number for plane in planes for number in plane.classes})
    for block, plane in zip(figure.subfigures(len(planes), 1, squeeze=False)[:, 0], planes, strict=True):
        if len(planes) > 1:
            block.suptitle(plane.label, fontsize=11, fontweight="bold")
        _block(block, plane, classes, picture.data)
    return figure


def _block(block: SubFigure, plane: InputPlane, classes: Sequence[int], data: str) -> None:
    (data_set, means, stds), (ensemble, mean_weights, key) = block.subplots(2, 3)
    examples, regions = plane.examples, plane.regions
    _scatter(data_set, examples.at, examples.label, classes)
    _dress(data_set, " ".join(filter(None, ("(a)", data, examples.origin, "examples"))), INPUT_TEXTS)
    _outputs(means, stds, examples, classes)
    sure = strength_of(regions.confidence, len(classes))
    panels = (
        (ensemble, "(d) ensemble", regions.answer, sure, examples.answer),
        (mean_weights, "(e) mean weights", regions.deterministic, np.full(sure.shape, FLAT), examples.deterministic),
    )
    for panel, text, answer, strength, answered in panels:
        if regions.extent is not None:
            panel.imshow(shaded(answer, strength, classes), origin="lower", extent=regions.extent, aspect="auto")
        _scatter(panel, examples.at, examples.label, classes)
        right = examples.accuracy(answered)
        _dress(panel, text if np.isnan(right) else f"{text}, {examples.origin} accuracy {right:.3g}", INPUT_TEXTS)
    if regions.extent is not None:
        for panel in (data_set, ensemble, mean_weights):
            panel.set(xlim=regions.extent[:2], ylim=regions.extent[2:])
    _key(key, classes)


def _dress(panel: Axes, title: str, names: Sequence[str]) -> None:
    panel.set(xlabel=names[0], ylabel=names[1])
    panel.set_title(title, fontsize=10)
    panel.set_box_aspect(1)


def _outputs(means: Axes, stds: Axes, examples: Examples, classes: Sequence[int]) -> None:
    """Means stand amid a range of one deviation of the noisiest example at least.

    Deviations begin at zero, or have logarithmic axes if the largest are far from most.
    """
    titles = "(b) means over noise", "(c) deviations over noise"
    for panel, values, title, word in zip(
        (means, stds), (examples.mean, examples.std), titles, ("mean", "std"), strict=True
    ):
        _scatter(panel, values, examples.label, classes)
        names = [f"{word} of output {i}" if i < examples.num_outputs else "(one output only)" for i in range(2)]
        _dress(panel, ", ".join(filter(None, (title, examples.layer))), names)
        panel.axhline(0.0, color="black", linewidth=0.6, alpha=0.4, zorder=1)
        panel.axvline(0.0, color="black", linewidth=0.6, alpha=0.4, zorder=1)
    if len(examples.label):
        widest = np.maximum(examples.std.max(axis=0), 1e-9)
        low, high = examples.mean.min(axis=0), examples.mean.max(axis=0)
        half = 1.08 * np.maximum((high - low) / 2, widest)
        ends = (low + high) / 2 + np.array([-1.0, 1.0])[:, None] * half
        means.set(xlim=ends[:, 0], ylim=ends[:, 1])
        if examples.std.min() > 0 and (widest > FAR * np.median(examples.std, axis=0)).any():
            for name, least, most in zip("xy", np.quantile(examples.std, 0.002, axis=0), widest, strict=True):
                set_log(stds, np.array([least / 2, 2 * most]), name)
                stds.set(**{f"{name}lim": (least / 2, 2 * most)})
            return
        stds.set(xlim=(-0.04 * widest[0], 1.08 * widest[0]), ylim=(-0.04 * widest[1], 1.08 * widest[1]))


def _scatter(panel: Axes, at: Array, label: Whole, classes: Sequence[int]) -> None:
    """A collection a class; smaller marks where there are many."""
    size = float(np.clip(6000.0 / max(len(label), 1), 7.0, 30.0))
    for i, number in enumerate(classes):
        style: dict[str, Any] = {"marker": marker_of(i), "color": colour_of(i), "label": f"class {number}"}
        x, y = at[label == number].T
        panel.scatter(x, y, s=size, edgecolors="white", linewidths=0.4, zorder=3, **style)


def _key(panel: Axes, classes: Sequence[int]) -> None:
    """What colours, markers and lightness mean: a bar a class, from a guess to certainty."""
    num = max(len(classes), 2)
    confidence = np.tile(np.linspace(1.0 / num, 1.0, 64), (len(classes), 1))
    answer = np.tile(np.array(classes, dtype=np.int64)[:, None], (1, 64))
    image = shaded(answer, strength_of(confidence, num), classes)
    bars = panel.inset_axes((0.28, 0.3, 0.62, 0.45))
    panel.axis("off")
    panel.set_box_aspect(1)
    if classes:
        bars.imshow(image, aspect="auto", extent=(1.0 / num, 1.0, len(classes) - 0.5, -0.5))
    bars.set_yticks(range(len(classes)), [f"class {label}" for label in classes])
    bars.tick_params(axis="y", length=0, pad=16)
    beside: dict[str, Any] = {"markersize": 6, "transform": bars.get_yaxis_transform(), "clip_on": False}
    for number in range(len(classes)):
        bars.plot(-0.06, number, marker_of(number), color=colour_of(number), **beside)
    bars.set_xticks([1.0 / num, 1.0], [f"{1.0 / num:.2g}", "1"])
    bars.set_xlabel("confidence in (d)")
    bars.spines[:].set_visible(False)


TOY = PictureKind(
    title="Two-dimensional inputs",
    says="Test examples by class (a), means (b) and standard deviations (c) over the noise of a layer's first two "
    "outputs, and the answers over the input plane of the ensemble (d; the stronger the colour, the surer) and of the "
    "mean weights (e).",
    wanted=Wanted("inputs", job="regions", rows="inputs"),
    figure=input_figure,
    where="true",
    order=("origin", "point"),
    is_map=True,
)

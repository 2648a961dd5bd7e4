"""The kinds of picture of noisy networks: prediction schemes, activations by class, and two-dimensional inputs."""

from __future__ import annotations

from matplotlib.figure import Figure

from raysurf.report.labels import labels_of
from raysurf.report.pictures.activations import activation_figure, read_neurons
from raysurf.report.pictures.kind import Picture, PictureKind
from raysurf.report.pictures.schemes import read_schemes, scheme_figure
from raysurf.report.pictures.toy import input_figure, read_inputs
from raysurf.report.runs import MeasuredRun, Wanted

LEAST_COUNTS = 3
OF_ENSEMBLES = "scheme = 'ensemble' and split = 'test'"


def _schemes(picture: Picture) -> Figure:
    groups: dict[str, list[MeasuredRun]] = {}
    for run in picture.runs:
        groups.setdefault(run.group or run.run_id, []).append(run)
    labels = labels_of([replicates[0] for replicates in groups.values()])
    settings = [
        read_schemes(picture.rows, [run.run_id for run in replicates], labels[replicates[0].run_id])
        for replicates in groups.values()
    ]
    return scheme_figure(settings, title=picture.title, data=picture.data)


def _activations(picture: Picture) -> Figure:
    runs = [(picture.labels[run.run_id], read_neurons(picture.rows, run.run_id)) for run in picture.runs]
    return activation_figure(runs, title=picture.title, data=picture.data)


def _toy(picture: Picture) -> Figure:
    planes = [read_inputs(picture.rows, run.run_id, picture.labels[run.run_id]) for run in picture.runs]
    return input_figure(planes, title=picture.title, data=picture.data)


SCHEMES = PictureKind(
    title="Prediction schemes",
    says="Test error (left) and test NLL (right) against the number of samples K that are averaged; the dashed line "
    "across is the network with its mean weights, the diamond one sample of its weights. Lines of several seeds are "
    "their mean, bands their range.",
    wanted=Wanted("predictions", OF_ENSEMBLES, rows="predictions of an ensemble", jobs="variational, fge or predict"),
    figure=_schemes,
    where="split = 'test'",
    order=("weights", "scheme", "num_samples"),
    in_sweep=f"""run_id in (select run_id from predictions where {OF_ENSEMBLES}
        group by run_id having count(distinct num_samples) >= {LEAST_COUNTS})""",
)
ACTIVATIONS = PictureKind(
    title="Activations by class",
    says="What neurons give over examples and draws of the noise, a ridge a class, each scaled to its own peak; the "
    "tick is the class's mean. Where the means coincide, only the deviations tell the classes apart.",
    wanted=Wanted("activations", job="noise", rows="activations"),
    figure=_activations,
    where="true",
    order=("layer", "neuron", "label", "low"),
)
TOY = PictureKind(
    title="Two-dimensional inputs",
    says="Test examples by class (a), means (b) and standard deviations (c) over the noise of a layer's first two "
    "outputs, and the answers over the input plane of the ensemble (d; the stronger the colour, the surer) and of the "
    "mean weights (e).",
    wanted=Wanted("inputs", job="regions", rows="inputs"),
    figure=_toy,
    where="true",
    order=("origin", "point"),
)

"""Prediction schemes, in one place for every kind of weights: one answer, a random one, or the mean of many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.data.dataset import Dataset, Split
from raysurf.stochastic.layers import noisy_layers
from raysurf.stochastic.sampling import dropouts, samples
from raysurf.stochastic.spec import CONTROLS, Scheme
from raysurf.training import evaluation
from raysurf.training.evaluation import logits_of
from raysurf.training.workers import Workers

BySamples = dict[int, evaluation.Metrics]


def possible_schemes(model: nn.Module, drops: bool = False) -> tuple[Scheme, ...]:
    """The schemes that a network's weights allow: without noise there is but the deterministic one.

    Args:
        model: The network.
        drops: Whether it is known to have dropout, such as calls of the function, which no module shows.
    """
    layers = noisy_layers(model).values()
    modes = {mode for layer in layers for mode in layer.MODES if all(mode in other.MODES for other in layers)}
    if not layers and not drops and not dropouts(model):
        return ("deterministic",)
    return ("deterministic", "stochastic", "ensemble", *(control for control in CONTROLS if control in modes))


def sample_counts(num_samples: int) -> tuple[int, ...]:
    """The sizes at which an ensemble of K is measured on its way: 1, 2, 5, 10, 20, 50 … and K."""
    steps = [factor * 10**power for power in range(len(str(num_samples))) for factor in (1, 2, 5)]
    return (*(count for count in steps if count < num_samples), num_samples)


class Ensemble:
    """The mean of members' probabilities, as it grows: the log of their sum in float64, which cannot underflow."""

    def __init__(self) -> None:
        self.count = 0
        self._log_sum: Tensor | None = None

    def add(self, log_probabilities: Tensor) -> None:
        """Take a member's answers to the same examples, [B, classes]."""
        own = log_probabilities.double()
        self._log_sum = own if self._log_sum is None else torch.logaddexp(self._log_sum, own)
        self.count += 1

    @property
    def log_probabilities(self) -> Tensor:
        """The log of the members' mean so far, [B, classes] float64."""
        assert self._log_sum is not None
        return self._log_sum - math.log(self.count)

    def sums(self, labels: Tensor) -> Tensor:
        """What ``evaluation.sums`` gives for the mean of the members so far."""
        return evaluation.sums(self.log_probabilities, labels)


@torch.no_grad()
def measure(
    model: nn.Module,
    data: Dataset,
    split: Split,
    workers: Workers,
    scheme: Scheme,
    num_samples: int,
    seed: int,
    precision: str = "fp32",
    batch_size: int | None = None,
) -> BySamples:
    """Measure the predictions of a network on a split by one scheme; every worker of the group must call it.

    Batch norm uses the network's statistics under every scheme.

    Args:
        model: The network.
        data, split: What it is measured on.
        workers: The group; each takes its share of the examples.
        scheme: ``deterministic`` (means of the weights), ``stochastic`` (one sample), ``ensemble`` (mean probabilities
            of K samples); controls: ``zero_mean`` and ``permuted`` are ensembles with that noise.
        num_samples: K; schemes of one answer do not look at it.
        seed: Decides every sample; neither batches nor workers do.
        precision: fp32 or bf16.
        batch_size: Examples a batch, if not the usual number.

    Returns:
        Metrics by number of samples: for an ensemble those of 1, 2, 5, 10 … and K, from one pass over K samples.
    """
    if scheme == "deterministic":
        return {1: evaluation.evaluate(model, data, split, workers, precision)}
    counts = (1,) if scheme == "stochastic" else sample_counts(num_samples)
    noise = "sample" if scheme in ("stochastic", "ensemble") else scheme
    sums = torch.zeros(len(counts), evaluation.SIZE, dtype=torch.float64, device=split.labels.device)
    for labels, answers in _sampled(model, data, split, workers, noise, counts[-1], seed, precision, batch_size):
        ensemble = Ensemble()
        for log_probabilities in answers:
            ensemble.add(log_probabilities)
            if ensemble.count in counts:
                sums[counts.index(ensemble.count)] += ensemble.sums(labels)
    workers.sum(sums)
    return {count: evaluation.metrics_of(total) for count, total in zip(counts, sums, strict=True)}


@torch.no_grad()
def expected_nll(
    model: nn.Module,
    data: Dataset,
    split: Split,
    workers: Workers,
    num_samples: int,
    seed: int,
    precision: str = "fp32",
) -> float:
    """Mean negative log-likelihood over examples and samples, in nats: the data term of the evidence lower bound.

    Args:
        model: The network; without noise its one answer is taken.
        data, split: What it is measured on.
        workers: The group; each takes its share of the examples.
        num_samples: Draws of the noise for every example.
        seed: Of the draws.
        precision: fp32 or bf16.
    """
    total = torch.zeros(2, dtype=torch.float64, device=split.labels.device)
    for labels, answers in _sampled(model, data, split, workers, "sample", num_samples, seed, precision, None):
        for log_probabilities in answers:
            total[0] += F.nll_loss(log_probabilities, labels, reduction="sum").double()
            total[1] += len(labels)
    workers.sum(total)
    return float(total[0] / total[1])


def measure_members(members: Iterator[Sequence[evaluation.Answers]], workers: Workers) -> list[BySamples]:
    """Measure ensembles of weights, such as those of FGE, SWAG or points of a curve.

    Args:
        members: Each member's answers on every split, to this worker's examples.
        workers: The group.

    Returns:
        For every split the metrics of the first one, two, … members.
    """
    ensembles: list[Ensemble] = []
    by_split: list[BySamples] = []
    for answers in members:
        ensembles = ensembles or [Ensemble() for _ in answers]
        by_split = by_split or [{} for _ in answers]
        for ensemble, own, metrics in zip(ensembles, answers, by_split, strict=True):
            ensemble.add(own.log_probabilities)
            metrics[ensemble.count] = evaluation.metrics_of(workers.sum(ensemble.sums(own.labels)))
    return by_split


def _sampled(
    model: nn.Module,
    data: Dataset,
    split: Split,
    workers: Workers,
    noise: str,
    num_samples: int,
    seed: int,
    precision: str,
    batch_size: int | None,
) -> Iterator[tuple[Tensor, Iterator[Tensor]]]:
    """Batches of this worker's share of a split: labels, and the log-probabilities of one sample after another.

    An example that cannot be read shifts the noise of those after it in its batch.
    """
    model.eval()
    device = split.labels.device
    parts = list(_aligned(workers.share(len(split)), batch_size or evaluation.BATCH.get(device.type, 512)))

    def answers(images: Tensor, first: int) -> Iterator[Tensor]:
        with evaluation.autocast(precision, device):
            for _, output in samples(model, data.normalise(images), first, num_samples, noise, seed):
                yield F.log_softmax(logits_of(output).float(), dim=1)

    for part, (images, labels) in zip(parts, split.batches(parts), strict=True):
        if len(labels):
            yield labels, answers(images, part.start)


def _aligned(part: slice, size: int) -> Iterator[slice]:
    """Cut a part of a split into batches that begin at multiples of ``size``, where draws come in whole blocks."""
    at = part.start
    while at < part.stop:
        end = min((at // size + 1) * size, part.stop)
        yield slice(at, end)
        at = end

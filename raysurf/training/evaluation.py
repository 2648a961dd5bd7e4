"""Measuring a model on a split, and re-estimating its batch-norm statistics; shared by all workers of a group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.data.dataset import Dataset, Split
from raysurf.stochastic.draws import FRESH, RepeatableDraws
from raysurf.stochastic.layers import noise_mode, noisy_layers
from raysurf.training import metrics
from raysurf.training.batchnorm import BatchStatistics, tracking_layers
from raysurf.training.logits import logits_of
from raysurf.training.workers import Workers

# Larger batches are slower on a CPU, whose caches they leave, and faster on a GPU.
BATCH = {"cpu": 128, "cuda": 1024}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The autocast context of a precision: ``fp32`` leaves all as it is, ``bf16`` runs the matrix work in bfloat16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


class Answers(NamedTuple):
    """What a model says of examples: log-probabilities [b, classes] float32, and the right classes [b] int64."""

    log_probabilities: Tensor
    labels: Tensor


def batches(part: slice, size: int) -> Iterator[slice]:
    """Cut a part of a split into runs of ``size``; the last may be shorter."""
    for first in range(part.start, part.stop, size):
        yield slice(first, min(first + size, part.stop))


@torch.no_grad()
def answers_to(model: nn.Module, data: Dataset, split: Split, precision: str, part: slice) -> Answers:
    """The model's log-softmax over a part of a split, in evaluation mode; weights that are random are their means.

    Returns:
        Those of all examples of the part that can be read.
    """
    model.eval()
    device = split.labels.device
    found = [Answers(torch.zeros(0, data.num_classes, device=device), split.labels[:0])]
    with noise_mode(model, "mean"):
        for images, labels in split.batches(batches(part, BATCH.get(device.type, 512))):
            if not len(labels):
                continue
            with autocast(precision, device):
                logits = logits_of(model(data.normalise(images)))
            found.append(Answers(F.log_softmax(logits.float(), dim=1), labels))
    return Answers(*(torch.cat(each) for each in zip(*found, strict=True)))


def evaluate(
    model: nn.Module, data: Dataset, split: Split, workers: Workers, precision: str = "fp32"
) -> metrics.Figures:
    """Measure a model on a split, un-augmented and in evaluation mode.

    Every worker of the group must call it; each takes its share of the examples.
    """
    answers = answers_to(model, data, split, precision, workers.share(len(split)))
    return metrics.figures(workers.sum(metrics.sums(*answers)))


def has_batchnorm(model: nn.Module) -> bool:
    """Whether any module keeps running batch statistics."""
    return bool(tracking_layers(model))


@torch.no_grad()
def reestimate_batchnorm(
    model: nn.Module,
    data: Dataset,
    workers: Workers,
    batch_size: int,
    precision: str = "fp32",
    share: float = 1.0,
) -> None:
    """Replace batch-norm statistics by those of one pass over the un-augmented training split.

    ``BatchStatistics`` has the formula. Dropout is off. Noisy layers draw their noise anew in every batch, the same
    each time.

    Args:
        model: Changed in place; nothing happens to a model without batch norm.
        batch_size: Examples a batch; batches are of mixed classes, in one fixed order.
        share: Share of the training examples that is passed over, in (0, 1]; the first of that order.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), section 3.2.
        Deviation: the reference passes augmented images with dropout on; here they are not augmented, and it is off.
    """
    if not has_batchnorm(model):
        return
    device = data.train.labels.device
    count = max(2, round(share * len(data.train)))
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[:count].to(device)
    parts = list(batches(slice(0, len(order)), batch_size))
    if len(parts) > 1 and parts[-1].stop - parts[-1].start == 1:
        parts[-2:] = [slice(parts[-2].start, parts[-1].stop)]
    own_parts = parts[workers.rank :: workers.size]
    with BatchStatistics(model) as statistics:
        for part, (images, _) in zip(own_parts, data.train.batches(order[part] for part in own_parts), strict=True):
            if not len(images):
                continue
            for noisy in noisy_layers(model).values():
                noisy.draws = RepeatableDraws(0, part.start, part.start, len(images), device)
            with autocast(precision, device):
                model(data.normalise(images))
        statistics.write(workers)
    for noisy in noisy_layers(model).values():
        noisy.draws = FRESH

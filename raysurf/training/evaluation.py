"""Evaluation of a model on a split: logits, metrics, and re-estimated batch-norm statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.data.dataset import Dataset, Split
from raysurf.errors import OutputError
from raysurf.stochastic.draws import FRESH, RepeatableDraws
from raysurf.stochastic.layers import noise_mode, noisy_layers
from raysurf.training.batchnorm import BatchStatistics, modes_kept, tracking_layers
from raysurf.training.workers import Workers
from raysurf.weightspace.point import write

NUM_BINS = 15
_SCALARS = 4
SIZE = _SCALARS + 3 * NUM_BINS


@dataclass(frozen=True)
class Metrics:
    """Means over the examples of one split.

    Accuracy, error, Brier score and ECE are plain numbers (accuracy, error and ECE in [0, 1], Brier in [0, 2]);
    nll is in nats a sample.
    """

    num_examples: int
    accuracy: float
    nll: float
    brier: float
    ece: float

    @property
    def error(self) -> float:
        """The share of wrong answers, in [0, 1]."""
        return 1.0 - self.accuracy


@torch.no_grad()
def sums(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """Sum every figure over a batch, so that batches and workers add up.

    ECE uses 15 equal bins of the confidence: sum_b |acc_b - conf_b| n_b / n.

    Args:
        log_probabilities: [B, classes], log of the predicted distribution.
        labels: [B], int64.

    Returns:
        [SIZE] float64: examples, nll, correct, Brier, then count, confidence and correct a bin.

    Source:
        Brier 1950 (multi-class form); Guo et al. 2017 (arXiv:1706.04599), ECE.
    """
    log_p = log_probabilities.double()
    p = log_p.exp()
    confidence, answer = p.max(dim=1)
    correct = (answer == labels).double()
    out = torch.zeros(SIZE, dtype=torch.float64, device=log_p.device)
    out[0] = labels.numel()
    out[1] = -log_p.gather(1, labels[:, None]).sum()
    out[2] = correct.sum()
    out[3] = (p - F.one_hot(labels, p.shape[1])).square().sum()
    bins = (confidence * NUM_BINS).ceil().long().sub(1).clamp_(0, NUM_BINS - 1)
    for k, values in enumerate((torch.ones_like(confidence), confidence, correct)):
        out[_SCALARS + k * NUM_BINS : _SCALARS + (k + 1) * NUM_BINS].index_add_(0, bins, values)
    return out


def metrics_of(total: Tensor) -> Metrics:
    """Turn sums over a whole split into its means.

    Args:
        total: [SIZE] float64, the sum of what ``sums`` gave for every batch.
    """
    values = total.tolist()
    n = values[0]
    assert n > 0, "a split has examples"
    confidence, correct = (values[_SCALARS + k * NUM_BINS : _SCALARS + (k + 1) * NUM_BINS] for k in (1, 2))
    ece = sum(abs(a - b) for a, b in zip(correct, confidence, strict=True)) / n
    return Metrics(int(n), accuracy=values[2] / n, nll=values[1] / n, brier=values[3] / n, ece=ece)


def logits_of(output: Any) -> Tensor:
    """The logits of an answer, which may have more than them; auxiliary ones are left out, of a loss as well.

    Args:
        output: [B, classes]; or what has it: as ``logits`` of a mapping, dataclass, named tuple or other object (of
            torchvision's GoogLeNet and Inception in training, say), else as the first of a tuple or list, or as the
            only value of a mapping.

    Raises:
        OutputError: If it is something else.
    """
    logits = output
    if isinstance(output, Mapping):
        logits = output["logits"] if "logits" in output else next(iter(output.values())) if len(output) == 1 else None
    elif hasattr(output, "logits"):
        logits = output.logits
    elif isinstance(output, tuple | list) and output:
        logits = output[0]
    if isinstance(logits, Tensor):
        return logits
    has = f" of {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
    raise OutputError(f"a {type(output).__name__}{has}", "logits [B, classes], alone, as `logits`, or first of a tuple")


def require_logits(model: nn.Module, image_shape: tuple[int, int, int], num_classes: int) -> None:
    """Check what a network answers to two images in evaluation; the network and torch's generators stay as they are.

    One that cannot take the images says so itself, in its first step.

    Args:
        model: On any device.
        image_shape: Channels, height, width.
        num_classes: Logits that there must be.

    Raises:
        OutputError: If they are not [2, num_classes].
    """
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    before = [
        (module._buffers, name, v, v.clone())
        for module in model.modules()
        for name, v in module._buffers.items()
        if v is not None
    ]
    generators = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(generators), noise_mode(model, "mean"), modes_kept(model):
        try:
            output = model.eval()(torch.zeros(2, *image_shape, device=device))
        except RuntimeError:
            return
        finally:
            for buffers, name, value, old in before:
                write(value, old)
                buffers[name] = value
    logits = logits_of(output)
    if logits.shape != (2, num_classes) or not logits.is_floating_point():
        got = f"{'complex ' if logits.is_complex() else ''}outputs {list(logits.shape)} to 2 images"
        raise OutputError(got, f"[2, {num_classes}], a real number for each class of the data")


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
    answers = [Answers(torch.zeros(0, data.num_classes, device=device), split.labels[:0])]
    with noise_mode(model, "mean"):
        for images, labels in split.batches(batches(part, BATCH.get(device.type, 512))):
            if not len(labels):
                continue
            with autocast(precision, device):
                logits = logits_of(model(data.normalise(images)))
            answers.append(Answers(F.log_softmax(logits.float(), dim=1), labels))
    return Answers(*(torch.cat(parts) for parts in zip(*answers, strict=True)))


def evaluate(model: nn.Module, data: Dataset, split: Split, workers: Workers, precision: str = "fp32") -> Metrics:
    """Measure a model on a split, un-augmented and in evaluation mode.

    Every worker of the group must call it; each takes its share of the examples.
    """
    answers = answers_to(model, data, split, precision, workers.share(len(split)))
    return metrics_of(workers.sum(sums(*answers)))


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
    if not tracking_layers(model):
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

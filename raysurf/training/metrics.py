"""What a network's answers are worth: sums over examples that add up across batches and workers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_BINS = 15
_SCALARS = 4
SIZE = _SCALARS + 3 * NUM_BINS


@dataclass(frozen=True)
class Figures:
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


def figures(total: Tensor) -> Figures:
    """Turn sums over a whole split into its means.

    Args:
        total: [SIZE] float64, the sum of what ``sums`` gave for every batch.
    """
    values = total.tolist()
    n = values[0]
    assert n > 0, "a split has examples"
    confidence, correct = (values[_SCALARS + k * NUM_BINS : _SCALARS + (k + 1) * NUM_BINS] for k in (1, 2))
    ece = sum(abs(a - b) for a, b in zip(correct, confidence, strict=True)) / n
    return Figures(int(n), accuracy=values[2] / n, nll=values[1] / n, brier=values[3] / n, ece=ece)

"""The batch-norm statistics of weights that no training step ran on: averages, points of a curve."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from raysurf.training.workers import Workers


def tracking_layers(model: nn.Module) -> list[_BatchNorm]:
    """The modules that keep running batch statistics."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


class BatchStatistics:
    """Means of a model's batch statistics, weighted by examples, while a ``with`` lasts.

    mean = sum_b n_b mean_b / N and likewise the (unbiased) variances, over batches b of n_b examples. Inside the
    ``with`` only batch-norm layers are in training mode, so that dropout stays off; after it, all of the model is in
    evaluation mode.

    Args:
        model: Its forward passes are made by the caller, each followed by ``add``.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), section 3.2; the reference's momentum b/(n+b) is this weighting.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model, self.layers = model, tracking_layers(model)
        self.momenta = [layer.momentum for layer in self.layers]
        self.sums = [
            (torch.zeros_like(mean, dtype=torch.float64), torch.zeros_like(var, dtype=torch.float64))
            for mean, var in map(_running, self.layers)
        ]

    def __enter__(self) -> BatchStatistics:
        self.model.eval()
        for layer in self.layers:
            layer.train()
            layer.momentum = 1.0
        return self

    def __exit__(self, *error: object) -> None:
        for layer, momentum in zip(self.layers, self.momenta, strict=True):
            layer.momentum = momentum
            layer.eval()

    @torch.no_grad()
    def add(self, num_examples: int) -> None:
        """Take the statistics of the batch that the model has just seen."""
        for layer, (mean, var) in zip(self.layers, self.sums, strict=True):
            batch_mean, batch_var = _running(layer)
            mean.add_(batch_mean.double(), alpha=num_examples)
            var.add_(batch_var.double(), alpha=num_examples)

    @torch.no_grad()
    def write(self, workers: Workers, num_examples: int, num_batches: int) -> None:
        """Make the means the model's running statistics.

        Args:
            workers: The group that shared the batches; every worker calls.
            num_examples: N, of the whole group.
            num_batches: Batches of the whole group.
        """
        for layer, (mean, var) in zip(self.layers, self.sums, strict=True):
            running_mean, running_var = _running(layer)
            running_mean.copy_(workers.sum(mean) / num_examples)
            running_var.copy_(workers.sum(var) / num_examples)
            if layer.num_batches_tracked is not None:
                layer.num_batches_tracked.fill_(num_batches)


def _running(layer: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None and layer.running_var is not None
    return layer.running_mean, layer.running_var

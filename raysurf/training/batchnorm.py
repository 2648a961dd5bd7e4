"""Re-estimated batch statistics and renewed power iterations, for weights without training steps of their own."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm, _NormBase
from torch.nn.utils.parametrizations import _Orthogonal
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm

from raysurf.training.workers import Workers

# Of torch's own spectral norm, whose vectors begin with 15; these begin with those of trained weights near by.
POWER_ITERATIONS = 30


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Restore every module's training or evaluation mode after a ``with``."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def tracking_layers(model: nn.Module) -> list[_NormBase]:
    """The modules that keep running batch statistics: batch norm of every sort, and instance norm that tracks them.

    Those that the network's own ``train`` leaves in evaluation are none of them: their statistics are frozen.
    """
    layers = [module for module in model.modules() if isinstance(module, _NormBase)]
    layers = [layer for layer in layers if layer.track_running_stats and layer.running_mean is not None]
    if layers:
        with modes_kept(model):
            model.train()
            layers = [layer for layer in layers if layer.training]
    return layers


def statistic_names(model: nn.Module) -> frozenset[str]:
    """Names of the buffers that are running batch statistics, their counters included."""
    layers = {id(layer) for layer in tracking_layers(model)}
    return frozenset(
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        if id(module) in layers
        for name in module._buffers
    )


class BatchStatistics:
    """Means of a model's batch statistics, weighted by examples, while a ``with`` lasts.

    mean = sum_b n_b mean_b / N and likewise the (unbiased) variances, over calls b of a layer, each with n_b examples,
    and N = sum_b n_b: a layer that a pass calls twice counts twice. Inside the ``with`` only these layers are in
    training mode. Dropout is off, so that the statistics are those of the network that is measured (the codes of SWA
    and of curves leave it on). After it, all of the model is in evaluation mode.

    Args:
        model: Its forward passes are made by the caller.

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
        # Examples and calls of each layer.
        self.counts = [[0, 0] for _ in self.layers]

    def __enter__(self) -> BatchStatistics:
        self.model.eval()
        self._hooks = [
            layer.register_forward_hook(functools.partial(self._take, number))
            for number, layer in enumerate(self.layers)
        ]
        for layer in self.layers:
            layer.train()
            layer.momentum = 1.0
            if isinstance(layer, SyncBatchNorm):
                # Workers have different numbers of batches here, and their sums are added at the end.
                layer.forward = functools.partial(_BatchNorm.forward, layer)  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        for hook, layer, momentum in zip(self._hooks, self.layers, self.momenta, strict=True):
            hook.remove()
            layer.momentum = momentum
            layer.eval()
            if isinstance(layer, SyncBatchNorm):
                del layer.forward

    @torch.no_grad()
    def _take(self, number: int, layer: _NormBase, inputs: object, output: Tensor) -> None:
        """Take the statistics of the batch that a layer has just seen."""
        for total, batch in zip(self.sums[number], _running(layer), strict=True):
            total.add_(batch.double(), alpha=len(output))
        self.counts[number][0] += len(output)
        self.counts[number][1] += 1

    @torch.no_grad()
    def write(self, workers: Workers) -> None:
        """Make the means the model's running statistics; a layer that no pass has called keeps its own.

        Args:
            workers: The group that shared the batches; every worker calls.
        """
        if not self.layers:
            return
        counts = workers.sum(torch.tensor(self.counts, device=self.sums[0][0].device)).tolist()
        for layer, sums, (num_examples, calls) in zip(self.layers, self.sums, counts, strict=True):
            for running, total in zip(_running(layer), sums, strict=True):
                workers.sum(total)
                if num_examples:
                    running.copy_(total / num_examples)
            if layer.num_batches_tracked is not None and calls:
                layer.num_batches_tracked.fill_(calls)


def _running(layer: _NormBase) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None and layer.running_var is not None
    return layer.running_mean, layer.running_var


def _power_iterations(model: nn.Module) -> tuple[list[tuple[SpectralNorm, nn.Module]], list[ParametrizationList]]:
    """Spectral norms that are hooks, with their modules; and parametrized tensors, with buffers that move."""
    hooks = [
        (hook, module)
        for module in model.modules()
        for hook in module._forward_pre_hooks.values()
        if isinstance(hook, SpectralNorm)
    ]
    lists = (module for module in model.modules() if isinstance(module, ParametrizationList))
    return hooks, [weight for weight in lists if any(_may_move(module) for module in weight)]


def _may_move(parametrization: nn.Module) -> bool:
    # The buffer of torch's orthogonal matrices is where they began.
    floating = any(buffer.is_floating_point() for buffer in parametrization.buffers())
    return floating and not isinstance(parametrization, _Orthogonal)


def has_power_iterations(model: nn.Module) -> bool:
    """Whether any weight is divided by a norm that a power iteration estimates."""
    return any(_power_iterations(model))


@torch.no_grad()
def renew_power_iterations(model: nn.Module) -> None:
    """Bring the vectors of spectral norms, and of other parametrizations that keep buffers, to the present weights.

    They move in training mode only, a step a forward pass, so that weights which no training step ran on have those
    of other weights. They depend on weights alone: no data are needed, and nothing else is in training mode.
    """
    hooks, parametrized = _power_iterations(model)
    for hook, module in hooks:
        for _ in range(POWER_ITERATIONS):
            hook.compute_weight(module, do_power_iteration=True)
    for weight in parametrized:
        with modes_kept(weight):
            weight.train()
            for _ in range(POWER_ITERATIONS):
                weight()

"""Several samples of a noisy network's answers to one batch; what no noise reaches is computed once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raysurf.stochastic.draws import FRESH, Draws, RepeatableDraws
from raysurf.stochastic.dropping import Dropping, layers_called
from raysurf.stochastic.layers import NoisyLayer, dropped, noise_mode, noisy_layers

DROPOUTS: dict[type[nn.Module], bool] = {nn.Dropout: False, nn.Dropout1d: True, nn.Dropout2d: True}


def dropouts(model: nn.Module) -> dict[str, nn.Module]:
    """The network's own dropout modules that drop anything, by name."""
    return {name: m for name, m in model.named_modules() if type(m) in DROPOUTS and getattr(m, "p", 0.0) > 0.0}


@torch.no_grad()
def samples(
    model: nn.Module, inputs: Tensor, first: int, num_samples: int, noise: str, seed: int
) -> Iterator[tuple[int, Any]]:
    """Answers of a network to a batch under different noise.

    Modules that run before the first noisy layer run once, and so do that layer's moments under local
    reparameterisation.

    Args:
        model: In evaluation mode, so that batch norm uses its statistics; the noise is on nonetheless.
        inputs: [B, ...], examples ``first`` to ``first + B`` of their split.
        first: Number of the first example.
        num_samples: K, from 1.
        noise: ``sample``, ``zero_mean`` or ``permuted``.
        seed: Of the noise; the answers to an example depend on seed and sample, and not on the batch.

    Yields:
        Sample number, from 0, and what the network answers, K times in order.
    """
    own, layers = dropouts(model), noisy_layers(model)
    sources: dict[nn.Module, None] = dict.fromkeys([*own.values(), *layers.values()])
    with noise_mode(model, noise), _Pass(model, sources, keep_moments=noise != "permuted") as this:  # type: ignore[arg-type]
        for number in range(num_samples):
            yield number, this.answer(inputs, RepeatableDraws(seed, number, first, len(inputs), inputs.device))
            # The first pass finds out what can be kept.
            this.recording = False


@dataclass
class _Record:
    """What a call gave; ``calls`` is how often each module had been called by then."""

    output: Any
    versions: list[int]
    calls: dict[int, int]

    def is_intact(self) -> bool:
        return [tensor._version for tensor in _tensors(self.output)] == self.versions


class _Pass:
    """Wraps the ``forward`` of every module: kept outputs are given again, dropout and noisy layers get their draws."""

    def __init__(self, model: nn.Module, sources: dict[nn.Module, None], keep_moments: bool) -> None:
        self.model, self.sources, self.keep_moments = model, sources, keep_moments
        self.draws: Draws = FRESH
        self.recording, self.noise_reached = True, False
        self.calls: dict[int, int] = {}
        self.kept: dict[tuple[int, int], _Record] = {}
        self.moments: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self.dropping, self.drops = Dropping(self._on_drop), False

    def __enter__(self) -> _Pass:
        self.modules = list(self.model.modules())
        for module in self.modules:
            inner = module.forward
            if module in self.sources:
                module.forward = functools.partial(self._source, module, inner)
            elif module is not self.model:
                module.forward = functools.partial(self._plain, module, inner)
        return self

    def __exit__(self, *exception: object) -> None:
        for module in self.modules:
            module.__dict__.pop("forward", None)
            if isinstance(module, NoisyLayer):
                module.draws = FRESH
                module.__dict__.pop("moments", None)

    def answer(self, inputs: Tensor, draws: Draws) -> Any:
        """Make a pass with its draws."""
        self.draws = self.dropping.draws = draws
        self.calls = {}
        if not self.recording:
            self.kept = {key: record for key, record in self.kept.items() if record.is_intact()}
        # The first pass finds out whether there is dropout that is no module of ``DROPOUTS``.
        with layers_called(), self.dropping if self.recording or self.drops else nullcontext():
            return self.model(inputs)

    def _on_drop(self) -> None:
        self.noise_reached = self.drops = True

    def _call(self, module: nn.Module) -> tuple[int, int]:
        number = self.calls.get(id(module), 0)
        self.calls[id(module)] = number + 1
        return id(module), number

    def _plain(self, module: nn.Module, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        key = self._call(module)
        if not self.recording and key in self.kept:
            record = self.kept[key]
            self.calls = dict(record.calls)
            return record.output
        before = set(self.kept)
        out = inner(*args, **kwargs)
        if self.recording and not self.noise_reached:
            # What ran inside it will not run again.
            self.kept = {k: record for k, record in self.kept.items() if k in before}
            self.kept[key] = _Record(out, [tensor._version for tensor in _tensors(out)], dict(self.calls))
        return out

    def _source(self, module: nn.Module, inner: Callable[..., Any], inputs: Tensor) -> Any:
        key = self._call(module)
        is_first, self.noise_reached = not self.noise_reached, True
        if not isinstance(module, NoisyLayer):
            return dropped(inputs, float(module.p), self.draws, DROPOUTS[type(module)])  # type: ignore[arg-type]
        module.draws = self.draws
        if self.recording and is_first and self.keep_moments and module.local and module.IS_NORMAL:
            self.moments[key] = type(module).moments(module, inputs)
        if key in self.moments:
            module.moments = lambda inputs: self.moments[key]  # type: ignore[method-assign]
        else:
            module.__dict__.pop("moments", None)
        return inner(inputs)


def _tensors(value: Any) -> list[Tensor]:
    """Every tensor of an output: one, or those of a tuple, list, mapping or dataclass."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    elif dataclasses.is_dataclass(value):
        value = list(vars(value).values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, tuple | list) else []

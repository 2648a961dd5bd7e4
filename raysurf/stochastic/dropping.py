"""Dropout at evaluation time: modules, functions, attention and RNNs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from raysurf.stochastic.draws import Draws
from raysurf.stochastic.effective import copy_of
from raysurf.stochastic.layers import noise_mode

DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout)
# Of an input, a probability and whether it is in training.
DIRECT = (torch.dropout, torch.alpha_dropout, torch.feature_dropout, torch.feature_alpha_dropout)
RECURRENT = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)


class Dropping(TorchFunctionMode):
    """While it lasts, every call of dropout drops, be its module in evaluation or not, with numbers from ``draws``.

    It sees torch's functions of dropout, with which all of torch's modules and most others drop, and the dropout that
    attention and RNNs have inside. What a module does in training alone (``if self.training``) it cannot see.

    Args:
        on_drop: Called before each call that drops.

    Attributes:
        draws: Where the numbers come from.
    """

    def __init__(self, on_drop: Callable[[], None]) -> None:
        super().__init__()
        self.on_drop, self.draws = on_drop, Draws()

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given, named = list(args), dict(kwargs or {})
        if not _switch_on(func, given, named):
            return func(*given, **named)
        self.on_drop()
        with _plain_kernels(), _Numbers(self.draws, axis=1 if func in RECURRENT else 0):
            return func(*given, **named)


def _switch_on(func: Any, args: list[Any], kwargs: dict[str, Any]) -> bool:
    """Let a call drop, if it is one that can; says whether it is."""
    if func in DROPOUTS:
        kwargs["training"] = True
        return bool(kwargs.get("p", 0.5) > 0.0)
    if func in DIRECT:
        given = dict(zip(("input", "p", "train"), args, strict=False)) | kwargs | {"train": True}
        args[:] = []
        kwargs.update(given)
        return bool(given["p"] > 0.0)
    if func is F.multi_head_attention_forward:
        kwargs["training"] = True
        return bool(args[10] > 0.0)
    if func is F.scaled_dot_product_attention:
        return bool(kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0) > 0.0)
    if func in RECURRENT:
        # After has_biases: num_layers, dropout, train.
        flag = next(i for i, value in enumerate(args) if isinstance(value, bool))
        args[flag + 3] = True
        return bool(args[flag + 1] > 1 and args[flag + 2] > 0.0)
    return False


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that does not import torch's compiler when it is first used."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class _Numbers(_Mode):  # type: ignore[no-untyped-call]
    """Replaces the random numbers of the dropout in a call; ``axis`` is where its batch is."""

    def __init__(self, draws: Draws, axis: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.draws, self.axis = draws, axis

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.bernoulli_.float:
            return args[0].copy_(self._kept(args[0], 1.0 - (args[1] if len(args) > 1 else 0.5)))
        if func is torch.ops.aten.native_dropout.default:
            kept = self._kept(args[0], args[1])
            return args[0] * kept / (1.0 - args[1]), kept
        return func(*args, **(kwargs or {}))

    def _kept(self, like: Tensor, p: float) -> Tensor:
        return self.draws.uniform(like.shape, like.new_empty(0, dtype=torch.float32), self.axis) >= p


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Leave out the GPU's kernels that drop inside, with numbers of their own."""
    if not torch.cuda.is_available():
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
        yield


@contextmanager
def layers_called() -> Iterator[None]:
    """Turn off the inference fast path of torch's transformers, which skips dropout."""
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_enabled)


class _Count(_Mode):  # type: ignore[no-untyped-call]
    """Counts the random draws of each module."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.random, self._running = dict[str, int](), [""]
        for name, module in model.named_modules():
            module.register_forward_pre_hook(functools.partial(self._enter, name))
            module.register_forward_hook(self._leave)

    def _enter(self, name: str, *call: object) -> None:
        self._running.append(name)

    def _leave(self, *call: object) -> None:
        self._running.pop()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.random[self._running[-1]] = self.random.get(self._running[-1], 0) + 1
        return func(*args, **(kwargs or {}))


def own_noise(model: nn.Module, inputs: Tensor) -> tuple[bool, list[str]]:
    """Whether ``Dropping`` finds dropout in a network, and which modules have training noise that it cannot reproduce.

    Args:
        model: Left as it is; a copy answers on the CPU, in evaluation and in training.
        inputs: Two examples.

    Returns:
        Whether ``Dropping`` finds dropout in it, and names of the modules that ask for random numbers more often in
        training; none if it cannot be called so.
    """
    twin, calls = copy_of(model).cpu(), list[None]()
    count = _Count(twin)
    with torch.no_grad(), torch.random.fork_rng(devices=()), noise_mode(twin, "mean"), layers_called():
        try:
            with Dropping(lambda: calls.append(None)), count:
                twin.eval()(inputs.cpu())
            drawn, count.random = count.random, {}
            with count:
                twin.train()(inputs.cpu())
        except (RuntimeError, ValueError):
            return bool(calls), []
    left_out = sorted(name for name, times in count.random.items() if times > drawn.get(name, 0))
    return bool(calls), [name or type(model).__name__ for name in left_out]

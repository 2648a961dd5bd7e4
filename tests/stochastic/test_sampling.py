"""Samples of noisy networks: the same as whole passes, whatever the batch, and without doing the same twice."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raysurf.stochastic.convert import convert
from raysurf.stochastic.draws import RepeatableDraws
from raysurf.stochastic.layers import (
    DropoutLayer,
    NoisyLayer,
    VarianceLayer,
    VariationalLayer,
    noise_mode,
    noisy_layers,
)
from raysurf.stochastic.sampling import samples


class Branching(nn.Module):
    """A net whose noisy branch is added to one that no noise reaches, with a module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.act = nn.ReLU(inplace=True)
        self.noisy = nn.Conv2d(4, 4, 3, padding=1)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.act(self.body(images))
        x = x + self.act(self.noisy(x))
        x += 1.0
        out: Tensor = self.head(self.drop(self.act(x).mean((2, 3))))
        return out


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 6), nn.Linear(6, 3)
    )


def noisy(build: Callable[[], nn.Module], layers: str, make: Callable[[nn.Module], NoisyLayer]) -> nn.Module:
    torch.manual_seed(0)
    return convert(build(), layers, make).eval()


NETS: dict[str, Callable[[], nn.Module]] = {
    "local": lambda: noisy(plain, "4", VarianceLayer),
    "all": lambda: noisy(plain, "*", lambda layer: VariationalLayer(layer, "weight", -1.0)),
    "weights": lambda: noisy(plain, "4", lambda layer: VarianceLayer(layer, "bernoulli")),
    "dropout": lambda: noisy(plain, "5", DropoutLayer),
    "branching": lambda: noisy(Branching, "noisy", lambda layer: VariationalLayer(layer, "neuron", 0.0)),
    "own dropout": lambda: Branching().eval(),
}


def drawn(net: nn.Module, inputs: Tensor, size: int, count: int = 3, noise: str = "sample") -> Tensor:
    """[samples, examples, classes], from batches of a size."""
    parts = []
    for first in range(0, len(inputs), size):
        batch = inputs[first : first + size].clone()
        parts.append(torch.stack([logits.clone() for _, logits in samples(net, batch, first, count, noise, 7)]))
    return torch.cat(parts, 1)


@pytest.mark.parametrize("name", NETS)
def test_samples_do_not_depend_on_batches(name: str) -> None:
    """The answers to an example are the same from batches of any size, and differ from sample to sample."""
    net, inputs = NETS[name](), torch.randn(300, 1, 8, 8)
    whole = drawn(net, inputs, 300)
    assert torch.allclose(drawn(net, inputs, 77), whole, atol=1e-5)
    assert torch.equal(drawn(net, inputs, 300), whole)
    assert not torch.allclose(whole[0], whole[1], atol=1e-3)


@pytest.mark.parametrize("name", [name for name in NETS if name != "own dropout"])
def test_samples_are_those_of_whole_passes(name: str) -> None:
    """What is kept from the first pass changes nothing: each sample equals a pass of the whole network."""
    net, inputs = NETS[name](), torch.randn(128, 1, 8, 8)
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    found = drawn(net, inputs, 128, 4)
    for number in range(4):
        draws = RepeatableDraws(7, number, 0, 128, inputs.device)
        for layer in noisy_layers(net).values():
            layer.draws = draws
        with torch.no_grad():
            assert torch.allclose(net(inputs.clone()), found[number], atol=1e-5)


def test_what_no_noise_reaches_runs_once() -> None:
    """Modules before the first noisy layer run for the first sample alone, and that layer's moments likewise."""
    net, calls = NETS["local"](), {"conv": 0, "moments": 0, "last": 0}

    def counted(name: str, inner: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: object) -> Tensor:
            calls[name] += 1
            return inner(*args)

        return call

    first, layer, last = net[0], net[4], net[5]  # type: ignore[index]
    first._conv_forward = counted("conv", first._conv_forward)
    layer.operation = counted("moments", layer.operation)
    last.register_forward_hook(lambda *_: calls.__setitem__("last", calls["last"] + 1))
    drawn(net, torch.randn(5, 1, 8, 8), 5, 10)
    assert calls == {"conv": 1, "moments": 1, "last": 10}


def test_networks_are_left_as_they_were() -> None:
    """After sampling, even one that was broken off, modules have their own forward, mode and fresh draws again."""
    net, inputs = NETS["branching"](), torch.randn(4, 1, 8, 8)
    with noise_mode(net, "mean"):
        before = net(inputs)
    pending = samples(net, inputs, 0, 5, "sample", 0)
    next(pending)
    del pending
    gc.collect()
    assert all("forward" not in module.__dict__ for module in net.modules())
    with noise_mode(net, "mean"):
        assert torch.equal(net(inputs), before)
    assert not torch.equal(net(inputs), net(inputs))


@pytest.mark.parametrize("noise", ["zero_mean", "permuted"])
def test_controls_draw_from_what_they_say(noise: str) -> None:
    """Zero-mean samples average to the bias; permuted ones have another layer of the same deviations each time."""
    torch.manual_seed(0)
    layer = VariationalLayer(nn.Linear(6, 4), "weight", 0.0)
    inputs = torch.randn(1, 6).expand(20_000, 6)
    found = drawn(layer, inputs, 20_000, 2, noise)
    expected = layer.bias if noise == "zero_mean" else layer.operation(inputs[:1], layer.weight, layer.bias)[0]
    deviation = found.std(1)
    assert torch.allclose(found[0].mean(0), expected, atol=float(6 * deviation.max() / 20_000**0.5))
    assert torch.allclose(deviation[0], deviation[1], rtol=0.05) == (noise == "zero_mean")

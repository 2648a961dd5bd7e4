"""Samples of noisy networks: the same as whole passes, whatever the batch, and without doing the same twice."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raysurf.stochastic.convert import convert
from raysurf.stochastic.draws import RepeatableDraws
from raysurf.stochastic.dropping import own_noise
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


class Twice(nn.Module):
    """A net that calls its noisy layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.noisy, self.head = nn.Linear(64, 64), nn.Linear(64, 3)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.noisy(self.noisy(images.flatten(1)).relu()))
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
    "twice": lambda: noisy(Twice, "noisy", lambda layer: VariationalLayer(layer, "neuron", 0.0)),
    "own dropout": lambda: Branching().eval(),
}


class OwnDropout(nn.Module):
    """Dropout that is no module of dropout: in attention, an RNN, or called as a function."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        layers: dict[str, Callable[[], nn.Module]] = {
            "encoder": lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True),
            "stack": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.2), 2),
            "attention": lambda: nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True),
            "lstm": lambda: nn.LSTM(8, 8, 3, dropout=0.3, batch_first=True, bidirectional=True),
            "gru": lambda: nn.GRU(8, 8, 2, dropout=0.3),
            "alpha": lambda: nn.AlphaDropout(0.3),
            "function": nn.Identity,
            "direct": nn.Identity,
            "patches": nn.Identity,
        }
        self.layer = layers[kind]()

    def forward(self, images: Tensor) -> Tensor:
        x = images.squeeze(1)[:, :7]
        if self.kind == "function":
            return torch.nn.functional.dropout(x, 0.4, self.training).flatten(1)
        if self.kind == "direct":
            return torch.feature_dropout(torch.dropout(x, 0.2, self.training), p=0.2, train=self.training).flatten(1)
        if self.kind == "patches":
            return torch.nn.functional.dropout(x.flatten(0, 1), 0.4, self.training).view(len(x), -1)
        if self.kind in ("stack", "gru"):
            x = x.transpose(0, 1)
        out = self.layer(x, x, x) if self.kind == "attention" else self.layer(x)
        states: Tensor = out[0] if isinstance(out, tuple) else out
        return (states.transpose(0, 1) if self.kind in ("stack", "gru") else states).flatten(1)


OWN = ("encoder", "stack", "attention", "lstm", "gru", "alpha", "function", "direct", "patches")


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("kind", OWN)
def test_dropout_inside_of_layers_drops_as_in_training(kind: str) -> None:
    """Its samples have the mean and deviation of torch's passes in training, and do not depend on batches."""
    torch.manual_seed(0)
    net, one = OwnDropout(kind), torch.randn(1, 1, 8, 8).expand(3000, 1, 8, 8)
    with torch.no_grad():
        expected = net.train()(one)
        plain = net.eval()(one[:1])
    outputs = drawn(net, one, 3000, 1)[0]
    error = 5 * expected.std(0) * (2 / 3000) ** 0.5 + 1e-6
    assert ((outputs.mean(0) - expected.mean(0)).abs() < error).all()
    assert torch.allclose(outputs.std(0), expected.std(0), rtol=0.15, atol=1e-4)
    assert not torch.allclose(outputs[0], plain[0], atol=1e-3)
    inputs = torch.randn(20, 1, 8, 8)
    assert torch.allclose(drawn(net, inputs, 6), drawn(net, inputs, 20), atol=1e-5)
    assert own_noise(net, inputs[:2]) == (True, [])
    with torch.no_grad():
        assert torch.equal(net(one[:1]), plain)


def test_noise_of_training_alone_is_named() -> None:
    """What a network draws only where it is told that it trains cannot be had; it is found and named."""

    class Hidden(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.bernoulli(torch.full_like(x, 0.5)) if self.training else x

    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), Hidden(), nn.Linear(64, 3)).eval()
    quiet, state = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), torch.get_rng_state()
    assert own_noise(net, torch.zeros(2, 1, 8, 8)) == (True, ["2"])
    assert own_noise(quiet, torch.zeros(2, 1, 8, 8)) == (False, [])
    assert torch.equal(torch.get_rng_state(), state) and not net.training


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
    outputs = drawn(net, inputs, 128, 4)
    for number in range(4):
        draws = RepeatableDraws(7, number, 0, 128, inputs.device)
        for layer in noisy_layers(net).values():
            layer.draws = draws
        with torch.no_grad():
            assert torch.allclose(net(inputs.clone()), outputs[number], atol=1e-5)


@pytest.mark.parametrize(("kind", "size"), [(nn.Dropout1d, (9,)), (nn.Dropout2d, (3, 4)), (nn.Dropout3d, (2, 2, 2))])
def test_spatial_dropout_drops_whole_channels(kind: type[nn.Module], size: tuple[int, ...]) -> None:
    """A channel of an example is dropped as one, and channels are dropped apart."""
    outputs = drawn(nn.Sequential(kind(0.5)), torch.ones(6, 20, *size), 6).flatten(3)
    assert torch.equal(outputs, outputs[..., :1].expand_as(outputs))
    assert set(outputs[0, 0].unique().tolist()) == set(outputs[0, :, 0].unique().tolist()) == {0.0, 2.0}


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
    outputs = drawn(layer, inputs, 20_000, 2, noise)
    expected = layer.bias if noise == "zero_mean" else layer.operation(inputs[:1], layer.weight, layer.bias)[0]
    deviation = outputs.std(1)
    assert torch.allclose(outputs[0].mean(0), expected, atol=float(6 * deviation.max() / 20_000**0.5))
    assert torch.allclose(deviation[0], deviation[1], rtol=0.05) == (noise == "zero_mean")

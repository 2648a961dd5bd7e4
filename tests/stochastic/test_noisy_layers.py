"""Noisy layers: their moments, modes and divergences, against closed forms and slow references."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

import raysurf as rs
from raysurf.errors import UnknownNameError, UnsupportedLayerError
from raysurf.stochastic.convert import convert
from raysurf.stochastic.divergence import discrepancy, kl_ard, kl_log_uniform, signal_to_noise
from raysurf.stochastic.layers import VarianceLayer, VariationalLayer, noise_mode, noisy_layers
from raysurf.stochastic.spec import Noise
from tests.support.cases import residual, transformer
from tests.support.contracts import NoiseContract

NOISES: dict[str, Noise] = {
    "dropout": rs.Dropout(layers="*", p=0.3),
    "gaussian dropout": rs.GaussianDropout(layers="*", alpha=0.5, local=False),
    **{
        f"{sharing} {local}": rs.VariationalDropout(layers="*", sharing=sharing, log_alpha=-1.0, local=local)
        for sharing in ("layer", "neuron", "weight", "additive")
        for local in (True, False)
    },
    **{
        f"{family} {local}": rs.VarianceNoise(layers="*", family=family, local=local)
        for family in ("gaussian", "bernoulli", "uniform")
        for local in ((True, False) if family == "gaussian" else (False,))
    },
}
TABLE = {
    -20: (10.63576, 10.0),
    -10: (5.635781, 5.000023),
    -5: (3.136684, 2.503358),
    -3: (2.11559, 1.524294),
    0: (0.431239, 0.346574),
    3: (0.02542, 0.024294),
    5: (0.003415, 0.003358),
    8: (0.000168, 0.000168),
    10: (2.3e-5, 2.3e-5),
}


@pytest.mark.parametrize("log_alpha", TABLE)
def test_divergences_are_the_tabled_ones(log_alpha: int) -> None:
    """Both priors' divergences at these alphas, to 1e-5."""
    at = torch.tensor(float(log_alpha), dtype=torch.float64)
    assert kl_log_uniform(at).item() == pytest.approx(TABLE[log_alpha][0], abs=1e-5)
    assert kl_ard(at).item() == pytest.approx(TABLE[log_alpha][1], abs=1e-5)


def test_log_uniform_divergence_is_near_the_integral() -> None:
    """The published approximation is within 0.01 nats of numerical integration for log alpha from -8 to 8."""

    def exact(log_alpha: float) -> float:
        """E log|1 + sqrt(alpha) e| - log(alpha) / 2, up to its limit for large alpha."""
        scale = math.exp(0.5 * log_alpha)

        def integrand(e: float) -> float:
            return math.exp(-0.5 * e * e) / math.sqrt(2 * math.pi) * math.log(max(abs(1 + scale * e), 1e-300))

        points = [p for p in (-1 / scale,) if -12 < p < 12]
        return float(quad(integrand, -12, 12, points=points or None, limit=400)[0]) - 0.5 * log_alpha

    limit = -0.5 * (np.euler_gamma + math.log(2))
    for log_alpha in range(-8, 9, 2):
        divergence = kl_log_uniform(torch.tensor(float(log_alpha))).item()
        assert divergence == pytest.approx(exact(log_alpha) - limit, abs=0.01)


class TestNoise(NoiseContract):
    @pytest.fixture(params=NOISES)
    def noise(self, request: pytest.FixtureRequest) -> Noise:
        return NOISES[request.param]


def test_permuting_keeps_the_deviations() -> None:
    """A permuted layer draws with the same multiset of deviations, in other places."""
    torch.manual_seed(0)
    made = VarianceLayer(nn.Linear(6, 4))
    seen: list[torch.Tensor] = []
    made.operation = lambda inputs, weight, bias: seen.append(weight) or inputs[:, :4]  # type: ignore[func-returns-value]
    with noise_mode(made, "permuted"):
        made(torch.randn(2, 6))
    assert torch.equal(seen[0].flatten().sort().values, made.variance().flatten().sort().values)
    assert not torch.equal(seen[0], made.variance())


def test_parameterisations_agree_where_they_coincide() -> None:
    """With one alpha for all weights, sharing by layer, neuron and weight has the same variance and divergence."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3)
    made = [VariationalLayer(layer, sharing, -2.0) for sharing in ("layer", "neuron", "weight")]  # type: ignore[arg-type]
    additive = VariationalLayer(layer, "additive")
    with torch.no_grad():
        additive.log_noise.copy_(made[0].variance().log())
    for other in (*made[1:], additive):
        assert torch.allclose(other.variance().expand(layer.weight.shape), made[0].variance(), rtol=1e-5)
        for prior in ("log_uniform", "ard"):
            other.prior = made[0].prior = prior
            assert other.kl().item() == pytest.approx(made[0].kl().item(), rel=1e-4)
    assert made[0].kl().item() == pytest.approx(layer.weight.numel() * kl_ard(torch.tensor(-2.0)).item(), rel=1e-5)


def test_fixed_noise_is_not_trained() -> None:
    """Gaussian dropout's alpha is a buffer: it is stored, and has no gradient."""
    made = VariationalLayer(nn.Linear(3, 2), "layer", 0.0, trained=False)
    assert [name for name, _ in made.named_parameters()] == ["bias", "weight"]
    assert "log_noise" in made.state_dict() and made.kl().item() == 0.0


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


def test_converted_network_without_noise_is_the_network() -> None:
    """Chosen layers are replaced in a copy, which without noise gives the same to the last bit; the original stays."""
    net = network().eval()
    before = copy.deepcopy(net.state_dict())
    noisy = convert(net, "0, 4", lambda layer: VariationalLayer(layer, "neuron")).eval()
    inputs = torch.randn(3, 1, 8, 8)
    assert list(noisy_layers(noisy)) == ["0", "4"]
    with noise_mode(noisy, "mean"):
        assert torch.equal(noisy(inputs), net(inputs))
    assert not torch.equal(noisy(inputs), net(inputs))
    assert noisy_layers(net) == {}
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_any_network_is_converted() -> None:
    """A transformer's feed-forward layers are noisy in evaluation too; its attention's projection cannot be."""
    net = transformer(10, (1, 8, 8))
    noisy = convert(net, "layer.linear*, head", VarianceLayer).eval()
    inputs = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert not torch.equal(noisy(inputs), noisy(inputs))
        with noise_mode(noisy, "mean"):
            assert torch.equal(noisy(inputs), noisy.head.bias.expand(3, 10))  # type: ignore[operator,union-attr]
        quiet = convert(net, "layer.linear1", lambda layer: VariationalLayer(layer, log_alpha=-60.0)).eval()
        assert torch.allclose(quiet(inputs), net.eval()(inputs), atol=1e-5)
    with pytest.raises(UnsupportedLayerError, match=r"layer\.self_attn\.out_proj, a NonDynamicallyQuantizableLinear"):
        convert(net, "layer.self_attn.out_proj", VarianceLayer)
    names = list(noisy_layers(convert(residual(10, (1, 8, 8)), "layer4.*", VarianceLayer)))
    assert names == [f"layer4.0.{name}" for name in ("conv1", "conv2", "downsample.0")]


@pytest.mark.parametrize(
    ("layers", "kind", "said"),
    [
        ("5*", UnknownNameError, "unknown layer: got '5\\*'; expected one of 0, 4"),
        ("1", UnsupportedLayerError, "got 1, a BatchNorm2d; expected Linear, Conv1d or Conv2d"),
    ],
)
def test_layers_that_cannot_be_noisy_are_refused(layers: str, kind: type[Exception], said: str) -> None:
    """A pattern that matches nothing lists what there is; a layer of another type is named."""
    with pytest.raises(kind, match=said):
        convert(network(), layers, VarianceLayer)
    with pytest.raises(UnsupportedLayerError, match="circular padding"):
        VarianceLayer(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"))


class Halved(nn.Linear):
    """A linear layer with a forward of its own."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 0.5 * super().forward(inputs)


def test_layers_that_do_more_than_their_kind_are_refused() -> None:
    """A noisy layer would drop the forward or the hooks that a layer has of its own."""
    with pytest.raises(UnsupportedLayerError, match="Halved with a forward of its own"):
        VarianceLayer(Halved(2, 2))
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda layer, inputs, output: 0.5 * output)
    with pytest.raises(UnsupportedLayerError, match="Linear with hooks of its own"):
        VarianceLayer(hooked)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.7, 0.5), (2.0, 1.5)])
def test_discrepancy_is_the_closed_form(mean: float, deviation: float) -> None:
    """The unbiased estimate converges to the closed form; one over alpha is the signal to noise."""
    snr = signal_to_noise(torch.tensor(mean, dtype=torch.float64), torch.tensor(deviation**2))
    estimate, closed = discrepancy(snr[None], 4000, torch.Generator().manual_seed(0))
    # One weight: the Gaussian integrals of Gretton et al. 2012, equation 1, at h = sigma.
    assert closed == pytest.approx(2 / math.sqrt(3) * (1 - math.exp(-snr.item() / 6)))
    assert estimate == pytest.approx(closed, abs=0.01)
    assert snr == pytest.approx((mean / deviation) ** 2)

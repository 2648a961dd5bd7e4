"""Prediction schemes and the evidence lower bound, against slow references."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from raysurf.data import registry
from raysurf.data.spec import DataSpec
from raysurf.errors import DivergedError
from raysurf.stochastic.convert import convert
from raysurf.stochastic.layers import VarianceLayer, VariationalLayer, noise_mode
from raysurf.stochastic.sampling import samples
from raysurf.stochastic.spec import Scheme
from raysurf.training import evaluation, schemes
from raysurf.training.epoch import Recipe
from raysurf.training.loop import fit
from raysurf.training.objectives import elbo
from raysurf.training.objectives.elbo import ELBO, KLWarmUp, NoiseClip
from raysurf.training.schedules import Constant
from raysurf.training.workers import Workers

DATA = DataSpec(name="digits", share=0.2)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 20), nn.ReLU(), nn.Linear(20, 10)
    )


def variational(sharing: str = "layer", log_alpha: float = -1.0) -> nn.Module:
    return convert(network(), "4", lambda layer: VariationalLayer(layer, sharing, log_alpha)).eval()  # type: ignore[arg-type]


def test_sample_counts_go_up_by_decades() -> None:
    """1, 2, 5, 10 … and K itself, each once."""
    assert schemes.sample_counts(1) == (1,)
    assert schemes.sample_counts(5) == (1, 2, 5)
    assert schemes.sample_counts(30) == (1, 2, 5, 10, 20, 30)
    assert schemes.sample_counts(100) == (1, 2, 5, 10, 20, 50, 100)


def test_ensembles_are_means_of_probabilities() -> None:
    """Every size of an ensemble, from one pass, equals the mean of so many samples' probabilities, in float64."""
    data, net = registry.load(DATA), variational()
    measured = schemes.measure(net, data, data.test, Workers(), "ensemble", 10, seed=3)
    images = data.normalise(data.test.images)
    probabilities = [F.softmax(logits.double(), 1) for _, logits in samples(net, images, 0, 10, "sample", 3)]
    assert list(measured) == [1, 2, 5, 10]
    for count, metrics in measured.items():
        expected = evaluation.metrics_of(
            evaluation.sums(torch.stack(probabilities[:count]).mean(0).log(), data.test.labels)
        )
        assert metrics.accuracy == expected.accuracy
        assert metrics.nll == pytest.approx(expected.nll, rel=1e-5)
    assert schemes.measure(net, data, data.test, Workers(), "stochastic", 10, seed=3)[1] == measured[1]


@pytest.mark.parametrize("scheme", ["stochastic", "ensemble", "zero_mean", "permuted"])
def test_schemes_depend_on_the_seed_alone(scheme: Scheme) -> None:
    """A scheme gives the same at any batch size and on any number of workers, and another seed gives other samples."""
    data, net = registry.load(DATA), variational()

    def measured(seed: int, size: int | None = None, workers: Workers | None = None) -> float:
        metrics = schemes.measure(net, data, data.test, workers or Workers(), scheme, 3, seed, batch_size=size)
        return list(metrics.values())[-1].nll

    assert measured(0, 50) == pytest.approx(measured(0), rel=1e-6)
    assert measured(1) != measured(0)
    expected = measured(0)
    net.train()
    assert measured(0) == expected

    class Alone(Workers):
        """One of two workers, whose sums are not added up."""

        def sum(self, value: torch.Tensor) -> torch.Tensor:
            return value

    halves = [measured(0, workers=Alone(rank, 2)) for rank in range(2)]
    assert sum(halves) / 2 == pytest.approx(measured(0), rel=1e-6)


def test_a_certain_wrong_member_does_not_make_nll_infinite_when_another_is_right() -> None:
    """Probabilities are added in log space, where none underflows."""
    ensemble = schemes.Ensemble()
    ensemble.add(torch.tensor([[0.0, -2000.0]]))
    assert evaluation.metrics_of(ensemble.sums(torch.tensor([1]))).nll == pytest.approx(2000.0)
    ensemble.add(torch.tensor([[-2000.0, 0.0]]))
    assert evaluation.metrics_of(ensemble.sums(torch.tensor([1]))).nll == pytest.approx(0.6931472, rel=1e-6)


def test_schemes_are_those_that_the_weights_allow() -> None:
    """A plain network has one scheme, dropout three, Gaussian noise five; variance layers' means are their biases."""
    assert schemes.possible_schemes(network()) == ("deterministic",)
    dropping = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10))
    assert schemes.possible_schemes(dropping) == ("deterministic", "stochastic", "ensemble")
    assert schemes.possible_schemes(variational()) == (
        "deterministic",
        "stochastic",
        "ensemble",
        "zero_mean",
        "permuted",
    )
    data, net = registry.load(DATA), convert(network(), "6", VarianceLayer).eval()
    answers = {int(data.test.labels.bincount(minlength=10)[k]) / len(data.test) for k in range(10)}
    assert schemes.measure(net, data, data.test, Workers(), "deterministic", 1, 0)[1].accuracy in answers


@pytest.mark.parametrize("num_samples", [1, 3])
def test_gradient_is_that_of_the_bound(num_samples: int) -> None:
    """The gradient equals that of mean cross-entropy + KL / N written out, over the same draws."""
    net = variational("neuron").double().train()
    objective = ELBO(net, 50, 0.0, "fp32", num_samples)
    objective.kl_weight = 0.7
    inputs, labels = torch.randn(8, 1, 8, 8, dtype=torch.float64), torch.arange(8)
    torch.manual_seed(1)
    sums = objective.backward(inputs, labels, 8, random.Random(0))
    gradients = {name: value.grad.clone() for name, value in net.named_parameters() if value.grad is not None}
    net.zero_grad()
    torch.manual_seed(1)
    nll = torch.stack([F.cross_entropy(net(inputs), labels) for _ in range(num_samples)]).mean()
    (nll + 0.7 / 50 * net[4].kl()).backward()  # type: ignore[index,operator]
    assert sums[0].item() == pytest.approx(8 * nll.item())
    for name, value in net.named_parameters():
        assert torch.allclose(gradients[name], value.grad, atol=1e-12), name  # type: ignore[arg-type]


def test_workers_add_up_to_the_divergence_once() -> None:
    """Each worker adds its share of KL, so that the sum over workers has it once."""
    inputs, labels = torch.randn(8, 1, 8, 8), torch.arange(8)
    gradients = []
    for parts in ([slice(0, 8)], [slice(0, 3), slice(3, 8)]):
        net = variational("layer", 5.0)
        with noise_mode(net, "mean"):
            for part in parts:
                ELBO(net, 1, 0.0, "fp32").backward(inputs[part], labels[part], 8, random.Random(0))
        gradients.append(net[4].log_noise.grad)  # type: ignore[index,union-attr]
    expected = torch.autograd.grad(elbo.divergence(net), net[4].log_noise)[0]  # type: ignore[index,arg-type]
    assert torch.allclose(gradients[0], expected, rtol=1e-4)
    assert torch.allclose(gradients[1], expected, rtol=1e-4)


def test_warm_up_and_clipping() -> None:
    """The divergence's weight rises from 0 to 1 between two steps, and log alpha stays between its limits."""
    net = convert(network(), "4", lambda layer: VariationalLayer(layer, "additive", 30.0, clip=(-8.0, 8.0)))
    objective = ELBO(net, 50, 0.0, "fp32")
    warm, weights = KLWarmUp(objective, 2, 4), []
    for step in range(1, 7):
        weights.append(objective.kl_weight)
        warm.after_step(step, objective)
    assert weights == [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]
    for sharing in ("layer", "additive"):
        net = convert(network(), "4", lambda layer, s=sharing: VariationalLayer(layer, s, 30.0, clip=(-8.0, 8.0)))  # type: ignore[misc]
        NoiseClip().after_step(1, ELBO(net, 50, 0.0, "fp32"))
        layer = net[4]  # type: ignore[index]
        assert layer.log_alpha.unique().tolist() == pytest.approx([8.0])
        assert torch.allclose(layer.variance(), torch.e**8 * layer.weight.square(), rtol=1e-4)
        # Of additive noise the parameter itself is left alone, so that it is there again when the mean grows.
        assert layer.log_noise.max().item() == pytest.approx(30.0 if sharing == "additive" else 8.0)


def test_noise_has_its_own_rate_and_no_decay() -> None:
    """log alpha moves by a multiple of the rate under Adam, and L2 leaves it alone."""
    moved = {}
    for factor in (1.0, 10.0):
        net = variational("layer", -5.0)
        objective = ELBO(net, 200, 0.5, "fp32", noise_rate=factor)
        recipe = Recipe(1, 1, Constant(lr=1e-3), 250, 0.9, False, 0, optimiser="adam")
        fit(objective, registry.load(DATA), recipe, Workers(), lambda end: None)
        moved[factor] = net[4].log_noise.item() + 5.0  # type: ignore[index,operator]
    assert moved[10.0] == pytest.approx(10.0 * moved[1.0], rel=0.01)
    assert moved[1.0] == pytest.approx(1e-3, rel=0.01)


def test_a_bound_that_is_not_finite_names_its_step() -> None:
    """A divergence of NaN ends the training with the step in which it came up."""

    class Broken(ELBO):
        steps = 0

        def backward(self, *args: object) -> torch.Tensor:  # type: ignore[override]
            self.steps += 1
            if self.steps == 6:
                with torch.no_grad():
                    self.model[4].log_noise.fill_(float("nan"))  # type: ignore[index,operator,union-attr]
            return super().backward(*args)  # type: ignore[arg-type]

    recipe = Recipe(3, 3, Constant(lr=1e-3), 50, 0.9, False, 0)
    with pytest.raises(DivergedError, match="not finite at epoch 2, step 6; its last finite value was"):
        fit(Broken(variational(), 200, 0.0, "fp32"), registry.load(DATA), recipe, Workers(), lambda end: None)


def test_reestimation_draws_new_weights_in_every_batch() -> None:
    """Statistics under weight noise are over many draws of it, and the same ones when they are estimated again."""
    data, net = registry.load(DATA), convert(network(), "0", lambda layer: VarianceLayer(layer, "bernoulli"))
    layer, seen = net[0], list[torch.Tensor]()  # type: ignore[index]
    inner = layer.operation

    def operation(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        seen.append(weight.detach().clone())
        out: torch.Tensor = inner(inputs, weight, bias)
        return out

    layer.operation = operation
    for _ in range(2):
        evaluation.reestimate_batchnorm(net, data, Workers(), 50)
    assert len(seen) == 8
    assert not torch.equal(seen[0], seen[1])
    assert all(torch.equal(first, again) for first, again in zip(seen[:4], seen[4:], strict=True))

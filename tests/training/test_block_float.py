"""Block floating point: the numbers it has, and the steps that are taken in it."""

from __future__ import annotations

import math
import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysurf.training.loop import fit
from raysurf.training.objectives.block_float import BlockFloatLoss, quantise
from raysurf.training.objectives.spec import BlockFloat
from raysurf.training.workers import Workers
from raysurf.weightspace.point import point_of
from tests.support.cases import NETWORKS
from tests.support.training import data, network, recipe


def written_out(block: list[float], bits: int) -> list[float]:
    """Nearest rounding of one block, number by number, in float64."""
    largest = max(map(abs, block))
    if largest == 0:
        return block
    exponent = math.frexp(largest)[1] - 1
    step = 2.0 ** (exponent - (bits - 2))
    return [step * min(max(round(x / step), -(2 ** (bits - 1))), 2 ** (bits - 1) - 1) for x in block]


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("by_slice", [True, False])
@pytest.mark.parametrize("shape", [(7,), (5, 9), (4, 3, 2, 2)])
def test_nearest_is_the_formula(shape: tuple[int, ...], by_slice: bool, bits: int) -> None:
    """Every number is the nearest multiple of its block's step, as a slow reference in float64 says."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(shape, generator=generator) * 10.0 ** torch.randn(shape[0], generator=generator).view(
        -1, *[1] * (len(shape) - 1)
    )
    blocks = values if by_slice and len(shape) > 1 else values[None]
    expected = torch.tensor([written_out(block.flatten().double().tolist(), bits) for block in blocks])
    assert torch.equal(quantise(values, bits, "nearest", by_slice), expected.view(shape))


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_representable_numbers_stay(rounding: str) -> None:
    """Zeros stay zeros, powers of two share their own exponent, and rounding twice is rounding once."""
    assert not quantise(torch.zeros(3, 4), 8, rounding, True).any()
    values = torch.tensor([[2.0**-9, 0.0], [2.0**7, -(2.0**7)], [0.0, 0.0], [1.0, 1 / 64]])
    assert torch.equal(quantise(values, 8, rounding, True), values)
    once = quantise(torch.randn(20, 30, generator=torch.Generator().manual_seed(1)), 8, rounding, True)
    assert torch.equal(quantise(once, 8, rounding, True), once)
    # The largest number of this block is rounded to -2, and the step of the second time is 1/32.
    reached = quantise(torch.tensor([-1.999, 33 / 64]), 8, "nearest", False)
    assert reached.tolist() == [-2.0, 33 / 64]
    assert quantise(reached, 8, "nearest", False).tolist() == [-2.0, 0.5]


def test_stochastic_rounding_is_right_on_average() -> None:
    """The mean over many draws is the value, within five standard errors, and every draw is a neighbour on the grid."""
    values = torch.tensor([1.9, 0.3, -0.77, 0.011, -1.2, 0.0])
    step, draws = 2.0**-4, 5_000
    generator = torch.Generator().manual_seed(0)
    rounded = torch.stack([quantise(values, 6, "stochastic", False, generator) for _ in range(draws)])
    assert ((rounded - values).abs() < step).all()
    assert ((rounded.mean(0) - values).abs() < 5 * step / 2 / math.sqrt(draws)).all()
    assert len(rounded[:, 1].unique()) == 2


def test_extremes() -> None:
    """What is not finite makes its block NaN, and numbers near the smallest and largest of float32 stay finite."""
    values = torch.tensor([[1.0, float("inf")], [float("nan"), 1.0], [3e38, -3e38], [1e-40, 2e-39]])
    rounded = quantise(values, 8, "nearest", True)
    assert rounded[:2].isnan().all()
    assert rounded[2:].isfinite().all()
    assert rounded[2].tolist() == pytest.approx([3e38, -3e38], rel=0.01)


def step_once(net: nn.Module, spec: BlockFloat, inputs: Tensor, labels: Tensor, steps: int) -> BlockFloatLoss:
    objective = BlockFloatLoss(net, spec, 0.01)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    step = objective.own_step(optimiser)
    for number in range(steps):
        optimiser.zero_grad()
        objective.backward(inputs, labels, len(labels), random.Random(number))
        step()
    return objective


def test_step_is_algorithm_2() -> None:
    """Three steps with nearest rounding equal g = Q(g); a = Q(SGD(a, g)); w = Q(a); m = Q(m), written out."""
    torch.manual_seed(0)
    inputs, labels = torch.randn(6, 5), torch.randint(0, 3, (6,))
    net = nn.Linear(5, 3)
    weight, bias = net.weight.detach().clone(), net.bias.detach().clone()
    spec = BlockFloat(rounding="nearest", weights=5, gradients=6, accumulators=9)
    step_once(net, spec, inputs, labels, steps=3)
    accumulators, momenta = [weight, bias], [torch.zeros_like(weight), torch.zeros_like(bias)]
    weights = [weight, bias]
    for _ in range(3):
        leaves = [w.clone().requires_grad_() for w in weights]
        # The layer's input are the images, which are not rounded, and its output is the answer.
        gradients = torch.autograd.grad(F.cross_entropy(F.linear(inputs, *leaves), labels), leaves)
        for i, gradient in enumerate(gradients):
            g = quantise(gradient, 6, "nearest", True) + 0.01 * accumulators[i]
            m = 0.9 * momenta[i] + g
            accumulators[i] = quantise(accumulators[i] - 0.1 * m, 9, "nearest", True)
            momenta[i] = quantise(m, 6, "nearest", True)
            weights[i] = quantise(accumulators[i], 5, "nearest", True)
    assert torch.equal(net.weight, weights[0])
    assert torch.equal(net.bias, weights[1])


def test_activations_and_errors_are_rounded_in_training_alone() -> None:
    """Gradients are those through rounded activations and errors; afterwards the network is what it was."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    names, inputs, labels = list(net.state_dict()), torch.randn(8, 6), torch.randint(0, 3, (8,))
    plain = net(inputs)
    spec = BlockFloat(rounding="nearest", activations=4, errors=3, gradients=None)
    BlockFloatLoss(net, spec, 0.0).backward(inputs, labels, 8, random.Random(0))
    assert list(net.state_dict()) == names
    assert torch.equal(net(inputs), plain)
    with torch.no_grad():
        hidden = net[0](inputs)
        activations = quantise(hidden.relu(), 4, "nearest", False)
        error = (net[2](activations).softmax(1) - F.one_hot(labels, 3)) / 8
        back = quantise(error @ net[2].weight, 3, "nearest", False) * (hidden > 0)
    assert torch.allclose(net[2].weight.grad, error.T @ activations, atol=1e-6)
    assert torch.allclose(net[0].weight.grad, back.T @ inputs, atol=1e-6)


def test_defaults_are_the_papers() -> None:
    """Eight bits of everything, rounded at random, by output channels and whole batches of activations."""
    bits = dict.fromkeys(("weights", "activations", "gradients", "errors", "accumulators"), 8)
    how = {"rounding": "stochastic", "block": "channel", "activation_block": "tensor"}
    assert dict(BlockFloat()) == bits | how


def test_convolution_without_bias_has_its_output_rounded() -> None:
    """What follows it, such as a pooling layer, takes rounded numbers in."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3))
    inputs, labels = torch.randn(8, 1, 6, 6), torch.randint(0, 3, (8,))
    spec = BlockFloat(rounding="nearest", activations=4, errors=None, gradients=None)
    BlockFloatLoss(net, spec, 0.0).backward(inputs, labels, 8, random.Random(0))
    with torch.no_grad():
        pooled = F.avg_pool2d(quantise(net[0](inputs), 4, "nearest", False), 2)
        activations = quantise(pooled.flatten(1), 4, "nearest", False)
        error = (net[3](activations).softmax(1) - F.one_hot(labels, 3)) / 8
    assert torch.allclose(net[3].weight.grad, error.T @ activations, atol=1e-6)


def test_workers_round_weights_alike() -> None:
    """Two workers whose own random numbers differ have the same weights after a step on the same gradient."""
    weights = []
    for seed in (1, 2):
        torch.manual_seed(0)
        net, inputs, labels = nn.Linear(5, 3), torch.randn(6, 5), torch.randint(0, 3, (6,))
        torch.manual_seed(seed)
        step_once(net, BlockFloat(), inputs, labels, steps=2)
        weights.append(net.weight.detach())
    assert torch.equal(*weights)


@pytest.mark.parametrize("accumulators", [8, 12])
def test_weights_have_few_bits(accumulators: int) -> None:
    """After training they are numbers of 8 bits, whatever the accumulators are."""
    objective = BlockFloatLoss(network(), BlockFloat(accumulators=accumulators), 1e-3)
    fit(objective, data(), recipe(2), Workers(), lambda end: None)
    for value in point_of(objective.model).values():
        assert torch.equal(value, quantise(value, 8, "nearest", True))


def test_examples_may_have_exponents_of_their_own() -> None:
    """With ``activation_block: example`` the small activations of one example outlive the large ones of another."""
    net = NETWORKS["plain"]()
    nn.init.zeros_(net[1].bias)
    sizes = torch.tensor([1e-3, 10.0]).view(2, 1, 1, 1)
    inputs = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * sizes
    seen: list[Tensor] = []
    net[3].register_forward_hook(lambda module, arguments, output: seen.append(arguments[0].detach()))
    for block in ("tensor", "example"):
        spec = BlockFloat(rounding="nearest", activation_block=block, activations=4)
        BlockFloatLoss(net, spec, 0.0).backward(inputs, torch.tensor([0, 1]), 2, random.Random(0))
    assert [bool(sample[0].any()) for sample in seen] == [False, True]
    assert torch.equal(seen[0][1], seen[1][1])

"""Shake-Shake's random mixing: what it is forward, backward, and in evaluation."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import Tensor, nn

from raysurf.data import registry
from raysurf.data.spec import DataSpec
from raysurf.models.shakeshake import Shake, ShakeBlock, ShakeShake, ShiftedShortcut, shake
from raysurf.training.checkpoints import Checkpoints, Place
from raysurf.training.epoch import Recipe
from raysurf.training.loop import EpochEnd, fit
from raysurf.training.objective import CrossEntropy
from raysurf.training.schedules import Constant
from raysurf.training.workers import Workers
from raysurf.weightspace.point import Point, point_of
from tests.support.training import Kept


def coefficients(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """What ``shake`` drew, [count] each: alpha from mixing ones and zeros, beta from the gradient of a sum."""
    torch.manual_seed(seed)
    ones = torch.ones(count, 2, 3, 3, requires_grad=True)
    zeros = torch.zeros(count, 2, 3, 3, requires_grad=True)
    mixed = shake(ones, zeros)
    mixed.sum().backward()
    assert ones.grad is not None and zeros.grad is not None
    torch.testing.assert_close(ones.grad + zeros.grad, torch.ones_like(mixed))
    for factors in (mixed, ones.grad):
        assert torch.equal(factors, factors[:, :1, :1, :1].expand_as(factors)), "one coefficient an image"
    return mixed[:, 0, 0, 0].detach(), ones.grad[:, 0, 0, 0]


def test_forward_and_backward_are_independent_and_uniform() -> None:
    """Every image has an alpha and a beta of its own, uniform in [0, 1] and uncorrelated."""
    alpha, beta = coefficients(20_000, seed=0)
    for drawn in (alpha, beta):
        assert drawn.min() >= 0.0 and drawn.max() <= 1.0
        assert drawn.mean().item() == pytest.approx(0.5, abs=0.01)
        assert drawn.var().item() == pytest.approx(1 / 12, rel=0.03)
    assert torch.corrcoef(torch.stack([alpha, beta]))[0, 1].abs() < 0.03
    assert torch.corrcoef(torch.stack([alpha[1:], alpha[:-1]]))[0, 1].abs() < 0.03


def test_torchs_generator_decides() -> None:
    """The same seed gives the same forward and backward coefficients, another seed gives others."""
    first, same, other = (coefficients(16, seed) for seed in (1, 1, 2))
    assert torch.equal(first[0], same[0]) and torch.equal(first[1], same[1])
    assert not torch.isclose(first[0], other[0]).any() and not torch.isclose(first[1], other[1]).any()


def test_even_coefficients_are_the_plain_mean() -> None:
    """With alpha = beta = 0.5 value and gradients are those of the branches' mean; other betas scale the gradients."""
    torch.manual_seed(0)
    a, b, upstream = (torch.randn(3, 2, 4, 4, dtype=torch.float64) for _ in range(3))
    a, b = a.requires_grad_(), b.requires_grad_()
    half = torch.full((3, 1, 1, 1), 0.5, dtype=torch.float64)
    plain = 0.5 * (a + b)
    torch.testing.assert_close(Shake.apply(a, b, half, half), plain)
    torch.testing.assert_close(
        torch.autograd.grad(Shake.apply(a, b, half, half), (a, b), upstream),
        torch.autograd.grad(plain, (a, b), upstream),
    )
    beta = torch.rand(3, 1, 1, 1, dtype=torch.float64)
    gradients = torch.autograd.grad(Shake.apply(a, b, half, beta), (a, b), upstream)
    torch.testing.assert_close(gradients, (beta * upstream, (1 - beta) * upstream))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_mixing_keeps_dtype_and_layout(dtype: torch.dtype) -> None:
    """What is mixed stays in its precision and channels last, and so does its gradient."""
    a, b = (
        torch.randn(2, 8, 4, 4, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_() for _ in range(2)
    )
    mixed = shake(a, b)
    (gradient,) = torch.autograd.grad(mixed.square().sum(), a)
    for tensor in (mixed, gradient):
        assert tensor.dtype == dtype
        assert tensor.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_is_the_mean_of_the_branches() -> None:
    """A block in evaluation adds the even mean to its input, every time; in training it is random around it."""
    torch.manual_seed(0)
    block, x = ShakeBlock(8, 8, 1).eval(), torch.randn(1, 8, 6, 6)
    even = x + 0.5 * (block.branch1(x) + block.branch2(x))
    torch.testing.assert_close(block(x), even)
    block.training = True
    shaken = block(x.expand(4_000, -1, -1, -1))
    assert not torch.allclose(shaken[0], shaken[1], atol=0.05)
    torch.testing.assert_close(shaken.mean(0, keepdim=True), even, atol=0.05, rtol=0.0)


def test_second_half_of_the_shortcut_sees_other_pixels() -> None:
    """At a stride of two one half sees pixels at even places, the other the ones up and left of them."""
    shortcut = ShiftedShortcut(1, 2, 2)
    nn.init.ones_(shortcut.conv1.weight)
    nn.init.ones_(shortcut.conv2.weight)
    shortcut.bn = nn.Identity()  # type: ignore[assignment]
    x = torch.arange(1.0, 17.0).view(1, 1, 4, 4)
    assert shortcut(x).tolist() == [[[[1.0, 3.0], [9.0, 11.0]], [[0.0, 0.0], [0.0, 6.0]]]]


def train(keeper: Checkpoints, stop_after: int | None = None) -> Point:
    torch.manual_seed(0)
    objective = CrossEntropy(ShakeShake(10, 1, 8, 4), 1e-3, "fp32")

    def on_epoch(end: EpochEnd) -> None:
        if end.epoch - 1 == stop_after:
            raise KeyboardInterrupt

    data = registry.load(DataSpec(name="digits", share=0.1))
    recipe = Recipe(2, 2, Constant(lr=0.05), 32, 0.9, False, seed=1)
    with contextlib.suppress(KeyboardInterrupt):
        fit(objective, data, recipe, Workers(), on_epoch, [], keeper)
    return point_of(objective.model)


def test_resumed_run_shakes_the_same_way() -> None:
    """A run that was broken off and resumed ends with the weights of an unbroken one, to the last bit."""
    whole, keeper = train(Checkpoints()), Kept()
    train(keeper, stop_after=1)
    assert max(keeper.states) == Place(1)
    again = train(keeper)
    assert all(torch.equal(whole[name], again[name]) for name in whole)

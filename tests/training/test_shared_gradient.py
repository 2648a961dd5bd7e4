"""A curve's own step, which writes no gradients of its bends: the same as the optimiser's, to the last bit."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raysurf.data import registry
from raysurf.data.spec import DataSpec
from raysurf.training import fast
from raysurf.training.checkpoints import Checkpoints, Place, State
from raysurf.training.epoch import Recipe
from raysurf.training.fast import channels_last, flat_views, laid_out_like
from raysurf.training.loop import fit
from raysurf.training.objective import step_of
from raysurf.training.objectives.curve import CurveLoss
from raysurf.training.schedules import Constant
from raysurf.training.workers import Workers
from raysurf.weightspace.curve import bends_on_line
from raysurf.weightspace.point import point_of

NOTHING_IS_LARGE = 2**40


class Net(nn.Sequential):
    """Convolutions of several sizes channels last, and a layer that is never called."""

    def __init__(self) -> None:
        layers = [nn.Conv2d(1, 5, 3), nn.Tanh(), nn.Conv2d(5, 6, 3), nn.Tanh(), nn.Conv2d(6, 7, 1), nn.Flatten()]
        super().__init__(*layers, nn.Linear(112, 10))
        self.add_module("unused", nn.Linear(30, 30))

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in list(self)[:-1]:
            inputs = layer(inputs)
        return inputs


class Kept(Checkpoints):
    """Begins from a state, and keeps the newest."""

    def __init__(self, begin: tuple[Place, State] | None = None) -> None:
        self.begin = begin
        self.end: State = {}

    def load(self) -> tuple[Place, State] | None:
        return self.begin

    def save(self, place: Place, state: Callable[[], State], must: bool = False) -> None:
        self.end = {name: value.clone() for name, value in state().items()}


def objective(free: tuple[int, ...] = (1, 2), like_model: bool = True, **settings: object) -> CurveLoss:
    points = []
    for seed in range(3):
        torch.manual_seed(seed)
        net = Net()
        points.append(point_of(net))
    channels_last(net, (1, 8, 8))
    start, end = (laid_out_like(point, net) if like_model else point for point in points[:2])
    return CurveLoss(net, "bezier", [start, *bends_on_line(start, end, 2), end], free, 1e-2, "fp32", **settings)


def trained(
    chunk: int, patch: pytest.MonkeyPatch, epochs: int = 2, begin: tuple[Place, State] | None = None, **settings: object
) -> State:
    """The state at the end, with chunks of this size; settings of the recipe and of the objective."""
    patch.setattr(fast, "CHUNK", chunk)
    recipe = Recipe(
        epochs, 2, Constant(lr=0.05), 64, settings.pop("momentum", 0.9), settings.pop("nesterov", False), seed=0
    )
    keeper = Kept(begin)
    data = registry.load(DataSpec(name="digits", share=0.2))
    fit(objective(**settings), data, recipe, Workers(), lambda end: None, checkpoints=keeper)
    return keeper.end


def assert_same(got: State, expected: State) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(got[name], value), name


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"nesterov": True},
        {"momentum": 0.0},
        {"free": (0, 1, 2)},
        {"free": (1, 2, 3), "nesterov": True},
        {"like_model": False},
        {"strata": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("chunk", [16, 48])
def test_own_step_is_the_optimisers(chunk: int, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, momenta and losses are those of the optimiser's own step to the last bit, however memory is laid out."""
    expected = trained(NOTHING_IS_LARGE, monkeypatch, **settings)
    assert any(name.startswith("momentum_buffer/") for name in expected) == ("momentum" not in settings)
    assert not any(name.startswith("momentum_buffer/") and "unused" in name for name in expected)
    assert_same(trained(chunk, monkeypatch, **settings), expected)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(("before", "after"), [(16, 16), (NOTHING_IS_LARGE, 16), (16, NOTHING_IS_LARGE)])
def test_resumed_curve_takes_the_same_steps(
    before: int, after: int, nesterov: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off and resumed, with either step before and after, a curve ends as an unbroken one, to the last bit."""
    whole = trained(16, monkeypatch, nesterov=nesterov)
    half = trained(before, monkeypatch, epochs=1, nesterov=nesterov)
    assert_same(trained(after, monkeypatch, begin=(Place(1), half), nesterov=nesterov), whole)


@pytest.mark.parametrize(
    "settings", [{}, {"strata": 2}, {"workers": Workers(0, 2)}], ids=["alone", "strata", "workers"]
)
def test_own_step_is_for_one_gradient_only(settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Several strata or workers, and other optimisers, are left to the optimiser, with all their gradients."""
    monkeypatch.setattr(fast, "CHUNK", 16)
    loss = objective(**settings)
    tensors = list(loss.trainables.values())
    sgd = torch.optim.SGD(tensors, lr=0.1, momentum=0.9, fused=True)
    assert (step_of(loss, sgd) == sgd.step) == bool(settings)
    for other in (
        torch.optim.Adam(tensors),
        torch.optim.SGD(tensors, fused=False),
        torch.optim.SGD([{"params": tensors[:1]}, {"params": tensors[1:]}], fused=True),
    ):
        assert step_of(loss, other) == other.step
    inputs, labels = torch.randn(8, 1, 8, 8), torch.arange(8)
    loss.backward(inputs[loss.workers.share(8)], labels[loss.workers.share(8)], 8, random.Random(0))
    assert all((value.grad is None) == ("unused" in name) for name, value in loss.trainables.items())


def test_flat_views_go_together_element_by_element() -> None:
    """Tensors of one dense layout are seen as vectors; those of two layouts, or with gaps, are not."""
    first, last = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    for tensor in (first, last, first.transpose(0, 3), torch.randn(5, 1, 1, 1), torch.tensor(1.0)):
        views = flat_views([tensor, tensor + 1])
        assert views is not None
        assert torch.equal(views[0] + 1, views[1])
        assert views[0].shape == (tensor.numel(),)
        assert views[0].data_ptr() == tensor.data_ptr()
    assert flat_views([first, last]) is None
    assert flat_views([last, first]) is None
    assert flat_views([first[:, :2]]) is None

"""The curve's objective: any network, free ends, strata, and no memory that grows."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from raysurf.data import registry
from raysurf.data.dataset import Dataset, RawSet, assemble
from raysurf.data.spec import DataSpec
from raysurf.errors import PointMismatchError
from raysurf.training import fast
from raysurf.training.epoch import Recipe
from raysurf.training.loop import fit
from raysurf.training.objectives.curve import CurveLoss
from raysurf.training.schedules import Constant
from raysurf.training.workers import Workers
from raysurf.weightspace import curve
from raysurf.weightspace.curve import bends_on_line, evaluate
from raysurf.weightspace.point import Point, combine, distance, place, point_of
from tests.support.cases import NETWORKS, group_norm, residual, transformer

IMAGES, CLASSES = (1, 8, 8), 10
ANY = {"residual": residual, "transformer": transformer, "group_norm": group_norm}


def ends(build: Callable[[], nn.Module]) -> tuple[nn.Module, Point, Point]:
    """A network and two points of it."""
    points = []
    for seed in range(2):
        torch.manual_seed(seed)
        points.append(point_of(build()))
    return build(), points[0], points[1]


def batch(count: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(count, *IMAGES, dtype=dtype), torch.randint(0, CLASSES, (count,))


def reference(
    net: nn.Module, shape: str, points: list[Point], free: int, t: float, inputs: torch.Tensor, labels: torch.Tensor
) -> Point:
    """The gradient of CE(phi(t)) + 0.005 |phi(t)|^2 with respect to one control point, by torch.func."""
    variable = {name: value.clone().requires_grad_() for name, value in points[free].items()}
    c = curve.coefficients(shape, len(points) - 2, t)
    mixed = [variable if i == free else point for i, point in enumerate(points)]
    phi = {k: sum(weight * point[k] for weight, point in zip(c, mixed, strict=True)) for k in variable}
    loss = F.cross_entropy(torch.func.functional_call(net, phi, (inputs,)), labels)
    loss = loss + 0.005 * torch.stack([torch.as_tensor(v).square().sum() for v in phi.values()]).sum()
    gradients = torch.autograd.grad(loss, list(variable.values()), allow_unused=True)
    return {k: torch.zeros_like(points[free][k]) if g is None else g for k, g in zip(variable, gradients, strict=True)}


@pytest.mark.parametrize("shape", curve.SHAPES)
@pytest.mark.parametrize("free", [(1, 2), (0, 1, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("name", ["plain", "transformer"])
def test_gradients_are_those_of_the_sum(name: str, free: tuple[int, ...], shape: str) -> None:
    """Every free control point, ends included, has the gradient of the loss written out, in float64."""
    build = NETWORKS["plain"] if name == "plain" else lambda: transformer(CLASSES, IMAGES)
    net, start, end = ends(lambda: build().double())
    points = [start, *bends_on_line(start, end, 2), end]
    inputs, labels = batch(12)
    CurveLoss(net, shape, points, free, 0.01, "fp32").backward(inputs, labels, 12, random.Random(5))
    t = random.Random(5).random()
    for i, point in enumerate(points):
        if i not in free:
            assert all(value.grad is None for value in point.values())
            continue
        for k, expected in reference(net, shape, points, i, t, inputs, labels).items():
            got = point[k].grad
            assert got is not None
            assert torch.allclose(got, expected, rtol=1e-6, atol=1e-9), k


@pytest.mark.parametrize("size", [1, 2, 3])
def test_strata_are_the_same_on_any_number_of_workers(size: int) -> None:
    """Three strata give one gradient, however many workers share the batch: each part's at its own t."""
    inputs, labels = batch(13)
    totals: dict[str, torch.Tensor] = {}
    for rank in range(size):
        net, start, end = ends(lambda: NETWORKS["plain"]().double())
        points = [start, *bends_on_line(start, end, 1), end]
        workers = Workers(rank, size)
        part = workers.share(13)
        objective = CurveLoss(net, "bezier", points, (1,), 0.01, "fp32", workers, strata=3)
        objective.backward(inputs[part], labels[part], 13, random.Random(5))
        for k, value in points[1].items():
            assert value.grad is not None
            totals[k] = totals.get(k, torch.zeros_like(value)) + value.grad
    draw = random.Random(5)
    ts = [(s + draw.random()) / 3 for s in range(3)]
    assert [int(3 * t) for t in ts] == [0, 1, 2]
    expected = {k: torch.zeros_like(v) for k, v in totals.items()}
    for s, t in enumerate(ts):
        part = Workers(s, 3).share(13)
        gradients = reference(net, "bezier", points, 1, t, inputs[part], labels[part])
        for k, value in gradients.items():
            expected[k] += value * (part.stop - part.start) / 13
    for k, value in expected.items():
        assert torch.allclose(totals[k], value, rtol=1e-6, atol=1e-9)


def test_few_examples_have_fewer_strata() -> None:
    """Five examples of four strata are two parts of two and three, so that batch norm can be trained on each."""
    net, start, end = ends(NETWORKS["plain"])
    seen: list[int] = []
    net.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    points = [start, *bends_on_line(start, end, 1), end]
    inputs, labels = batch(5)
    CurveLoss(net, "bezier", points, (1,), 0.0, "fp32", strata=4).backward(inputs.float(), labels, 5, random.Random(5))
    assert seen == [2, 3]


def small_digits() -> Dataset:
    return registry.load(DataSpec(name="digits", share=0.15))


def recipe(epochs: int, lr: float = 0.02) -> Recipe:
    return Recipe(epochs, epochs, Constant(lr=lr), 64, 0.9, False, seed=0)


@pytest.mark.parametrize("name", ANY)
def test_any_network_can_be_joined(name: str) -> None:
    """A curve through a torchvision ResNet, a transformer and a group-norm net trains, and its ends stay."""
    net, start, end = ends(lambda: ANY[name](CLASSES, IMAGES))
    points = [start, *bends_on_line(start, end, 1), end]
    before = [{k: v.clone() for k, v in point.items()} for point in points]
    losses: list[float] = []
    objective = CurveLoss(net, "bezier", points, (1,), 1e-4, "fp32")
    fit(objective, small_digits(), recipe(3), Workers(), lambda done: losses.append(done.train_nll))
    assert losses[-1] < losses[0]
    assert distance(points[0], before[0]) == distance(points[2], before[2]) == 0
    assert distance(points[1], before[1]) > 0
    place(net, evaluate("bezier", points, 1.0))
    assert all(torch.equal(value, end[k]) for k, value in point_of(net).items())


def test_bend_of_a_segment_is_the_segment() -> None:
    """A curve of one bend on the line goes through the points of that line, at every t."""
    _, start, end = ends(lambda: NETWORKS["plain"]().double())
    for t in (0.2, 0.5, 0.9):
        for shape in curve.SHAPES:
            on_curve = evaluate(shape, [start, *bends_on_line(start, end, 1), end], t)
            assert distance(on_curve, combine([start, end], [1 - t, t])) < 1e-12


def test_bends_may_begin_elsewhere() -> None:
    """Bends begin on the chain through a given point; a lone bend is that point."""
    start, end, via = ({"w": torch.tensor([x, y])} for x, y in ((0.0, 0.0), (4.0, 0.0), (2.0, 2.0)))
    assert torch.equal(bends_on_line(start, end, 1, via)[0]["w"], via["w"])
    placed = torch.stack([bend["w"] for bend in bends_on_line(start, end, 3, via)])
    assert torch.equal(placed, torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 1.0]]))


@pytest.fixture
def others_objects_aside() -> Iterator[None]:
    """What is there already is no garbage and not counted, so that counting takes no time of other tests' objects."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def live_bytes() -> int:
    gc.collect()
    storages = {}
    for tensor in gc.get_objects():
        if type(tensor) in (torch.Tensor, nn.Parameter):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            if tensor.grad is not None:
                storages[tensor.grad.untyped_storage().data_ptr()] = tensor.grad.untyped_storage().nbytes()
    return sum(storages.values())


@pytest.mark.usefixtures("others_objects_aside")
@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("num_bends", [1, 3])
def test_memory_is_that_of_the_bends(num_bends: int, is_large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond network and ends a curve keeps its bends, a momentum and (if small) a gradient each, and no more."""
    monkeypatch.setattr(fast, "CHUNK", 2**12 if is_large else 2**40)
    torch.manual_seed(0)
    raw = torch.randint(0, 255, (64, 1, 8, 8), dtype=torch.uint8).numpy()
    labels = torch.randint(0, 10, (64,)).numpy()
    made = assemble(DataSpec(name="made", validation=0), RawSet(raw, labels, raw, labels, 10, 0), "cpu")

    def build() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))

    net, start, end = ends(build)
    size = 4 * sum(value.numel() for value in start.values())
    points = [start, *bends_on_line(start, end, num_bends), end]
    objective = CurveLoss(net, "bezier", points, range(1, num_bends + 1), 1e-4, "fp32")
    before, seen = live_bytes(), list[int]()
    fit(objective, made, recipe(8), Workers(), lambda done: seen.append(live_bytes()))
    # A momentum and perhaps a gradient a bend, and the network's own gradient.
    assert seen[-1] - before <= ((1 if is_large else 2) * num_bends + 1) * size + 64_000
    assert seen[-1] <= seen[1] + 1_000


def test_other_networks_are_refused() -> None:
    """Control points of another network are told by name before a step is taken."""
    net, start, end = ends(NETWORKS["plain"])
    other = point_of(NETWORKS["batchnorm"]())
    with pytest.raises(PointMismatchError, match="missing names"):
        CurveLoss(net, "bezier", [start, other, end], (1,), 0.0, "fp32")

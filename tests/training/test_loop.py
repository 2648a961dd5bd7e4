"""The one loop: exact steps, exact resuming, and the gradients of its objectives."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from raysurf.data import registry
from raysurf.data.spec import DataSpec
from raysurf.errors import DivergedError
from raysurf.training.checkpoints import Checkpoints, Place
from raysurf.training.epoch import Recipe, shuffled
from raysurf.training.loop import EpochEnd, fit
from raysurf.training.objective import CrossEntropy, CycleAverage
from raysurf.training.objectives.band import BandLoss
from raysurf.training.schedules import Constant, Cycles, num_batches
from raysurf.training.workers import Workers
from raysurf.weightspace import band
from raysurf.weightspace.average import RunningAverage
from raysurf.weightspace.point import Point, distance, point_of
from tests.support.cases import NETWORKS
from tests.support.training import Kept, data, network, recipe


class Breaking(CrossEntropy):
    """Breaks off before a step of this sitting, counted from 0."""

    breaks_at: int | None = None

    def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
        if self.breaks_at == 0:
            raise KeyboardInterrupt
        self.breaks_at = None if self.breaks_at is None else self.breaks_at - 1
        return super().backward(inputs, labels, num_examples, draw)


def train(keeper: Checkpoints, breaks_at: int | None = None) -> tuple[Point, Point, list[EpochEnd]]:
    """Weights, their average and the ends of epochs of four epochs, or of so many steps."""
    objective = Breaking(network(), 1e-3, "fp32")
    objective.breaks_at = breaks_at
    average, ends = RunningAverage(), list[EpochEnd]()
    collector = CycleAverage(Cycles(recipe().cycle_steps(200)), average)
    with contextlib.suppress(KeyboardInterrupt):
        fit(objective, data(), recipe(), Workers(), ends.append, [collector], keeper)
    return point_of(objective.model), average.average or {}, ends


def test_run_broken_off_at_any_step_is_the_unbroken_one() -> None:
    """Before each of its steps in turn, to the last bit: every sitting goes on from the epoch's beginning."""
    whole, mean, ends = train(Checkpoints())
    per_epoch = recipe().steps_per_epoch(200)
    for step in range(4 * per_epoch):
        keeper, epochs = Kept(), step // per_epoch
        train(keeper, breaks_at=step)
        assert max(keeper.states, default=Place(0)) == Place(epochs)
        again, again_mean, again_ends = train(keeper)
        assert [(end.epoch, end.train_nll, end.train_error, end.lr) for end in again_ends] == [
            (end.epoch, end.train_nll, end.train_error, end.lr) for end in ends[epochs:]
        ]
        for name in whole:
            assert torch.equal(whole[name], again[name])
            assert torch.equal(mean[name], again_mean[name])


def test_steps_are_those_of_torch() -> None:
    """One epoch equals the loop that everyone writes, with torch's own SGD, on the same batches."""
    ours, reference = NETWORKS["plain"](), NETWORKS["plain"]()
    reference.load_state_dict(ours.state_dict())
    plain = registry.load(DataSpec(name="digits", share=0.2))
    seen: list[torch.Tensor] = []

    class Watched(CrossEntropy):
        def backward(self, inputs: Tensor, labels: Tensor, num_examples: int, draw: random.Random) -> Tensor:
            seen.append(inputs.clone())
            return super().backward(inputs, labels, num_examples, draw)

    steps = Recipe(1, 1, Constant(lr=0.1), 64, 0.9, False, seed=0)
    fit(Watched(ours, 1e-3, "fp32"), plain, steps, Workers(), lambda end: None)
    optimiser = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    table = {
        tuple(x.flatten().tolist()): y
        for x, y in zip(plain.normalise(plain.train.images), plain.train.labels, strict=True)
    }
    assert sum(map(len, seen)) == 200
    for inputs in seen:
        labels = torch.stack([table[tuple(x.flatten().tolist())] for x in inputs])
        optimiser.zero_grad()
        F.cross_entropy(reference(inputs), labels).backward()
        optimiser.step()
    assert distance(point_of(ours), point_of(reference)) < 1e-5


def test_band_gradient_is_that_of_the_sum() -> None:
    """An interior point's gradient is that of CE + decay/2 |point|^2 but for its part along the band, in float64."""
    torch.manual_seed(0)
    net = NETWORKS["plain"]().double()
    points = [point_of(NETWORKS["plain"]().double()) for _ in range(3)]
    inputs, labels = torch.randn(12, 1, 8, 8, dtype=torch.float64), torch.randint(0, 10, (12,))
    BandLoss(net, points, 0.01, None, "fp32").backward(inputs, labels, 12, random.Random(5))
    variables = [{name: value.clone().requires_grad_() for name, value in point.items()} for point in points]
    losses = [
        F.cross_entropy(torch.func.functional_call(net, variable, (inputs,)), labels)
        + 0.005 * sum(value.square().sum() for value in variable.values())
        for variable in variables
    ]
    middle = dict(zip(points[1], torch.autograd.grad(losses[1], list(variables[1].values())), strict=True))
    band.nudge(points, [middle], [loss.item() for loss in losses])
    for name, gradient in middle.items():
        assert torch.allclose(points[1][name].grad, gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("first_step", "cycle", "expected"), [(0, 2, [2, 4, 6]), (3, 2, [5]), (0, 3, [3, 6])])
def test_members_are_taken_at_the_end_of_cycles(first_step: int, cycle: int, expected: list[int]) -> None:
    """The average is the mean of the weights at exactly these steps."""
    net = nn.Linear(1, 1, bias=False)
    objective = CrossEntropy(net, 0.0, "fp32")
    collector = CycleAverage(Cycles(cycle, first_step), RunningAverage())
    for step in range(1, 7):
        nn.init.constant_(net.weight, float(step))
        collector.after_step(step, objective)
    assert collector.average.count == len(expected)
    assert collector.average.average is not None
    assert collector.average.average["weight"].item() == pytest.approx(sum(expected) / len(expected))


def test_diverged_run_says_when() -> None:
    """A loss that leaves the finite numbers stops the run, with the epoch and the last finite loss."""
    objective = CrossEntropy(NETWORKS["plain"](), 0.0, "fp32")
    with pytest.raises(DivergedError, match=r"not finite at epoch \d, step \d+; it"):
        fit(objective, data(), recipe(lr=1e37), Workers(), lambda end: None)


@pytest.mark.parametrize(("examples", "steps"), [(128, 2), (130, 2), (136, 3), (64, 1), (5, 1)])
def test_small_remainder_joins_the_batch_before(examples: int, steps: int) -> None:
    """A remainder below an eighth of a batch makes no batch of its own."""
    assert recipe().steps_per_epoch(examples) == steps


class Norm(nn.Module):
    """Batch norm of single values, which torch refuses to train on one example."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.norm, self.head = nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.norm(self.dense(images.flatten(1))).relu())
        return logits


@pytest.mark.parametrize("size", [2, 3, 8])
def test_no_batch_has_one_example(size: int) -> None:
    """Batch norm of single values is trained on any number of examples in any batches, each of them once."""
    for count in range(2, 4 * size):
        parts = shuffled(count, size, torch.Generator(), torch.device("cpu"))
        assert len(parts) == num_batches(count, size) and min(map(len, parts)) >= 2
        assert sorted(torch.cat(parts).tolist()) == list(range(count))
    whole, end = data(), list[EpochEnd]()
    train: Any = whole.train
    train = dataclasses.replace(train, images=train.images[:65], labels=train.labels[:65])
    some = dataclasses.replace(whole, train=train)
    short = dataclasses.replace(recipe(), epochs=1, batch_size=size)
    fit(CrossEntropy(Norm(), 0.0, "fp32"), some, short, Workers(), end.append)
    assert len(end) == 1


@given(count=st.integers(0, 200), size=st.integers(1, 9))
def test_no_worker_has_one_example_of_several(count: int, size: int) -> None:
    """Parts are disjoint, cover all, and have none or two and more; with enough examples they are as even as can be."""
    parts = [range(count)[Workers(rank, size).share(count)] for rank in range(size)]
    assert [number for part in parts for number in part] == list(range(count))
    assert count == 1 or all(len(part) != 1 for part in parts)
    if count >= 2 * size:
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_worker_without_examples_takes_part() -> None:
    """Its gradients are zero, and its batch-norm statistics stay numbers."""
    net = Norm()
    CrossEntropy(net, 0.0, "fp32").backward(
        torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64), 2, random.Random(0)
    )
    assert all(value.grad is not None and not value.grad.any() for value in net.parameters())
    assert all(bool(buffer.isfinite().all()) for buffer in net.buffers())

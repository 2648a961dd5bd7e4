"""Consistency training: its batches, gradient, ramp-up and teacher."""

from __future__ import annotations

import copy
import math
import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from raysurf.data import registry
from raysurf.data.dataset import Dataset, labelled_part
from raysurf.data.spec import DataSpec
from raysurf.errors import DataError
from raysurf.training.epoch import Recipe, TwoStreams
from raysurf.training.evaluation import evaluate
from raysurf.training.loop import EpochEnd, fit
from raysurf.training.objective import CrossEntropy
from raysurf.training.objectives.consistency import ConsistencyLoss, TeacherAverage, ramp_up
from raysurf.training.objectives.spec import Consistency
from raysurf.training.schedules import Constant
from raysurf.training.workers import Workers
from tests.support.cases import NETWORKS


def data(labelled: int = 40) -> Dataset:
    return registry.load(DataSpec(name="digits", share=0.2, labelled=labelled))


def streams(data: Dataset, batch_size: int = 60, labelled_batch: int = 20) -> TwoStreams:
    known = data.train.labels >= 0
    return TwoStreams(known.nonzero().flatten(), (~known).nonzero().flatten(), batch_size, labelled_batch)


def test_labels_are_kept_by_class() -> None:
    """So many examples keep their label, four of each class; they are those that ``share`` keeps; images stay."""
    digits, whole = data(), registry.load(DataSpec(name="digits", share=0.2))
    known = digits.train.labels >= 0
    assert torch.equal(digits.train.images, whole.train.images)
    assert torch.equal(digits.train.labels[known], whole.train.labels[known])
    assert digits.train.labels[known].bincount().tolist() == [4] * 10
    assert digits.fingerprint != whole.fingerprint
    few, hundred = (registry.load(DataSpec(name="digits", **change)) for change in ({"share": 0.1}, {"labelled": 100}))
    assert torch.equal(labelled_part(hundred.train).images, few.train.images)
    assert torch.equal(labelled_part(hundred.train).labels, few.train.labels)
    with pytest.raises(DataError, match=r"labelled: 200.*fewer than its 200 training examples"):
        data(labelled=200)


@pytest.mark.parametrize(("batch_size", "labelled_batch", "sizes"), [(60, 20, [60] * 4), (70, 7, [70, 70, 41])])
def test_batches_have_two_streams(batch_size: int, labelled_batch: int, sizes: list[int]) -> None:
    """Every batch has its labelled examples, every unlabelled example comes once, and labelled ones equally often."""
    two_streams = streams(data(), batch_size, labelled_batch)
    batches = two_streams.epoch(torch.Generator().manual_seed(0), torch.device("cpu"))
    assert [len(batch) for batch in batches] == sizes
    assert len(batches) == two_streams.steps
    unlabelled = set(two_streams.unlabelled.tolist())
    assert all(sum(i not in unlabelled for i in batch.tolist()) == labelled_batch for batch in batches)
    everything = torch.cat(batches).tolist()
    assert sorted(i for i in everything if i in unlabelled) == sorted(unlabelled)
    counts = [everything.count(i) for i in two_streams.labelled.tolist()]
    assert max(counts) - min(counts) <= 1
    other = two_streams.epoch(torch.Generator().manual_seed(1), torch.device("cpu"))
    assert not torch.equal(torch.cat(batches), torch.cat(other))


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("method", ["pi", "mean_teacher"])
def test_gradient_is_the_formula(method: str, parts: int) -> None:
    """The gradient is that of (CE of the labelled + w |p - p'|^2 / classes) / B in float64; workers' parts add up."""
    torch.manual_seed(0)
    net = NETWORKS["plain"]().double()
    teacher = copy.deepcopy(net)
    first, second = torch.randn(2, 12, 1, 8, 8, dtype=torch.float64)
    labels = torch.randint(0, 10, (12,))
    labels[[1, 2, 4, 6, 7, 8, 10, 11]] = -1
    objective = ConsistencyLoss(net, Consistency(method=method, labelled_batch=4), 0.0, "fp32", 5, epochs_before=3)
    if method == "mean_teacher":
        for value in (*teacher.parameters(), *objective.teacher.parameters()):
            value.data.mul_(0.9)
    sums = torch.zeros(2, dtype=torch.float64)
    for own, other, known in zip(first.chunk(parts), second.chunk(parts), labels.chunk(parts), strict=True):
        sums += objective.backward(torch.cat([own, other]), known.repeat(2), 12, random.Random(0))
    got = [value.grad for value in net.parameters()]
    known = labels >= 0
    logits, target = net(first), teacher(second).softmax(1).detach()
    nll = -logits.log_softmax(1)[known].gather(1, labels[known][:, None]).sum()
    weight = 100.0 * math.exp(-5 * (1 - 3 / 5) ** 2)
    loss = nll / 12 + weight * (logits.softmax(1) - target).square().sum() / 10 / 12
    for gradient, expected in zip(got, torch.autograd.grad(loss, list(net.parameters())), strict=True):
        assert gradient is not None
        assert torch.allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    wrong = (logits.argmax(1) != labels)[known].sum()
    assert torch.allclose(sums / 12, torch.stack([nll.detach(), wrong.double()]) / 4)


def test_ramp_up() -> None:
    """exp(-5) at first, 1 at the end and after it, and at once if it has no length."""
    assert [ramp_up(epoch, 5) for epoch in (0, 2, 5, 9)] == pytest.approx([math.exp(-5), math.exp(-1.8), 1.0, 1.0])
    assert ramp_up(0, 0) == 1.0
    objective = ConsistencyLoss(NETWORKS["plain"](), Consistency(labelled_batch=4), 0.0, "fp32", 3)
    rising = objective.collectors[0]
    weights = []
    for step in range(1, 7):
        rising.after_step(step, objective)
        weights.append(objective.weight)
    low, mid, high = (100 * ramp_up(epoch, 5) for epoch in (0, 1, 2))
    assert weights == [low, low, mid, mid, mid, high]


@pytest.mark.parametrize(
    ("decay", "before", "expected"),
    [
        (0.97, 0, [1 / 2 * 2, 2 / 3 * 1 + 1 / 3 * 3, 3 / 4 * 5 / 3 + 1 / 4 * 4]),
        (0.5, 0, [1.0, 2.0, 3.0]),
        (0.75, 99, [0.5, 1.125, 1.84375]),
    ],
)
def test_teacher_is_an_exponential_average(decay: float, before: int, expected: list[float]) -> None:
    """By hand, from 0 with weights 2, 3, 4: a = 1/2, 2/3, 3/4, never above the decay, where it is after many steps."""
    student, teacher = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(teacher.weight)
    collector, weights = TeacherAverage(teacher, decay, before), []
    for step, value in enumerate((2.0, 3.0, 4.0), start=1):
        nn.init.constant_(student.weight, value)
        collector.after_step(step, CrossEntropy(student, 0.0, "fp32"))
        weights.append(teacher.weight.item())
    assert weights == pytest.approx(expected)


def test_training_metrics_are_means_over_the_labelled() -> None:
    """At a rate of almost nothing an epoch's nll and error are those of the labelled examples."""
    digits, net, ends = data(), NETWORKS["plain"](), list[EpochEnd]()
    steps = Recipe(1, 1, Constant(lr=1e-12), 60, 0.0, False, seed=0, streams=streams(digits))
    objective = ConsistencyLoss(net, Consistency(labelled_batch=20), 0.0, "fp32", 4)
    fit(objective, digits, steps, Workers(), ends.append)
    expected = evaluate(net, digits, labelled_part(digits.train), Workers())
    assert ends[0].train_nll == pytest.approx(expected.nll, rel=1e-5)
    assert ends[0].train_error == pytest.approx(expected.error)


def test_views_are_augmented_apart() -> None:
    """The two views of an image are different crops of it."""
    seen = []

    class Watched(ConsistencyLoss):
        def backward(
            self, inputs: torch.Tensor, labels: torch.Tensor, num_examples: int, draw: random.Random
        ) -> torch.Tensor:
            seen.append((inputs.chunk(2), labels.chunk(2), num_examples))
            return super().backward(inputs, labels, num_examples, draw)

    digits = registry.load(DataSpec(name="digits", share=0.2, labelled=40, augment="crop_flip"))
    steps = Recipe(1, 1, Constant(lr=0.01), 60, 0.0, False, seed=0, streams=streams(digits))
    objective = Watched(NETWORKS["plain"](), Consistency(labelled_batch=20), 0.0, "fp32", 4)
    fit(objective, digits, steps, Workers(), lambda end: None)
    for (first, second), (labels, again), count in seen:
        assert len(first) == count == 60
        assert torch.equal(labels, again)
        assert (first != second).flatten(1).any(1).float().mean() > 0.9
    assert (
        F.one_hot(torch.tensor([int((labels >= 0).sum()) for _, (labels, _), _ in seen]) // 20).tolist() == [[0, 1]] * 4
    )

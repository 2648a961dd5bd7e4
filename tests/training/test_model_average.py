"""Averages of any script's iterates: exact, in fp32 at least, resumable, and clear about batch norm."""

from __future__ import annotations

import copy
import io
from contextlib import suppress
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

import raysurf as rs
from raysurf.errors import AverageError, PointMismatchError
from raysurf.weightspace.point import buffers_of, point_of
from tests.support.cases import NETWORKS

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


@torch.no_grad()
def wander(model: nn.Module, seed: int, size: float = 1.0) -> None:
    """Move a model to a new iterate."""
    g = torch.Generator().manual_seed(seed)
    for value in model.parameters():
        value.add_(size * torch.randn(value.shape, generator=g))


def network(name: str = "batchnorm") -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name]()


def batches(*sizes: int) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return [torch.randn(size, 1, 8, 8, generator=g) for size in sizes]


def largest_error(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


@given(
    count=st.integers(1, 40),
    include_start=st.booleans(),
    size=st.sampled_from([1e-3, 1.0, 100.0]),
    dtype=st.sampled_from(DTYPES),
    device=st.sampled_from([None, "cpu"]),
)
@settings(deadline=None, max_examples=40)
def test_average_is_the_mean_in_float64(
    count: int, include_start: bool, size: float, dtype: torch.dtype, device: str | None
) -> None:
    """Whatever a model's dtype, its average is the float64 mean of the collected weights to fp32's precision."""
    model = nn.Linear(5, 3).to(dtype)
    wander(model, 99, size)
    average = rs.Average(model, include_start=include_start, device=device)
    members = [point_of(model)] if include_start else []
    for seed in range(count):
        wander(model, seed, size)
        average.update()
        members.append(point_of(model))
    mean = {name: torch.stack([m[name].double() for m in members]).mean(0) for name in members[0]}
    largest = max(float(m[name].abs().max()) for m in members for name in m)
    assert average.count == len(members)
    assert all(value.dtype == torch.promote_types(dtype, torch.float32) for value in average.point.values())
    assert largest_error(average.point, mean) <= 1e-6 * largest


def test_average_equals_torchs() -> None:
    """For the same iterates of a trained network, weights and re-estimated statistics are those of torch's own."""
    model = network()
    theirs, ours = AveragedModel(model), rs.Average(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for step, images in enumerate(batches(*[16] * 12)):
        optimiser.zero_grad()
        F.cross_entropy(model(images), torch.arange(16) % 10).backward()
        optimiser.step()
        if step % 3 == 2:
            theirs.update_parameters(model)
            ours.update()
    assert largest_error(ours.point, point_of(theirs.module)) < 1e-6
    update_bn(batches(32, 32), theirs)
    with ours.applied(batches(32, 32)) as averaged:
        assert largest_error(buffers_of(averaged), buffers_of(theirs.module)) < 1e-6
        images = batches(8)[0]
        assert torch.allclose(averaged.eval()(images), theirs.eval()(images), atol=1e-5)


def test_low_precision_iterates_do_not_stall_the_mean() -> None:
    """Steps below bfloat16's resolution still move the average, where a mean kept in bfloat16 would round them off."""
    model = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    average, rounded = rs.Average(model), torch.zeros(1, dtype=torch.bfloat16)
    for i in range(300):
        nn.init.constant_(model.weight, 1.0 + (i % 2) / 128)
        average.update()
        rounded += (model.weight.detach().flatten() - rounded) / (i + 1)
    assert float(average.point["weight"]) == pytest.approx(1 + 1 / 256, abs=1e-6)
    assert float(rounded) != pytest.approx(1 + 1 / 256, abs=1e-4)


@pytest.mark.parametrize("stop_after", [0, 1, 4])
def test_resumed_average_is_the_same(stop_after: int) -> None:
    """An average that was saved to a file and loaded goes on to the same mean, to the last bit."""

    def run(stop_after: int | None) -> dict[str, torch.Tensor]:
        model = network()
        average = rs.Average(model)
        for i in range(6):
            if i == stop_after:
                file = io.BytesIO()
                torch.save(average.state_dict(), file)
                file.seek(0)
                average = rs.Average(model).load_state_dict(torch.load(file, weights_only=True))
                assert average.count == i
            wander(model, i)
            average.update()
        return average.point

    whole, again = run(None), run(stop_after)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_applied_is_for_a_while() -> None:
    """Inside ``with`` the model is its average; after it, even an error, it is as before in everything."""
    model = network().train()
    model[2].eval()
    average = rs.Average(model, include_start=True)
    wander(model, 0)
    average.update()
    model(batches(8)[0])
    point, buffers = point_of(model), buffers_of(model)
    with suppress(KeyboardInterrupt), average.applied(batches(8, 3)):
        assert largest_error(point_of(model), average.point) < 1e-6
        assert largest_error(buffers_of(model), buffers) > 1e-3
        assert model.training and model[1].training and not model[2].training
        raise KeyboardInterrupt
    assert largest_error(point_of(model), point) == 0
    assert largest_error(buffers_of(model), buffers) == 0


def test_statistics_are_weighted_by_examples() -> None:
    """Batches of unequal sizes, with or without labels, count by their examples, and dropout stays off."""
    model = nn.Sequential(nn.Dropout(0.5), network())
    average = rs.Average(model, include_start=True)
    unequal = batches(20, 5)
    average.apply_to(model, ((images, torch.zeros(len(images))) for images in unequal))
    conv, norm = model[1][0], model[1][1]
    with torch.no_grad():
        means = [conv(images).double().mean(dim=(0, 2, 3)) for images in unequal]
    assert torch.allclose(norm.running_mean.double(), (20 * means[0] + 5 * means[1]) / 25, atol=1e-6)
    assert norm.momentum == 0.1 and norm.training


def test_average_moves_to_another_model() -> None:
    """An fp32 average of a bf16 model goes into a float64 one without loss."""
    model = network("plain").to(torch.bfloat16)
    average = rs.Average(model)
    for seed in range(3):
        wander(model, seed)
        average.update()
    other = network("plain").double()
    average.apply_to(other)
    assert largest_error(point_of(other), average.point) == 0


class Scaled(nn.Module):
    """A layer with a running scale of its own, behind a spectral norm, and a count of its steps."""

    scale: torch.Tensor
    steps: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.scale.mul_(0.9).add_(x.detach().square().mean(), alpha=0.1)
            self.steps.add_(1)
        y: torch.Tensor = self.dense(x) / self.scale
        return y


@pytest.mark.parametrize("buffers", ["last", "average"])
def test_other_buffers_reach_the_average(buffers: Literal["last", "average"]) -> None:
    """They are the averaged model's present ones, or torch's mean; spectral norms have the norm of the average."""
    torch.manual_seed(0)
    model, other = Scaled(), Scaled()
    average, theirs = rs.Average(model, buffers=buffers), AveragedModel(model, use_buffers=True)
    for seed in range(4):
        wander(model, seed)
        model(torch.randn(8, 6))
        average.update()
        theirs.update_parameters(model)
        average = rs.Average(model, buffers=buffers).load_state_dict(copy.deepcopy(average.state_dict()))
    average.apply_to(other)
    expected = model.scale if buffers == "last" else theirs.module.scale
    assert torch.allclose(other.scale, expected) and other.steps == 4
    norms: Any = other.dense.parametrizations
    weight = norms.weight.original.detach()
    sigma = norms.weight[0]._u @ weight @ norms.weight[0]._v
    assert float(sigma) == pytest.approx(float(torch.linalg.matrix_norm(weight, 2)), rel=1e-4)
    assert all(module.training for module in other.modules())


def test_any_batch_can_be_passed() -> None:
    """Batches that are dicts go through ``call``, and give the statistics of the same tensors by themselves."""
    model, plain, called = network(), network(), network()
    average = rs.Average(model, include_start=True)
    average.apply_to(plain, batches(20, 5))
    dicts = [{"image": images, "label": torch.zeros(len(images))} for images in batches(20, 5)]
    with pytest.raises(AverageError, match="a batch that is a dict; expected a tensor, or call"):
        average.apply_to(called, dicts)
    average.apply_to(called, dicts, call=lambda model, batch: model(batch["image"]))
    assert largest_error(buffers_of(called), buffers_of(plain)) == 0


def test_mistakes_are_named() -> None:
    """Nothing averaged, batch norm without batches, and a model of another shape are refused."""
    model = network()
    average = rs.Average(model)
    with pytest.raises(AverageError, match="no members; expected update"):
        average.apply_to(model, "fixed")
    average.update()
    before = buffers_of(model)
    with pytest.raises(AverageError, match=r'no batches.*or "fixed"'):
        average.apply_to(model)
    with pytest.raises(AverageError, match="an empty iterable"):
        average.apply_to(model, [])
    with pytest.raises(AverageError, match=r"batches 'Fixed'.*or \"fixed\""):
        average.apply_to(model, "Fixed")  # type: ignore[arg-type]
    with pytest.raises(AverageError, match=r'buffers .mean.; expected "last" or "average"'):
        rs.Average(model, buffers="mean")  # type: ignore[arg-type]
    average.apply_to(model, "fixed")
    assert largest_error(buffers_of(model), before) == 0
    with pytest.raises(PointMismatchError, match="extra names"):
        average.apply_to(network("plain"))
    with pytest.raises(PointMismatchError, match="missing names"):
        rs.Average(network("plain")).load_state_dict(average.state_dict())

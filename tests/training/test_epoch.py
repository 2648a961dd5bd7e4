"""Epochs that are gone on with in their middle."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from raysurf.data import registry
from raysurf.data.dataset import AugmentSeeds
from raysurf.data.spec import DataSpec
from raysurf.errors import DivergedError
from raysurf.training.epoch import Epoch, Recipe
from raysurf.training.schedules import Constant
from raysurf.training.workers import Workers

STEPS = 7


def epoch(workers: Workers | None = None) -> Epoch:
    """The fifth pass over 200 digits."""
    data = registry.load(DataSpec(name="digits", share=0.2, augment="crop_flip"))
    return Epoch(4, Recipe(9, 9, Constant(lr=0.1), 32, 0.9, False, seed=0), data, workers or Workers(), 1)


def passed(epoch: Epoch, steps: int = STEPS, diverges_at: int | None = None) -> list[Tensor]:
    """Take steps whose nll is random; gives all images and random numbers that they saw."""
    seen = []
    for images, _, _ in itertools.islice(epoch.batches(), steps):
        noise = torch.rand(2, dtype=torch.float64) + epoch.draw.random()
        epoch.add(noise * (math.inf if epoch.steps_done == diverges_at else 1.0))
        seen += [images, noise]
    return seen


@pytest.mark.parametrize("steps", range(STEPS + 1))
def test_rest_of_an_epoch_is_as_ever(steps: int) -> None:
    """Batches, augmentation, draws and means are those of an epoch that was not broken off, after whatever step."""
    whole = epoch()
    seen, means = passed(whole), whole.means(1.0)
    first = epoch()
    begun = passed(first, steps)
    state, again = first.state(), epoch()
    torch.manual_seed(99)
    again.load(state, steps)
    both = [*begun, *passed(again)]
    assert len(both) == len(seen) == 2 * STEPS
    assert all(torch.equal(a, b) for a, b in zip(both, seen, strict=True))
    assert again.means(1.0) == means


def test_divergence_is_told_with_its_step() -> None:
    """A loss that left the finite numbers before the break is one at the end, in the step where it did."""
    first, again = epoch(), epoch()
    passed(first, 5, diverges_at=3)
    again.load(first.state(), 5)
    passed(again)
    with pytest.raises(DivergedError, match=f"at epoch 5, step {4 * STEPS + 4}; its last finite value was 1.5"):
        again.means(1.5)


def test_group_of_another_size_has_the_same_sums() -> None:
    """What two workers have summed up is what one goes on with, and the other way round."""
    first, one = epoch(), epoch()
    passed(first, 5)
    state = first.state()
    two = {name: value if name == "draw" else torch.cat([value, value]) for name, value in state.items()}
    one.load(two, 5)
    assert torch.equal(one.state()["tally"][:, :2], 2 * state["tally"][:, :2])
    assert one.state()["tally"][0, 2] == 5
    for rank in (0, 1):
        mine = epoch(Workers(rank, 2))
        mine.load(state, 5)
        assert torch.equal(mine._sums, state["tally"][0, :2] * (rank == 0))


def test_skipped_batches_are_neither_read_nor_given() -> None:
    """A split in memory gives the batches after those that are skipped, augmented as ever."""
    data = registry.load(DataSpec(name="digits", share=0.2))
    parts, seeds = list(torch.arange(200).split(30)), AugmentSeeds(1, 2)
    whole = list(data.train.batches(parts, seeds))
    for skip in range(len(parts) + 1):
        left = list(data.train.batches(parts, seeds, skip))
        assert len(left) == len(whole) - skip
        assert all(torch.equal(a.images, b.images) for a, b in zip(left, whole[skip:], strict=True))

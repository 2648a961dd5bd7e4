"""A network, data and a recipe for the training loop, and checkpoints in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from raysurf.data import registry
from raysurf.data.dataset import Dataset
from raysurf.data.spec import DataSpec
from raysurf.jobs.sgd import SGD
from raysurf.training.checkpoints import Checkpoints, Place, State
from raysurf.training.epoch import Recipe
from raysurf.training.schedules import Cyclic
from tests.support.cases import NETWORKS


class Kept(Checkpoints):
    """Keeps every state in memory."""

    def __init__(self) -> None:
        self.states: dict[Place, State] = {}

    def load(self) -> tuple[Place, State] | None:
        return max(self.states.items()) if self.states else None

    def save(self, place: Place, state: Callable[[], State], must: bool = False) -> None:
        self.states[place] = {name: value.clone() for name, value in state().items()}


def data() -> Dataset:
    return registry.load(DataSpec(name="digits", share=0.2, augment="crop_flip"))


def recipe(epochs: int = 4, lr: float = 0.05, **more: Any) -> Recipe:
    return Recipe(epochs, epochs, Cyclic(high=lr, low=lr / 10), 64, 0.9, True, seed=3, cycle_epochs=1.5, **more)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*NETWORKS["batchnorm"](), nn.Dropout(0.1))


class OnData:
    """A network on the data of a job, which says what it minimises."""

    def __init__(self, job: SGD) -> None:
        self.model, self.data, self.job = network(), registry.load(job.data_spec), job

"""Weights and buffers of a job's network: one rule for every kind of job. Needs torch.

Running batch statistics (batch norm, instance norm that tracks them) are re-estimated, or those that a job chooses. Of
weights that were not trained themselves, the other buffers are those of the nearest trained ones: an average has its
last iterate's, or its members' mean; a place of a curve, a line, a chain or a plane those of the nearest of the weights
that span it. Vectors of power iterations are then renewed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from raysurf.data.dataset import Dataset
from raysurf.jobs.job import Context
from raysurf.training.batchnorm import has_power_iterations, renew_power_iterations, statistic_names
from raysurf.training.checkpoints import State
from raysurf.training.evaluation import reestimate_batchnorm
from raysurf.weightspace.point import buffers_of, place

if TYPE_CHECKING:
    from raysurf.jobs.geometry import Position


class Placing:
    """A job's network with its weights and buffers.

    Attributes:
        built: ``own_buffers`` of the network as it was built.
    """

    job: Any
    context: Context
    data: Dataset
    model: nn.Module
    built: State
    _how: tuple[str, str] = ("fixed", "fixed")

    @cached_property
    def _statistics(self) -> frozenset[str]:
        return statistic_names(self.model)

    @cached_property
    def _others(self) -> frozenset[str]:
        return frozenset(buffers_of(self.model)) - self._statistics

    @property
    def batchnorm(self) -> str:
        """How the present buffers were got, for rows.

        Of batch-norm statistics: ``fixed`` (as they were trained), ``reestimate`` or ``interpolate``. Of a network that
        has none, but other buffers, whose these are: ``fixed``, ``last``, ``average`` or ``nearest``; or ``renewed`` if
        power iterations were. ``none`` without buffers, or if all are as they were built.
        """
        statistics, others = self._how
        if self._statistics:
            return statistics
        own = self.own_buffers()
        return "none" if all(torch.equal(own[name], value) for name, value in self.built.items()) else others

    def place(
        self, point: Mapping[str, Tensor], buffers: Mapping[str, Tensor] | None = None, source: str = "fixed"
    ) -> None:
        """Write weights into the network.

        Args:
            point: The weights.
            buffers: Theirs; those of the same names are written.
            source: Whose they are, for rows.
        """
        place(self.model, point, buffers)
        self._how = ("fixed", source)

    def place_average(
        self, average: Mapping[str, Tensor], last: Mapping[str, Tensor], mean: Mapping[str, Tensor] | None
    ) -> None:
        """Write an average, and re-estimate batch-norm statistics.

        Args:
            average: The weights.
            last: Buffers of its last iterate.
            mean: Means of buffers over its members, which are taken where they are given; those of rank 0 count.
        """
        means = mean or {}
        self.context.workers.follow(means.values())
        self.place(average, {**last, **means}, "average" if means else "last")
        self.reestimate()

    def settle(self, position: Position, batchnorm: str, share: float = 1.0) -> None:
        """Write a mixture of trained weights, with the buffers of the nearest trained weights.

        Args:
            position: The weights, and what they are mixed of; trained ones keep their power iterations.
            batchnorm: ``reestimate`` for batch-norm statistics on data; others for those that ``position`` has.
            share: Of the training examples for re-estimation.
        """
        statistics = {k: v for k, v in position.statistics.items() if k in self._statistics}
        buffers = position.buffers if self._others else {}
        self.place(position.point, {**buffers, **statistics}, "fixed" if position.is_trained else "nearest")
        if batchnorm == "reestimate":
            self.reestimate(share)
            return
        if not position.is_trained:
            self._renew()
        self._how = (batchnorm, self._how[1])

    def own_buffers(self) -> State:
        """A copy of the buffers that are no batch-norm statistics."""
        return {name: value for name, value in buffers_of(self.model).items() if name in self._others}

    def reestimate(self, share: float = 1.0) -> None:
        """Renew power iterations, and re-estimate batch-norm statistics, with dropout off.

        Args:
            share: Of the training split that is passed over, in batches of the job's own size.
        """
        setting = self.job.setting
        self._renew()
        reestimate_batchnorm(
            self.model, self.data, self.context.workers, setting("batch_size"), setting("precision"), share
        )
        self._how = ("reestimate", self._how[1])

    def _renew(self) -> None:
        if has_power_iterations(self.model):
            renew_power_iterations(self.model)
            self._how = (self._how[0], "renewed")

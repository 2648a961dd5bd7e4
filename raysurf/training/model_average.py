"""The average of any model's iterates, for training scripts of any kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from raysurf.errors import AverageError
from raysurf.training.batchnorm import BatchStatistics, tracking_layers
from raysurf.training.workers import Workers
from raysurf.weightspace.average import RunningAverage
from raysurf.weightspace.point import Point, buffers_of, place, point_of, require_same

Batches = Iterable[Tensor | Sequence[Any]]


class Average:
    """The mean of a model's weights at the moments that a training script chooses.

    w_avg <- w_avg + (w - w_avg) / (n + 1), in float32 or better whatever the model's own dtype::

        average = rs.Average(model)
        average.update()                       # at the end of each cycle, in any training loop
        average.apply_to(other_model, batches) # the average into a model like it
        with average.applied(batches):         # or into the model itself, for a while
            evaluate(model)

    Batch-norm statistics are never averaged, but estimated on ``batches``: each is a tensor of inputs, or a sequence
    that begins with one, as a ``DataLoader`` gives. Only models that keep such statistics need them; ``"fixed"``
    leaves the statistics as they are. The inputs go to the model's device.

    Args:
        model: Any module, such as a GAN's generator or ``nn.ModuleList([actor, critic])``; it goes on being trained.
        include_start: Whether the weights as they are now are the first member.
        device: Where the mean is kept, such as ``"cpu"`` to spare a GPU's memory; None for where the weights are.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), algorithm 1.
    """

    def __init__(
        self, model: nn.Module, *, include_start: bool = False, device: torch.device | str | None = None
    ) -> None:
        self._model, self._mean = model, RunningAverage(device=device)
        if include_start:
            self.update()

    @property
    def count(self) -> int:
        """How many iterates the average is the mean of."""
        return self._mean.count

    @property
    def point(self) -> Point:
        """The average itself, by parameter name; float32 or better, shared storage.

        Raises:
            AverageError: If nothing was averaged so far.
        """
        if self._mean.average is None:
            raise AverageError("no members", "update() to be called first, at least once")
        return self._mean.average

    def update(self) -> None:
        """Take the model's present weights into the mean.

        Raises:
            PointMismatchError: If the model's parameters have changed names or shapes.
        """
        self._mean.add(dict(self._model.named_parameters()))

    def apply_to(self, model: nn.Module, batches: Batches | Literal["fixed"] | None = None) -> None:
        """Write the average into a model, in the model's own dtype; modules stay in the mode that they were in.

        Args:
            model: The averaged model or one like it, which is changed in place.
            batches: What batch-norm statistics are estimated on.

        Raises:
            AverageError: If nothing was averaged so far, or the model has batch norm and there are no batches.
            PointMismatchError: If the model's parameters have other names or shapes.
            ValueError: By torch, if a batch has one value a channel only.
        """
        point = self.point
        if batches is None and tracking_layers(model):
            raise AverageError(
                "no batches, for a model with batch norm", 'batches of inputs, or "fixed" to keep its statistics'
            )
        place(model, point)
        if batches is not None and not isinstance(batches, str):
            _estimate(model, batches)

    @contextmanager
    def applied(self, batches: Batches | Literal["fixed"] | None = None) -> Iterator[nn.Module]:
        """The averaged model holds the average while a ``with`` lasts; then weights and buffers are as before.

        Args:
            batches: As in ``apply_to``, which also says what is raised.

        Returns:
            The model.
        """
        point, buffers = point_of(self._model), buffers_of(self._model)
        try:
            self.apply_to(self._model, batches)
            yield self._model
        finally:
            place(self._model, point, buffers)

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` needs to go on: the count, and the mean (shared storage) or None."""
        return {"count": self.count, "average": None if self._mean.average is None else dict(self._mean.average)}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Go on from a state, which is copied to where the mean is kept.

        Raises:
            PointMismatchError: If it is of a model whose parameters have other names or shapes.
        """
        own, mean = dict(self._model.named_parameters()), RunningAverage(device=self._mean.device)
        if state["count"]:
            require_same(own, state["average"])
            mean.add(own)
            assert mean.average is not None
            for name, value in mean.average.items():
                value.copy_(state["average"][name])
            mean.count = int(state["count"])
        self._mean = mean
        return self


@torch.no_grad()
def _estimate(model: nn.Module, batches: Batches) -> None:
    """Replace the model's batch-norm statistics by those of one pass over batches."""
    if not tracking_layers(model):
        return
    device = next(model.parameters()).device
    modes = {module: module.training for module in model.modules()}
    num_examples = num_batches = 0
    try:
        with BatchStatistics(model) as statistics:
            for batch in batches:
                inputs = batch if isinstance(batch, Tensor) else batch[0]
                model(inputs.to(device))
                statistics.add(len(inputs))
                num_examples, num_batches = num_examples + len(inputs), num_batches + 1
            if not num_examples:
                raise AverageError("an empty iterable of batches", "at least one batch of inputs")
            statistics.write(Workers(), num_examples, num_batches)
    finally:
        for module, mode in modes.items():
            module.training = mode

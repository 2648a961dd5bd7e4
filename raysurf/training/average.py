"""The average of any model's iterates, for training scripts of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from raysurf.errors import AverageError
from raysurf.training.batchnorm import (
    BatchStatistics,
    modes_kept,
    renew_power_iterations,
    statistic_names,
    tracking_layers,
)
from raysurf.training.workers import Workers
from raysurf.weightspace.average import RunningAverage
from raysurf.weightspace.point import Point, buffers_of, place, point_of, require_same

Batches = Iterable[Any]
Call = Callable[[nn.Module, Any], object]


class Average:
    """The mean of a model's weights at the moments that a training script chooses.

    w_avg <- w_avg + (w - w_avg) / (n + 1), in float32 or better whatever the model's own dtype::

        average = rs.Average(model)
        average.update()                       # at the end of each cycle, in any training loop
        average.apply_to(other_model, batches) # the average into a model like it
        with average.applied(batches):         # or into the model itself, for a while
            evaluate(model)

    Batch-norm statistics are never averaged, but estimated on ``batches``: each is a tensor of inputs, or a sequence
    that begins with one, as a ``DataLoader`` gives, and goes to the model's device; of any other batch ``call`` says
    how the model takes it. Only models that keep such statistics need them; ``"fixed"`` leaves the statistics as they
    are. Dropout is off for that. All other buffers are those that the averaged model has when the average is applied,
    or their mean; vectors of spectral norms are renewed.

    Args:
        model: Any module, such as a GAN's generator or ``nn.ModuleList([actor, critic])``; it goes on being trained.
        include_start: Whether the weights as they are now are the first member.
        buffers: ``last``, or ``average`` for the mean of floating buffers over the members.
        device: Where the mean is kept, such as ``"cpu"`` to spare a GPU's memory; None for where the weights are.

    Source:
        Izmailov et al. 2018 (arXiv:1803.05407), algorithm 1.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        include_start: bool = False,
        device: torch.device | str | None = None,
        buffers: Literal["last", "average"] = "last",
    ) -> None:
        if buffers not in ("last", "average"):
            raise AverageError(f"buffers {buffers!r}", '"last" or "average"')
        self._model, self._mean = model, RunningAverage(device=device)
        self._buffers = RunningAverage(device=device) if buffers == "average" else None
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
        if self._buffers is not None:
            self._buffers.add(_floating(self._model))

    def apply_to(
        self, model: nn.Module, batches: Batches | Literal["fixed"] | None = None, call: Call | None = None
    ) -> None:
        """Write the average into a model, in the model's own dtype; modules stay in the mode that they were in.

        Args:
            model: The averaged model or one like it, which is changed in place.
            batches: What batch-norm statistics are estimated on.
            call: Passes a batch through the model, such as ``lambda model, batch: model(**batch)``; without it the
                model is called on a tensor, or on the first of a sequence.

        Raises:
            AverageError: If nothing was averaged so far, the model has batch norm and there are no batches, or a batch
                is neither a tensor nor a sequence and there is no ``call``.
            PointMismatchError: If the model's parameters have other names or shapes.
            ValueError: By torch, if a batch has one value a channel only.
        """
        point = self.point
        if batches is None and tracking_layers(model):
            raise AverageError(
                "no batches, for a model with batch norm", 'batches of inputs, or "fixed" to keep its statistics'
            )
        if isinstance(batches, str) and batches != "fixed":
            raise AverageError(f"batches {batches!r}", 'batches of inputs, or "fixed" to keep the statistics')
        means = (self._buffers.average if self._buffers is not None else None) or {}
        statistics, buffers = statistic_names(self._model), buffers_of(self._model) | means
        place(model, point, {name: value for name, value in buffers.items() if name not in statistics})
        renew_power_iterations(model)
        if batches is not None and not isinstance(batches, str):
            _estimate(model, batches, call or _call)

    @contextmanager
    def applied(
        self, batches: Batches | Literal["fixed"] | None = None, call: Call | None = None
    ) -> Iterator[nn.Module]:
        """The averaged model holds the average while a ``with`` lasts; then weights and buffers are as before.

        Args:
            batches, call: As in ``apply_to``, which also says what is raised.

        Returns:
            The model.
        """
        point, buffers = point_of(self._model), buffers_of(self._model)
        try:
            self.apply_to(self._model, batches, call)
            yield self._model
        finally:
            place(self._model, point, buffers)

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` needs to go on: the count, and the means (shared storage), None of no members."""
        state: dict[str, Any] = {"count": self.count, "average": _dict(self._mean.average)}
        return state if self._buffers is None else state | {"buffers": _dict(self._buffers.average)}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Go on from a state, which is copied to where the mean is kept.

        Raises:
            AverageError: If it has no mean of buffers, and one is wanted.
            PointMismatchError: If it is of a model whose parameters or buffers have other names or shapes.
        """
        if self._buffers is not None and "buffers" not in state:
            raise AverageError("a state without buffers", 'that of an average with buffers="average"')
        mean = _restored(self._mean, dict(self._model.named_parameters()), state["average"], state["count"])
        if self._buffers is not None:
            self._buffers = _restored(self._buffers, _floating(self._model), state["buffers"], state["count"])
        self._mean = mean
        return self


def _floating(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in buffers_of(model).items() if value.is_floating_point()}


def _dict(average: Point | None) -> Point | None:
    return None if average is None else dict(average)


def _restored(old: RunningAverage, own: Mapping[str, Tensor], saved: Point | None, count: int) -> RunningAverage:
    """The mean of so many members, typed and placed as that of a model's own tensors."""
    mean = RunningAverage(device=old.device)
    if count:
        assert saved is not None, "a mean has members"
        require_same(own, saved)
        mean.add(own)
        assert mean.average is not None
        for name, value in mean.average.items():
            value.copy_(saved[name])
        mean.count = int(count)
    return mean


def _call(model: nn.Module, batch: Any) -> object:
    inputs = batch[0] if isinstance(batch, Sequence) and len(batch) else batch
    if not isinstance(inputs, Tensor):
        sort = type(inputs).__name__ if inputs is batch else f"{type(batch).__name__} of {type(inputs).__name__}"
        raise AverageError(f"a batch that is a {sort}", "a tensor, or call=lambda model, batch: … for other batches")
    return model(inputs.to(next(model.parameters()).device))


@torch.no_grad()
def _estimate(model: nn.Module, batches: Batches, call: Call) -> None:
    """Replace the model's batch-norm statistics by those of one pass over batches."""
    if not tracking_layers(model):
        return
    with modes_kept(model), BatchStatistics(model) as statistics:
        seen = None
        for seen in batches:
            call(model, seen)
        if seen is None:
            raise AverageError("an empty iterable of batches", "at least one batch of inputs")
        statistics.write(Workers())

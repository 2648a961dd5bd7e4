"""A job's network on its data: built, placed, measured, and reported as rows. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from raysurf.data import registry as data_sets
from raysurf.jobs.context import Context
from raysurf.jobs.job import SPLITS
from raysurf.models import registry as models
from raysurf.training import evaluation
from raysurf.training.layout import channels_last, laid_out_like
from raysurf.training.loop import EpochEnd, Recipe, stream
from raysurf.training.metrics import Figures
from raysurf.training.schedules import Schedule
from raysurf.weightspace.point import Point, buffers_of, place, point_of, squared_norm


class Network:
    """The network of a training or measuring job, initialised from the job's seed.

    Args:
        job: Has ``model_spec`` and ``data_spec``, and the settings of a training job.
        context: Where its rows go, and the workers that share the measuring.
    """

    def __init__(self, job: Any, context: Context) -> None:
        self.job, self.context = job, context
        device = context.workers.device
        self.data = data_sets.load(job.data_spec, str(device))
        torch.manual_seed(stream(getattr(job, "seed", 0), "weights").getrandbits(63))
        self.model = models.build(
            job.model_spec.name,
            num_classes=self.data.num_classes,
            image_shape=self.data.image_shape,
            options=job.model_spec.options,
        ).to(device)
        channels_last(self.model, self.data.image_shape)
        self.has_batchnorm = evaluation.has_batchnorm(self.model)

    @property
    def splits(self) -> dict[str, Any]:
        """The splits that there are, by name; validation may be missing."""
        all_of_them = {name: getattr(self.data, name) for name in SPLITS}
        return {name: split for name, split in all_of_them.items() if split is not None}

    def recipe(
        self, epochs: int, schedule_epochs: int, schedule: Schedule, cycle_epochs: float = 1.0, origin: int = 0
    ) -> Recipe:
        """How the loop runs for this job."""
        setting = self.job.setting
        return Recipe(
            epochs,
            schedule_epochs,
            schedule,
            setting("batch_size"),
            setting("momentum"),
            setting("nesterov"),
            self.job.seed,
            cycle_epochs,
            origin,
        )

    def place(self, point: Mapping[str, Tensor], buffers: Mapping[str, Tensor] | None = None) -> None:
        """Write weights into the network."""
        place(self.model, point, buffers)

    def laid_out(self, point: Mapping[str, Tensor]) -> Point:
        """A copy of a point in the memory layout of this network."""
        return laid_out_like(point, self.model)

    def tensors(self) -> dict[str, Tensor]:
        """The network's point and buffers under the names of a weights file."""
        parts = {"point": point_of(self.model), "buffer": buffers_of(self.model)}
        return {f"{part}/{name}": value for part, group in parts.items() for name, value in group.items()}

    def reestimate(self, share: float = 1.0) -> None:
        """Re-estimate batch-norm statistics on a share of the training split, in batches of the job's own size."""
        setting = self.job.setting
        evaluation.reestimate_batchnorm(
            self.model, self.data, self.context.workers, setting("batch_size"), setting("precision"), share
        )

    def l2(self) -> float:
        """Half the job's weight decay times the sum of squared weights."""
        decay = self.job.setting("weight_decay")
        return 0.5 * decay * squared_norm(point_of(self.model)) if decay else 0.0

    def measure(self, split: str) -> Figures:
        """The figures of the network as it stands on one split."""
        return evaluation.evaluate(
            self.model, self.data, self.splits[split], self.context.workers, self.job.setting("precision")
        )

    def is_due(self, epoch: int) -> bool:
        """Whether this epoch is one to evaluate at: every so many, and the last."""
        return bool(epoch % self.job.evaluate_every == 0 or epoch == self.job.epochs_to_train)

    def report_epoch(self, end: EpochEnd, weights: str, evaluate: bool, trained: bool = False) -> dict[str, float]:
        """Report an ``epochs`` row, evaluated on validation and test if asked.

        Args:
            end: What the loop knows of the epoch.
            weights: Which weights are measured.
            evaluate: Whether to measure them.
            trained: Whether the epoch's training figures belong to these weights; those of ``iterate`` do.

        Returns:
            The row's figures as ``split/name``.
        """
        row: dict[str, Any] = {"epoch": end.epoch, "weights": weights, "lr": end.lr, "epoch_s": end.epoch_s}
        l2 = self.l2()
        if trained or weights == "iterate":
            row |= {"train_loss": end.train_nll + l2, "train_error": end.train_error, "train_nll": end.train_nll}
        for split in ("validation", "test") if evaluate else ():
            if split in self.splits:
                found = self.measure(split)
                row |= {f"{split}_loss": found.nll + l2, f"{split}_error": found.error, f"{split}_nll": found.nll}
        self.context.report("epochs", row)
        figures = {k.replace("_", "/", 1): v for k, v in row.items() if k.startswith(SPLITS)}
        return figures | {f"{s}/accuracy": 1.0 - figures[f"{s}/error"] for s in SPLITS if f"{s}/error" in figures}

    def report_predictions(self, weights: str, batchnorm: str) -> dict[str, float]:
        """Report a ``predictions`` row for every split, of the network as it stands.

        Args:
            weights: Which weights they are.
            batchnorm: How their batch-norm statistics were got; recorded as ``none`` for a network without.

        Returns:
            The figures as ``split/name``.
        """
        figures: dict[str, float] = {}
        for split in self.splits:
            found = self.measure(split)
            values = {k: getattr(found, k) for k in ("accuracy", "nll", "brier", "ece")}
            row = {
                "weights": weights,
                "scheme": "deterministic",
                "num_samples": 1,
                "split": split,
                "num_examples": found.num_examples,
                "batchnorm": batchnorm if self.has_batchnorm else "none",
            }
            self.context.report("predictions", row | values)
            figures |= {f"{split}/{k}": v for k, v in values.items()} | {f"{split}/error": found.error}
        return figures

"""A job's network on its data: built, placed, measured, and reported as rows. Needs torch."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from raysurf import own_code
from raysurf.data import registry as data_sets
from raysurf.data.dataset import labelled_part
from raysurf.errors import UnknownNameError
from raysurf.jobs.context import require_storable
from raysurf.jobs.fingerprints import digest_of_file, shapes_of
from raysurf.jobs.job import SPLITS, Context
from raysurf.jobs.placing import Placing
from raysurf.models import registry as models
from raysurf.models.spec import ModelSpec
from raysurf.stochastic.convert import convert
from raysurf.stochastic.dropping import own_noise
from raysurf.stochastic.spec import Scheme
from raysurf.training import evaluation, schemes
from raysurf.training.checkpoints import State
from raysurf.training.epoch import Recipe
from raysurf.training.evaluation import Metrics, require_logits
from raysurf.training.fast import channels_last, laid_out_like
from raysurf.training.loop import EpochEnd
from raysurf.training.objective import Objective
from raysurf.training.objectives import elbo
from raysurf.training.schedules import Schedule
from raysurf.training.workers import stream
from raysurf.weightspace.point import Point, buffers_of, point_of, squared_norm

MemberAnswers = dict[str, evaluation.Answers]


class Network(Placing):
    """The network of a training or measuring job, initialised from the job's seed.

    Args:
        job: Has ``model_spec`` and ``data_spec``, and the settings of a training job.
        context: Where its rows go, and the workers that share the measuring.
    """

    def __init__(self, job: Any, context: Context) -> None:
        self.job, self.context = job, context
        device = context.workers.device
        stamp = data_sets.stamp(job.data_spec)
        self.data = data_sets.load(job.data_spec, str(device))
        context.skipped = self.data.skipped
        self._labelled = labelled_part(self.data.train)
        self.model = channels_last(self.network_of(job.model_spec), self.data.image_shape)
        require_storable({**dict(self.model.named_parameters()), **dict(self.model.named_buffers())})
        require_logits(self.model, self.data.image_shape, self.data.num_classes)
        if job is context.job:
            context.saw(
                {
                    "model_source": own_code.digest_of_imported(job.model_spec.code),
                    "model_shapes": shapes_of(self.model),
                    "data_stamp": stamp,
                    "data_fingerprint": self.data.fingerprint,
                    "weights_file": digest_of_file(job.weights_file),
                }
            )
        self.built = self.own_buffers()

    def network_of(self, spec: ModelSpec) -> nn.Module:
        """A network of this job's seed and data, on the worker's device."""
        torch.manual_seed(stream(getattr(self.job, "seed", 0), "weights").getrandbits(63))
        model = models.build(
            spec.name, num_classes=self.data.num_classes, image_shape=self.data.image_shape, options=spec.options
        )
        for noise in spec.noise:
            model = convert(model, noise.layers, noise.make)
        return model.to(self.context.workers.device)

    @property
    def splits(self) -> dict[str, Any]:
        """What is measured on, by name: the splits that there are, of train the labelled examples."""
        all_of_them = {name: getattr(self.data, name) for name in SPLITS} | {"train": self._labelled}
        return {name: split for name, split in all_of_them.items() if split is not None}

    @property
    def predicted_splits(self) -> dict[str, Any]:
        """Those on which ensembles are measured: on train they say little and cost most."""
        return {name: split for name, split in self.splits.items() if name != "train"}

    def recipe(
        self,
        epochs: int,
        schedule_epochs: int,
        schedule: Schedule,
        cycle_epochs: float = 1.0,
        origin: int = 0,
        cycle_iterations: int | None = None,
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
            self.job.origin + origin,
            setting("optimiser"),
            cycle_iterations,
            self.job.objective_spec.streams(self.data, setting("batch_size")),
        )

    def objective(self, recipe: Recipe) -> Objective:
        """What the job minimises, of this network with the weights that it now has."""
        objective: Objective = self.job.objective_spec.build(self, recipe)
        return objective

    def laid_out(self, point: Mapping[str, Tensor]) -> Point:
        """A copy of a point in the memory layout of this network."""
        return laid_out_like(point, self.model)

    def tensors(self) -> dict[str, Tensor]:
        """The network's point and buffers under the names of a weights file."""
        parts = {"point": point_of(self.model), "buffer": buffers_of(self.model)}
        return {f"{part}/{name}": value for part, group in parts.items() for name, value in group.items()}

    def l2(self) -> float:
        """Half the job's weight decay times the sum of squared weights, those of the noise and frozen ones left out."""
        decay = self.job.setting("weight_decay")
        if not decay:
            return 0.0
        noise = elbo.noise_parameters(self.model)
        trained = {k: v for k, v in self.model.named_parameters() if v.requires_grad and k not in noise}
        return 0.5 * float(decay) * squared_norm(trained)

    def measure(self, split: str) -> Metrics:
        """The metrics of the network as it stands on one split; weights that are random are their means."""
        return evaluation.evaluate(
            self.model, self.data, self.splits[split], self.context.workers, self.job.setting("precision")
        )

    def measure_scheme(self, split: str, scheme: Scheme, num_samples: int, seed: int) -> schemes.BySamples:
        """The metrics of one split under a prediction scheme, by number of samples."""
        group, precision = self.context.workers, self.job.setting("precision")
        return schemes.measure(self.model, self.data, self.splits[split], group, scheme, num_samples, seed, precision)

    def is_due(self, epoch: int) -> bool:
        """Whether this epoch is one to evaluate at: every so many, and the last."""
        return bool(epoch % self.job.evaluate_every == 0 or epoch == self.job.epochs_to_train)

    def report_epoch(
        self,
        end: EpochEnd,
        weights: str,
        evaluate: bool,
        trained: bool = False,
        scheme: Scheme = "deterministic",
        kl: float | None = None,
    ) -> dict[str, float]:
        """Report an ``epochs`` row, evaluated on validation and test if asked.

        Args:
            end: What the loop knows of the epoch.
            weights: Which weights are measured.
            evaluate: Whether to measure them.
            trained: Whether the epoch's training metrics belong to these weights; those of ``iterate`` do.
            scheme: How they are measured.
            kl: Divergence of noisy weights from their prior, in nats.

        Returns:
            The row's metrics as ``split/name``.
        """
        row: dict[str, Any] = {"epoch": end.epoch, "weights": weights, "lr": end.lr, "epoch_s": end.epoch_s}
        row |= {"scheme": scheme, "kl": kl, "skipped": end.skipped}
        l2 = self.l2()
        if trained or weights == "iterate":
            row |= {"train_loss": end.train_nll + l2, "train_error": end.train_error, "train_nll": end.train_nll}
        for split in ("validation", "test") if evaluate else ():
            if split in self.splits:
                (measured,) = self.measure_scheme(split, scheme, 1, end.epoch).values()
                row |= {
                    f"{split}_loss": measured.nll + l2,
                    f"{split}_error": measured.error,
                    f"{split}_nll": measured.nll,
                }
        self.context.report("epochs", row)
        metrics = {k.replace("_", "/", 1): v for k, v in row.items() if k.startswith(SPLITS)}
        return metrics | {f"{s}/accuracy": 1.0 - metrics[f"{s}/error"] for s in SPLITS if f"{s}/error" in metrics}

    def report_predictions(
        self,
        weights: str,
        wanted: Sequence[Scheme] = ("deterministic",),
        num_samples: int = 1,
        seed: int = 0,
    ) -> dict[str, float]:
        """Report ``predictions`` rows for every split, of the network as it stands.

        Ensembles are measured on ``predicted_splits`` alone.

        Args:
            weights: Which weights they are.
            wanted: Schemes, the most telling last.
            num_samples: Of ensembles.
            seed: Of samples.

        Returns:
            The metrics of the last scheme that a split has, as ``split/name``; those of several as
            ``split/scheme_name`` too.

        Raises:
            UnknownNameError: If the network cannot give a scheme.
        """
        possible = self._possible_schemes() if set(wanted) - {"deterministic"} else wanted
        for scheme in wanted:
            if scheme not in possible:
                raise UnknownNameError(f"scheme of these weights of {self.job.model_spec.name}", scheme, possible)
        metrics: dict[str, float] = {}
        for split in self.splits:
            single = [scheme for scheme in wanted if scheme in ("deterministic", "stochastic")]
            for scheme in wanted if split in self.predicted_splits else single:
                by_samples = self.measure_scheme(split, scheme, num_samples, seed)
                metrics |= self._report_scheme(weights, wanted, scheme, split, by_samples)
        return metrics

    def _possible_schemes(self) -> tuple[Scheme, ...]:
        drops, left_out = own_noise(self.model, torch.zeros(2, *self.data.image_shape))
        if left_out:
            warnings.warn(
                f"noise of {', '.join(left_out)} is in no prediction: it is drawn in training alone, by other means "
                "than torch's dropout",
                stacklevel=2,
            )
        return schemes.possible_schemes(self.model, drops)

    def _report_scheme(
        self, weights: str, wanted: Sequence[Scheme], scheme: Scheme, split: str, by_samples: schemes.BySamples
    ) -> dict[str, float]:
        """Report ``predictions`` rows of one scheme and split; the metrics given are those of the most samples."""
        most: dict[str, float] = {}
        for num_samples, metrics in by_samples.items():
            values = {k: getattr(metrics, k) for k in ("accuracy", "nll", "brier", "ece")}
            row = {
                "weights": weights,
                "scheme": scheme,
                "num_samples": num_samples,
                "split": split,
                "num_examples": metrics.num_examples,
                "batchnorm": self.batchnorm,
            }
            self.context.report("predictions", row | values)
            most = {**values, "error": metrics.error}
        prefixes = (f"{split}/", f"{split}/{scheme}_") if len(wanted) > 1 else (f"{split}/",)
        return {f"{prefix}{k}": v for prefix in prefixes for k, v in most.items()}

    def report_members(
        self,
        weights: str,
        wanted: Sequence[Scheme],
        num_samples: int,
        members: Iterable[tuple[State, State]],
        reestimate: bool = False,
        source: str = "fixed",
    ) -> dict[str, float]:
        """Report ``predictions`` rows of an ensemble of weights, for its first one, two, … members.

        Args:
            weights: What they are called.
            wanted: ``stochastic`` (the first member), ``ensemble``, the most telling last.
            num_samples: Members.
            members: Their points and buffers, one member after another.
            reestimate: Whether the members' batch-norm statistics are re-estimated.
            source: Whose their buffers are, for rows.

        Returns:
            Metrics as ``report_predictions`` gives them.
        """
        answers = self.answers(itertools.islice(members, num_samples), reestimate, source)
        return self.report_answers(weights, wanted, answers)

    def answers(
        self, members: Iterable[tuple[State, State]], reestimate: bool = False, source: str = "fixed"
    ) -> Iterator[MemberAnswers]:
        """What members answer by split, to this worker's examples.

        Args:
            members: As in ``report_members``.
            reestimate, source: As there.
        """
        precision, workers = self.job.setting("precision"), self.context.workers
        for point, buffers in members:
            self.place(point, buffers, source)
            if reestimate:
                self.reestimate()
            yield {
                name: evaluation.answers_to(self.model, self.data, split, precision, workers.share(len(split)))
                for name, split in self.predicted_splits.items()
            }

    def report_answers(
        self, weights: str, wanted: Sequence[Scheme], answers: Iterable[MemberAnswers]
    ) -> dict[str, float]:
        """``report_members`` of what members have answered."""
        splits = self.predicted_splits
        in_order = ([answer[name] for name in splits] for answer in answers)
        metrics: dict[str, float] = {}
        for split, by_samples in zip(splits, schemes.measure_members(in_order, self.context.workers), strict=True):
            for scheme in wanted:
                shown = by_samples if scheme == "ensemble" else {1: by_samples[1]}
                metrics |= self._report_scheme(weights, wanted, scheme, split, shown)
        return metrics

    def bound(self, num_samples: int, seed: int) -> dict[str, float]:
        """The evidence lower bound on train, -N CE - KL in nats, and the divergence KL."""
        group, precision = self.context.workers, self.job.setting("precision")
        nll = schemes.expected_nll(self.model, self.data, self.data.train, group, num_samples, seed, precision)
        kl = float(elbo.divergence(self.model).detach())
        return {"train/elbo": -len(self.data.train) * nll - kl, "train/kl": kl}

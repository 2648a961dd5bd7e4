"""``predict``: measure the predictions of any weights, by any scheme that they allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from raysurf.data.spec import DataSpec
from raysurf.jobs.ensemble import EnsembleJob
from raysurf.jobs.job import METRICS, SPLITS, Job
from raysurf.jobs.sources import PointOf, WeightsJob
from raysurf.jobs.training_job import Data
from raysurf.stochastic.spec import CONTROLS, Scheme
from raysurf.values import BY_KIND, as_tuple

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.jobs.network import Network

SCHEMES: tuple[Scheme, ...] = ("deterministic", "stochastic", *CONTROLS, "ensemble")


class Predict(Job):
    """Accuracy, NLL, Brier score and ECE of finished weights on every split of their data, or of other data.

    Schemes: ``deterministic`` takes the weights' means, ``stochastic`` one sample, ``ensemble`` the mean of K samples'
    probabilities; ``zero_mean`` and ``permuted`` are ensembles with the means left out, and with deviations shuffled.
    Samples are draws of the noise, of dropout or of SWAG's Gaussian, members of FGE in order, or points of a curve at
    random t. Its own
    metrics are those of the last of these that is measured; with several, each also has ``split/scheme_metric``.

    Source:
        Neklyudov et al. 2018 (arXiv:1803.03764), section 4.
    """

    kind: ClassVar[str] = "predict"

    weights: Annotated[WeightsJob | PointOf | EnsembleJob, BY_KIND] = Field(description="the weights to measure")
    data: Data | None = Field(None, description="data to measure on, if not that of the weights")
    batchnorm: Literal["fixed", "reestimate"] | None = Field(
        None, description="keep the stored statistics, or re-estimate (dropout off); default: keep where there are any"
    )
    schemes: Annotated[tuple[Scheme, ...], BeforeValidator(as_tuple)] | None = Field(
        None, min_length=1, description="default: all but controls for noise and ensembles, else deterministic"
    )
    num_samples: int | None = Field(None, ge=1, description="K of ensembles; default 20, of FGE all members")
    members: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] | None = Field(
        None, min_length=1, description="of FGE: which members, numbered from 1; their stored predictions are taken"
    )
    sample_seed: int = Field(0, ge=0, description="decides every sample")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        possible, what = self.weights.possible_schemes, self.weights.owner.kind
        for scheme in self.schemes or ():
            if scheme not in possible:
                raise ValueError(f"no scheme {scheme} of {what} weights; they can give {', '.join(possible)}")
        most = self.weights.max_samples
        if self.num_samples is not None and most is not None and self.num_samples > most:
            raise ValueError(f"num_samples {self.num_samples} is more than the {most} members of {what}")
        if self.batchnorm == "fixed" and (not self.weights.has_statistics or self._draws_weights):
            raise ValueError(f"batchnorm fixed, and samples of {what}, which have no statistics of their own")
        if self.members is not None:
            self._check_members(self.members)
        return self

    def _check_members(self, members: tuple[int, ...]) -> None:
        if not (isinstance(self.weights, EnsembleJob) and self.weights.is_numbered):
            raise ValueError(f"members of {self.weights.owner.kind} weights; only those of fge are numbered")
        if self.num_samples is not None or self.batchnorm == "reestimate" or self.data is not None:
            raise ValueError("members, and num_samples, batchnorm or data; stored predictions have theirs already")
        most = self.weights.usual_samples
        if len(set(members)) < len(members) or min(members) < 1 or max(members) > most:
            raise ValueError(f"members {list(members)}; give different numbers from 1 to {most}")

    @property
    def _draws_weights(self) -> bool:
        """Whether its samples are weights of their own, besides one point that answers by itself."""
        is_drawn = not isinstance(self.weights, EnsembleJob) and self.weights.draws_weights
        return is_drawn and any(s != "deterministic" for s in self.schemes or ("ensemble",))

    @property
    def _wanted(self) -> tuple[Scheme, ...]:
        """Schemes in the order of ``SCHEMES``."""
        possible = self.weights.possible_schemes
        if self.schemes is None:
            plain = "deterministic" in possible and not self.model_spec.noise and not self._draws_weights
            return ("deterministic",) if plain else tuple(s for s in SCHEMES if s in possible and s not in CONTROLS)
        return tuple(scheme for scheme in SCHEMES if scheme in self.schemes)

    @property
    def source(self) -> WeightsJob | PointOf | EnsembleJob:
        return self.weights

    @property
    def data_spec(self) -> DataSpec:
        return self.data or super().data_spec

    def metric_names(self) -> tuple[str, ...]:
        wanted, names = self._wanted, list[str]()
        for split in SPLITS:
            # Ensembles are not measured on train, and members of an ensemble of weights on no train at all.
            own = wanted if split != "train" else [scheme for scheme in wanted if scheme in self._measured_on_train]
            schemes = ("", *(f"{scheme}_" for scheme in own if len(wanted) > 1)) if own else ()
            names += [f"{split}/{scheme}{name}" for scheme in schemes for name in METRICS]
        return tuple(names)

    @property
    def _measured_on_train(self) -> tuple[Scheme, ...]:
        if isinstance(self.weights, EnsembleJob):
            return ()
        return ("deterministic",) if self.weights.draws_weights else ("deterministic", "stochastic")

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network

        net, source, wanted = Network(self, context), self.weights, self._wanted
        reestimate = self.batchnorm == "reestimate" or not source.has_statistics
        count = self.num_samples or source.usual_samples
        if isinstance(source, EnsembleJob):
            if self.members is not None:
                return net.report_answers("members", wanted, source.stored_answers(net, context, self.members))
            members = source.draw_members(context, count, self.sample_seed)
            return net.report_members("members", wanted, count, members, reestimate, source.sample_buffers)
        net.place(*source.opened(context))
        if reestimate:
            net.reestimate()
        if isinstance(source, PointOf) or not source.draws_weights:
            return net.report_predictions("final", wanted, count, self.sample_seed)
        return self._of_samples(source, net, context)

    def _of_samples(self, source: WeightsJob, net: Network, context: Context) -> dict[str, float]:
        """The average as it is placed, then samples, each with statistics of its own."""
        metrics: dict[str, float] = {}
        wanted = [scheme for scheme in self._wanted if scheme != "deterministic"]
        if "deterministic" in self._wanted:
            placed = net.report_predictions("final")
            metrics = placed | (
                {name.replace("/", "/deterministic_"): v for name, v in placed.items()} if wanted else {}
            )
        if not wanted:
            return metrics
        count = self.num_samples or source.usual_samples
        members = source.draw_members(context, count, self.sample_seed)
        return metrics | net.report_members(
            "samples", wanted, count, members, reestimate=True, source=source.sample_buffers
        )

"""``variational``: train a network some of whose weights are noise, by its evidence lower bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from raysurf.errors import DataError
from raysurf.jobs.initial import InitialSigma, initialise_sigmas
from raysurf.jobs.sources import WeightsJob, scheme_metric_names
from raysurf.jobs.training_job import FirstJob
from raysurf.models.spec import NoisyModelSpec
from raysurf.stochastic.spec import Noise, Scheme
from raysurf.training.schedules import Linear, Schedule
from raysurf.values import as_tuple

if TYPE_CHECKING:
    from torch import Tensor

    from raysurf.jobs.job import Context
    from raysurf.jobs.network import Network
    from raysurf.models.spec import ModelSpec
    from raysurf.training.checkpoints import State


def _one_or_several(value: Any, info: ValidationInfo) -> Any:
    is_one = isinstance(value, Noise | Mapping)
    return (Noise.model_validate(value, context=info.context),) if is_one else as_tuple(value)


class Variational(WeightsJob, FirstJob):
    """Dropout, variational dropout and variance networks: chosen layers get noise, and the bound is maximised.

    Its usual optimiser is Adam with a rate that falls linearly to zero. Its metrics are those of the ensemble on
    validation and test, of one sample on train; each scheme's own are ``split/scheme_metric``. ``train/elbo`` is
    -N CE - KL with CE averaged over ``elbo_samples`` draws.

    Source:
        Kingma et al. 2015 (arXiv:1506.02557); Molchanov et al. 2017 (arXiv:1701.05369); Neklyudov et al. 2018
        (arXiv:1803.03764) and its code.
    """

    kind: ClassVar[str] = "variational"
    SCHEMES: ClassVar[tuple[Scheme, ...]] = ("deterministic", "stochastic", "ensemble")

    epochs: int = Field(ge=1, description="epochs to train")
    noise: Annotated[
        tuple[Noise, ...], BeforeValidator(_one_or_several, json_schema_input_type=Noise | tuple[Noise, ...])
    ] = Field(min_length=1, description="which layers are noisy, and how; one or a list")
    init: InitialSigma | None = Field(None, description="initial deviations of variance layers; default kind: uniform")
    kl_warmup: Annotated[tuple[float, float], BeforeValidator(as_tuple)] | None = Field(
        None, description="epochs between which the divergence's weight rises from 0 to 1; default: 1 from the start"
    )
    samples: int = Field(1, ge=1, description="draws of the noise a training step")
    noise_rate: float = Field(1.0, gt=0, description="learning rate of the noise's parameters, a multiple of the rate")
    num_samples: int = Field(20, ge=1, description="samples of the ensemble that is measured at the end")
    elbo_samples: int = Field(10, ge=1, description="samples that the bound is estimated with at the end")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.init is not None and not any(noise.has_free_sigma for noise in self.noise):
            raise ValueError("init is for noise of kind: variance; others begin at their own log_alpha, p or alpha")
        if self.kl_warmup is not None and not 0 <= self.kl_warmup[0] < self.kl_warmup[1]:
            low, high = self.kl_warmup
            raise ValueError(f"kl_warmup from {low:g} to {high:g}; give two epochs, the first below the second")
        of = getattr(self.init, "of", None)
        own = super().model_spec
        if of is not None and (of.model_spec.name, of.model_spec.options) != (own.name, own.options):
            theirs, ours = (f"{spec.name} with options {dict(spec.options)}" for spec in (of.model_spec, own))
            raise ValueError(f"init is of {theirs}; it must be of {ours}")
        return self

    @property
    def model_spec(self) -> NoisyModelSpec:
        plain = super().model_spec
        return NoisyModelSpec(name=plain.name, options=plain.options, noisy=self.noise)

    @property
    def epochs_to_train(self) -> int:
        return self.epochs

    @property
    def full_epochs(self) -> int:
        """Epochs of the whole schedule: a budget of one."""
        return self.epochs

    def setting(self, name: str) -> Any:
        """A setting as it holds for this job; the optimiser is Adam unless it is stated."""
        return self.optimiser or "adam" if name == "optimiser" else super().setting(name)

    @property
    def rates(self) -> Schedule:
        """The schedule given, or a line from ``lr`` (1e-3 if that is not given either) to zero."""
        return self.schedule or Linear(lr=1e-3 if self.lr is None else self.lr)

    def metric_names(self) -> tuple[str, ...]:
        return (*super().metric_names(), "train/elbo", "train/kl", *scheme_metric_names(self.SCHEMES))

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network
        from raysurf.training.loop import EpochEnd, fit
        from raysurf.training.objectives import elbo
        from raysurf.training.workers import stream

        net = Network(self, context)
        self._initialise(net, context)
        num_train = len(net.data.train)
        decay, precision = self.setting("weight_decay"), self.setting("precision")
        objective = elbo.ELBO(net.model, num_train, decay, precision, self.samples, self.noise_rate)
        recipe = net.recipe(self.epochs, self.epochs, self.rates)
        collectors: list[elbo.KLWarmUp | elbo.NoiseClip] = [elbo.NoiseClip()]
        if self.kl_warmup is not None:
            first, last = (round(epoch * recipe.steps_per_epoch(num_train)) for epoch in self.kl_warmup)
            collectors.append(elbo.KLWarmUp(objective, first, last))

        def on_epoch(end: EpochEnd) -> None:
            kl = float(elbo.divergence(net.model).detach())
            metrics = net.report_epoch(end, "iterate", net.is_due(end.epoch), scheme="stochastic", kl=kl)
            context.progress(end.epoch, self.epochs, metrics)

        fit(objective, net.data, recipe, context.workers, on_epoch, collectors, context.checkpoints)
        context.save("weights", net.tensors())
        seed = stream(self.seed, "predict").getrandbits(31)
        metrics = net.report_predictions("final", self.SCHEMES, self.num_samples, seed)
        return metrics | net.bound(self.elbo_samples, seed)

    def _initialise(self, net: Network, context: Context) -> None:
        """Start weights and initial deviations."""
        if self.start is not None:
            _begin(net, self.start.model_spec, *context.weights(self.start))
        if self.init is not None:
            initialise_sigmas(net, self.init)


def _begin(net: Network, spec: ModelSpec, point: State, buffers: State) -> None:
    """Give a network the weights of one that may have other noise, or none; means begin on its effective weights."""
    from raysurf.stochastic.effective import effective
    from raysurf.stochastic.layers import NoisyLayer, noisy_layers
    from raysurf.training.objectives.elbo import noise_parameters
    from raysurf.weightspace.point import place

    other = net.network_of(spec)
    place(other, point, buffers)
    known: dict[str, Tensor | None] = dict(other.named_parameters(remove_duplicate=False))
    noise, layers = noise_parameters(net.model), noisy_layers(net.model)
    for name, layer in layers.items():
        trained = other.get_submodule(name)
        if not isinstance(trained, NoisyLayer):
            known |= {f"{name}.{own}": effective(trained, own) for own in ("weight", "bias")}
        elif getattr(trained, "sharing", None) != getattr(layer, "sharing", None):
            known.pop(f"{name}.log_noise", None)
    placed: State = {}
    for name, value in net.model.named_parameters():
        taken = known.get(name)
        if taken is not None and taken.shape == value.shape:
            placed[name] = taken.detach()
        elif name in noise:
            placed[name] = value.detach()
        else:
            got = f"no value of {name}, which is computed or noise there"
            raise DataError(f"start of {spec.name}", got, "a start whose noise is in the same layers")
    kept = {name for name, _ in net.model.named_buffers() if name.rpartition(".")[0] not in layers}
    net.place(placed, {name: value for name, value in buffers.items() if name in kept})

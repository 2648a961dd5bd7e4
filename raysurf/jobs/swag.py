"""``swag``: a Gaussian over weights from the iterates that SWA averages, and the predictions of its samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from raysurf.jobs.job import SPLITS
from raysurf.jobs.swa import SWA
from raysurf.stochastic.spec import Scheme

if TYPE_CHECKING:
    from raysurf.jobs.context import Context
    from raysurf.training.checkpoints import State
    from raysurf.weightspace.gaussian import Moments

FIGURES = ("accuracy", "error", "nll", "brier", "ece")


class SWAG(SWA):
    """SWA that keeps the second moments too: its weights are the average, its samples come from SWAG's Gaussian.

    Samples have batch-norm statistics of their own, re-estimated for each. The figures are those of the ensemble on
    validation and test, of the average on train; each scheme's own are ``split/scheme_figure``. A job that differs in
    ``covariance``, ``scale`` or ``num_samples`` alone is sampled from the same training, which is not repeated.

    Source:
        Maddox et al. 2019 (arXiv:1902.02476), algorithm 1, and its code, whose first member is the one after the
        first cycle as here.
    """

    kind: ClassVar[str] = "swag"
    AFTER_TRAINING: ClassVar[frozenset[str]] = SWA.AFTER_TRAINING | {"covariance", "scale", "num_samples"}
    # A covariance needs two.
    LEAST_MEMBERS: ClassVar[int] = 2
    SCHEMES: ClassVar[tuple[Scheme, ...]] = ("deterministic", "stochastic", "ensemble")

    rank: int = Field(20, ge=2, description="deviations that are kept for the low-rank part, the newest")
    covariance: Literal["low_rank", "diagonal"] = Field("low_rank", description="low_rank has the diagonal too")
    scale: float | None = Field(
        None, ge=0, description="factor of the covariance; default the paper's: 0.5, of the diagonal alone 1"
    )
    num_samples: int = Field(30, ge=1, description="samples of the ensemble that is measured at the end")

    def metric_names(self) -> tuple[str, ...]:
        own = (f"{split}/{scheme}_{name}" for split in SPLITS for scheme in self.SCHEMES for name in FIGURES)
        return (*super().metric_names(), *own)

    @property
    def possible_schemes(self) -> tuple[Scheme, ...]:
        return self.SCHEMES

    @property
    def covariance_scale(self) -> float:
        """The factor of the covariance."""
        return self.scale if self.scale is not None else {"low_rank": 0.5, "diagonal": 1.0}[self.covariance]

    def _new_average(self, context: Context) -> Moments:
        from raysurf.weightspace.gaussian import Moments

        return Moments(self.rank, self._average_device(context))

    def run(self, context: Context) -> dict[str, float]:
        from raysurf.jobs.network import Network
        from raysurf.training.stream import stream
        from raysurf.weightspace.gaussian import Moments

        net, averaged = Network(self, context), Network(self, context)
        moments = self._train(context, net, averaged)
        assert isinstance(moments, Moments)
        context.save("weights", averaged.tensors())
        context.save("last", net.tensors())
        spread = {f"variance/{name}": value for name, value in moments.variance.items()}
        for number, deviation in enumerate(moments.deviations):
            spread |= {f"deviation{number}/{name}": value for name, value in deviation.items()}
        context.save("spread", spread)
        context.workers.barrier()
        net.report_predictions("last")
        found = averaged.report_predictions("average")
        figures = found | {name.replace("/", "/deterministic_"): value for name, value in found.items()}
        members = self.draw_members(context, self.num_samples, stream(self.seed, "predict").getrandbits(31))
        return figures | averaged.report_members(
            "samples", self.SCHEMES[1:], self.num_samples, members, reestimate=True, source=self.buffers
        )

    def draw_members(self, context: Context, num_samples: int, seed: int) -> Iterator[tuple[State, State]]:
        """Samples of the Gaussian, with the average's buffers; batch-norm statistics must be re-estimated."""
        import torch

        from raysurf.training.stream import stream
        from raysurf.weightspace.gaussian import sample

        mean, buffers = context.weights(self)
        parts: dict[str, State] = {}
        for key, value in context.load(self, "spread").items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = value
        variance = parts.pop("variance")
        deviations = list(parts.values()) if self.covariance == "low_rank" else []
        for number in range(num_samples):
            generator = torch.Generator().manual_seed(stream(seed, "swag", number).getrandbits(63))
            yield sample(mean, variance, deviations, self.covariance_scale, generator), buffers

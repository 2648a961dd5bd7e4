"""A sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from raysurf.sweep.search import Sampler, Search

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class EagerTPE(Sampler):
    """Tree-structured Parzen estimator that soon goes by what it has seen."""

    kind: ClassVar[str] = "eager_tpe"
    BY_VALUES: ClassVar[bool] = True
    startup: int = Field(2, ge=1, description="trials at random before")

    def build(self, search: Search, seed: int | None) -> BaseSampler:
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=self.startup, seed=seed)

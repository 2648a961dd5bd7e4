"""What a whole sweep may spend."""

from __future__ import annotations

from pydantic import Field, model_validator

from raysurf.values import Value


class Budget(Value):
    """Limits of a sweep, over all its arms and every time that it is run; a trial that would pass one never begins."""

    trials: int | None = Field(None, ge=1, description="trials that begin")
    epochs: float | None = Field(None, gt=0, description="epochs trained, inputs and baselines included")
    device_hours: float | None = Field(None, gt=0, description="hours of training and measuring, times the workers")
    wall_hours: float | None = Field(None, gt=0, description="hours in which anything of the sweep runs")

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if not self.limits:
            raise ValueError(f"a budget without a limit; expected one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def limits(self) -> dict[str, float]:
        """Those that are given, by name."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: limit for name, limit in given.items() if limit is not None}

    def __str__(self) -> str:
        """In words, such as ``at most 40 epochs and 2 device hours``."""
        return "at most " + " and ".join(f"{limit:g} {name.replace('_', ' ')}" for name, limit in self.limits.items())

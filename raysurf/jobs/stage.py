"""Which learning rates a training job has, in order."""

from __future__ import annotations

from dataclasses import dataclass

from raysurf.training.schedules import Schedule


@dataclass(frozen=True)
class Stage:
    """Epochs of a job that follow one schedule.

    Args:
        schedule: The schedule.
        epochs: How many are trained.
        length: Of the schedule, in epochs, at least ``epochs``.
        cycle_epochs: Length of a cycle, for cyclic schedules and members.
        first_member: Epoch at which weights are taken for the first time; None if none are.
        member_epochs: Epochs from there to the next; None for once a cycle.
    """

    schedule: Schedule
    epochs: int
    length: int
    cycle_epochs: float = 1.0
    first_member: float | None = None
    member_epochs: float | None = None

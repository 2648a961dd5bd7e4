"""Jobs whose outcome is an ensemble of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from raysurf.jobs.job import Job
from raysurf.stochastic.spec import Scheme

if TYPE_CHECKING:
    from raysurf.jobs.job import Context
    from raysurf.jobs.network import MemberAnswers, Network


class EnsembleJob(Job):
    """A job whose outcome is an ensemble of weights.

    Attributes:
        is_numbered: Whether its members are numbered, from 1, and kept with what they answer.
    """

    is_numbered: ClassVar[bool] = False

    @property
    def possible_schemes(self) -> tuple[Scheme, ...]:
        return ("stochastic", "ensemble")

    def stored_answers(self, net: Network, context: Context, members: Sequence[int]) -> Iterator[MemberAnswers]:
        """What some members, by their numbers, answered when they were trained: this worker's part by split."""
        raise AssertionError(f"{type(self).__name__} has no numbered members")

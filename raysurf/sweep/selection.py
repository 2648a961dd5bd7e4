"""Which arms and baselines of a sweep are run: all of them, or those that are asked for."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysurf.errors import Fault, SpecError, nearest
from raysurf.jobs.job import Job
from raysurf.sweep.sweep import Assignment, Sweep

KEYS = ("sweep", "arm", "kind", "trial")
SHOWN = 20


@dataclass(frozen=True)
class Arm:
    """One combination of a sweep's ``Each`` axes, and how many assignments of the other holes it tries.

    ``first`` is the number of its first trial in the sweep.
    """

    params: Mapping[str, Any]
    trials: int
    first: int = 0


@dataclass(frozen=True)
class Only:
    """What to run and what to leave as it is: under every key that has any, one of the texts must fit.

    Args:
        sweep: Names of sweeps; ``*`` stands for any characters, here and below.
        arm: Readable names of settings, whole or some words of them: ``lr=0.1`` fits ``sgd lr=0.1 momentum=0.9``.
        kind: Kinds of jobs.
        trial: Numbers of trials, of sweeps without a search.
    """

    sweep: tuple[str, ...] = ()
    arm: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    trial: tuple[int, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Only:
        """Read texts such as ``arm=lr=0.1`` and ``trial=3``.

        Raises:
            SpecError: If one is of no known form.
        """
        found: dict[str, tuple[Any, ...]] = {}
        for text in texts:
            key, mark, value = text.partition("=")
            if not mark or key not in KEYS or not value:
                near = nearest(key, KEYS)
                hint = f"did you mean {near}=…?" if near and key not in KEYS else ""
                raise SpecError([Fault("only", repr(text), f"one of {', '.join(f'{k}=…' for k in KEYS)}", hint)])
            if key == "trial" and not value.isdecimal():
                raise SpecError([Fault("only", repr(text), "trial= and a number")])
            found[key] = (*found.get(key, ()), int(value) if key == "trial" else value)
        return cls(**found)

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Only()

    def fits(self, sweep: str, arm: str, kind: str, trial: int | None) -> bool:
        """Whether a trial or a baseline is to be run; a baseline has the kind as its arm, and no trial."""
        named = ((self.sweep, sweep), (self.kind, kind))
        return (
            all(not texts or any(fnmatch.fnmatchcase(name, text) for text in texts) for texts, name in named)
            and (not self.arm or any(_fits_arm(arm, text) for text in self.arm))
            and (not self.trial or trial in self.trial)
        )


def _fits_arm(arm: str, text: str) -> bool:
    return fnmatch.fnmatchcase(arm, text) or f" {text} " in f" {arm} "


@dataclass(frozen=True)
class Part:
    """What is run of a sweep."""

    arms: tuple[Arm, ...]
    baselines: tuple[Job, ...]

    @property
    def numbers(self) -> set[int]:
        """Numbers of its trials."""
        return {number for arm in self.arms for number in range(arm.first, arm.first + arm.trials)}


def part_of(sweep: Sweep, only: Only) -> Part:
    """The arms and baselines that are asked for.

    Raises:
        SpecError: If trials of a search are asked for by number; each depends on those before it.
    """
    trials = [sweep.trials_in(arm) for arm in sweep.arms]
    firsts = itertools.accumulate(trials, initial=0)
    arms = [Arm(params, count, first) for params, count, first in zip(sweep.arms, trials, firsts, strict=False)]
    if only.is_everything:
        return Part(tuple(arms), sweep.baselines)
    every = [arm for arm in arms if any(_fits(sweep, only, each, arm) for each in assignments_in(sweep, [arm.params]))]
    if only.trial and sweep.is_searched and every:
        got = ", ".join(f"trial={number}" for number in only.trial)
        expected = f"arm=… or sweep=…: trials of the search of {sweep.name!r} follow from one another"
        raise SpecError([Fault("only", got, expected)])
    baselines = [job for job in sweep.baselines if only.fits(sweep.name, job.kind, job.kind, None)]
    return Part(tuple(every), tuple(baselines))


def _fits(sweep: Sweep, only: Only, assignment: Assignment, arm: Arm) -> bool:
    chosen = next((number for number in only.trial if arm.first <= number < arm.first + arm.trials), None)
    return only.fits(sweep.name, assignment.arm, assignment.jobs[0].kind, chosen)


def require_any(sweeps: Sequence[Sweep], only: Only, parts: Iterable[Part]) -> None:
    """Check that something is asked for.

    Raises:
        SpecError: If nothing fits; it lists the arms that there are.
    """
    if only.is_everything or any(part.arms or part.baselines for part in parts):
        return
    known = dict.fromkeys(f"{sweep.name}: {each.arm}" for sweep in sweeps for each in assignments_in(sweep, sweep.arms))
    listed = [*known][:SHOWN] + [f"{len(known) - SHOWN} more"] * (len(known) > SHOWN)
    got = ", ".join(f"{key}={value}" for key in KEYS for value in getattr(only, key))
    raise SpecError([Fault("only", got, f"what fits some arm; there are {'; '.join(listed)}")])


def assignments_in(sweep: Sweep, arms: Sequence[Mapping[str, Any]]) -> list[Assignment]:
    """A few assignments of some combinations of the ``Each`` axes: each with all samples of the other holes."""
    if len(sweep.arms) == 1:
        return sweep.samples if arms else []
    each = sweep.arms[0].keys()
    searched = [{k: v for k, v in s.params.items() if k not in each} for s in sweep.samples]
    unique = list({repr(sorted(params.items(), key=str)): params for params in searched}.values())
    return [sweep.fill({**params, **arm}) for arm in arms for params in unique]

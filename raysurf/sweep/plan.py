"""The plan of a file: which configurations and baselines are run. ``check`` prints it and ``run`` executes it."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from raysurf.errors import Fault, SpecError, nearest
from raysurf.jobs.job import Job
from raysurf.sweep.sweep import Assignment, Sweep

KEYS = ("sweep", "arm", "kind", "trial")
SHOWN = 20


@dataclass(frozen=True)
class Configuration:
    """One combination of a sweep's ``Each`` axes, and how many assignments of the other holes it tries.

    ``first`` is the number of its first trial in the sweep.
    """

    params: Mapping[str, Any]
    trials: int
    first: int = 0

    @property
    def numbers(self) -> range:
        """Numbers of its trials in the sweep."""
        return range(self.first, self.first + self.trials)


@dataclass(frozen=True)
class Only:
    """What to run and what to leave as it is: under every key that has any, one of the texts must fit.

    Args:
        sweep: Names of sweeps; ``*`` stands for any characters, here and below.
        arm: Readable names of configurations, whole or some words of them: ``lr=0.1`` fits ``sgd lr=0.1 momentum=0.9``.
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
        asked: dict[str, tuple[Any, ...]] = {}
        for text in texts:
            key, mark, value = text.partition("=")
            if not mark or key not in KEYS or not value:
                near = nearest(key, KEYS)
                hint = f"did you mean {near}=…?" if near and key not in KEYS else ""
                raise SpecError([Fault("only", repr(text), f"one of {', '.join(f'{k}=…' for k in KEYS)}", hint)])
            if key == "trial" and not value.isdecimal():
                raise SpecError([Fault("only", repr(text), "trial= and a number")])
            asked[key] = (*asked.get(key, ()), int(value) if key == "trial" else value)
        return cls(**asked)

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Only()

    def fits(self, sweep: str, arm: str, kind: str, trial: int | None) -> bool:
        """Whether a trial or a baseline is to be run; a baseline has its kind as ``arm``, and no trial."""
        named = ((self.sweep, sweep), (self.kind, kind))
        return (
            all(not texts or any(fnmatch.fnmatchcase(name, text) for text in texts) for texts, name in named)
            and (not self.arm or any(fnmatch.fnmatchcase(arm, text) or f" {text} " in f" {arm} " for text in self.arm))
            and (not self.trial or trial in self.trial)
        )


@dataclass(frozen=True)
class Part:
    """What is run of a sweep."""

    configurations: tuple[Configuration, ...]
    baselines: tuple[Job, ...]

    @property
    def numbers(self) -> set[int]:
        """Numbers of its trials."""
        return {number for configuration in self.configurations for number in configuration.numbers}


def part_of(sweep: Sweep, only: Only) -> Part:
    """The configurations and baselines that are asked for.

    Raises:
        SpecError: If trials of a search are asked for by number; each depends on those before it.
    """
    trials = [sweep.trials_in(params) for params in sweep.configurations]
    firsts = itertools.accumulate(trials, initial=0)
    configurations = [
        Configuration(params, count, first)
        for params, count, first in zip(sweep.configurations, trials, firsts, strict=False)
    ]
    if only.is_everything:
        return Part(tuple(configurations), sweep.baselines)
    every = []
    for configuration in configurations:
        chosen = next((number for number in only.trial if number in configuration.numbers), None)
        assignments = assignments_in(sweep, [configuration.params])
        if any(only.fits(sweep.name, assignment.arm, assignment.jobs[0].kind, chosen) for assignment in assignments):
            every.append(configuration)
    if only.trial and sweep.is_searched and every:
        got = ", ".join(f"trial={number}" for number in only.trial)
        expected = f"arm=… or sweep=…: trials of the search of {sweep.name!r} follow from one another"
        raise SpecError([Fault("only", got, expected)])
    baselines = [job for job in sweep.baselines if only.fits(sweep.name, job.kind, job.kind, None)]
    return Part(tuple(every), tuple(baselines))


def require_any(sweeps: Sequence[Sweep], only: Only, parts: Iterable[Part]) -> None:
    """Check that something is asked for.

    Raises:
        SpecError: If nothing fits; it lists the configurations that there are.
    """
    if only.is_everything or any(part.configurations or part.baselines for part in parts):
        return
    known = dict.fromkeys(
        f"{sweep.name}: {assignment.arm}"
        for sweep in sweeps
        for assignment in assignments_in(sweep, sweep.configurations)
    )
    listed = [*known][:SHOWN] + [f"{len(known) - SHOWN} more"] * (len(known) > SHOWN)
    got = ", ".join(f"{key}={value}" for key in KEYS for value in getattr(only, key))
    raise SpecError([Fault("only", got, f"what fits a configuration; there are {'; '.join(listed)}")])


def assignments_in(sweep: Sweep, configurations: Sequence[Mapping[str, Any]]) -> list[Assignment]:
    """A few assignments of some combinations of the ``Each`` axes: each with all samples of the other holes."""
    if len(sweep.configurations) == 1:
        return sweep.samples if configurations else []
    axes = sweep.configurations[0].keys()
    searched = [{k: v for k, v in s.params.items() if k not in axes} for s in sweep.samples]
    unique = list({repr(sorted(params.items(), key=str)): params for params in searched}.values())
    return [sweep.fill({**params, **configuration}) for configuration in configurations for params in unique]


Role = Literal["input", "baseline"]


@dataclass(frozen=True)
class PlannedJob:
    """A job that is run once, before the trials that need it or beside them."""

    job: Job
    role: Role
    done: bool


@dataclass(frozen=True)
class SweepPlan:
    """What one sweep will do.

    Args:
        sweep: The sweep.
        jobs: Inputs and baselines that are not part of an earlier plan of the same file, inputs first.
        configurations: The combinations of the ``Each`` axes that are run.
        trials_done: Trials that the store has already.
        finished: Ids of the jobs that the store has finished.
        earlier: What earlier plans of the same file run, as far as it is known, and what may be gone on from.
        trials_failed: How many of ``trials_done`` failed, and are not to be tried again.
        ended: Ids of the jobs and inputs of such of ``trials_done`` as no search has chosen.
    """

    sweep: Sweep
    jobs: tuple[PlannedJob, ...]
    configurations: tuple[Configuration, ...]
    trials_done: int
    finished: frozenset[str] = frozenset()
    earlier: tuple[Job, ...] = ()
    trials_failed: int = 0
    ended: frozenset[str] = frozenset()

    @property
    def trials(self) -> int:
        """Trials over all configurations."""
        return sum(configuration.trials for configuration in self.configurations)

    @cached_property
    def known_jobs(self) -> list[Job]:
        """What is known to be run: inputs and baselines, and without a search what the trials run by themselves."""
        known = {planned.job.id: planned.job for planned in self.jobs}
        if not self.sweep.is_searched:
            shared = {job.id for job in shared_inputs(self.sweep)}
            jobs = [job for configuration in self.configurations for job in self.sweep.fill(configuration.params).jobs]
            known |= {part.id: part for job in jobs for part in (*job.ancestors, job) if part.id not in shared}
        return list(known.values())

    @cached_property
    def _trial_jobs(self) -> list[list[Job]]:
        """What a trial needs, over all its seeds, shared inputs not counted: for a few typical trials."""
        shared = {job.id for job in shared_inputs(self.sweep)}
        by_trial = []
        for assignment in self.sweep.samples:
            parts = {j.id: j for job in assignment.jobs for j in (*job.ancestors, job) if j.id not in shared}
            by_trial.append(list(parts.values()))
        return by_trial

    @cached_property
    def _chosen_inputs(self) -> list[list[Job]]:
        """Those of them that some trials choose and that are then the same for all: they are run once."""
        fixed = self.sweep.fixed_jobs
        return [[job for job in jobs if job.id in fixed] for jobs in self._trial_jobs]

    def per_trial(self, cost: Callable[[Job], float]) -> tuple[float, float]:
        """The least and the most that a trial costs by itself."""
        fixed = self.sweep.fixed_jobs
        costs = [sum(cost(job) for job in jobs if job.id not in fixed) for jobs in self._trial_jobs]
        return min(costs), max(costs)

    def left_per_trial(self, cost: Callable[[Job], float]) -> float:
        """What each trial that is left costs by itself, about; what one trains for another is counted once."""
        if self.sweep.is_searched:
            return sum(self.per_trial(cost)) / 2
        inputs = self._left_of([planned.job for planned in self.jobs], cost)
        return (self._left_of(self.known_jobs, cost) - inputs) / max(1, self.trials - self.trials_done)

    def _left_of(self, jobs: Sequence[Job], cost: Callable[[Job], float]) -> float:
        """What unfinished ones of some jobs cost, from where earlier ones of the file end."""
        known = {job.id: job for job in (*self.earlier, *jobs)}
        finished = self.finished | self.ended | {job.id for job in self.earlier}
        return sum(cost_along(list(known.values()), finished, cost))

    def left(self, cost: Callable[[Job], float]) -> tuple[float, float]:
        """The least and the most that is left to be done.

        Args:
            cost: What a job costs by itself, in epochs, in points, or in work.
        """
        once = self._left_of(self.known_jobs, cost)
        if not self.sweep.is_searched:
            return once, once
        left = self.trials - self.trials_done
        if not left:
            return once, once
        low, high = self.per_trial(cost)
        chosen = min(self._left_of(jobs, cost) for jobs in self._chosen_inputs)
        every = {job.id: job for jobs in self._chosen_inputs for job in jobs}
        return once + chosen + left * low, once + self._left_of(list(every.values()), cost) + left * high


@dataclass(frozen=True)
class Plan:
    """Everything that a file asks for, in order.

    Args:
        sweeps: What each sweep will do.
        retry_failed: Whether what failed is to be tried again.
        accept_changed: Whether what is stored may be of another network or other data than there are now.
        replace: Whether trials of other definitions under the names of its sweeps may be replaced.
    """

    sweeps: tuple[SweepPlan, ...]
    retry_failed: bool = False
    accept_changed: bool = False
    replace: bool = False

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return all(p.trials_done == p.trials and all(job.done for job in p.jobs) for p in self.sweeps)


def make_plan(
    sweeps: Sequence[Sweep],
    done: Iterable[str],
    trials_done: Mapping[str, int],
    only: Only = Only(),
    retry_failed: bool = False,
) -> Plan:
    """Decide what is to be run.

    Args:
        sweeps: In order; a job that two of them need is run with the first.
        done: Ids of jobs that the store has finished.
        trials_done: Finished trials by sweep name, among those that ``only`` asks for.
        only: What to run of the sweeps; the others are left as they are.
        retry_failed: Whether trials that failed are tried again.

    Raises:
        SpecError: If ``only`` fits nothing.
    """
    finished, planned, plans = frozenset(done), set[str](), list[SweepPlan]()
    parts = [part_of(sweep, only) for sweep in sweeps]
    require_any(sweeps, only, parts)
    for sweep, part in zip(sweeps, parts, strict=True):
        if not part.configurations and not part.baselines:
            continue
        jobs: list[PlannedJob] = []
        wanted: list[tuple[Job, Role]] = [
            (job, "input")
            for job in shared_inputs(sweep, [configuration.params for configuration in part.configurations])
        ]
        for baseline in part.baselines:
            wanted += [(job, "input") for job in baseline.ancestors]
            wanted.append((baseline, "baseline"))
        for job, role in wanted:
            if job.id not in planned:
                planned.add(job.id)
                jobs.append(PlannedJob(job, role, job.id in finished))
        taken = min(len(part.numbers), trials_done.get(sweep.name, 0))
        earlier = tuple(job for plan in plans for job in plan.known_jobs)
        plans.append(SweepPlan(sweep, tuple(jobs), part.configurations, taken, finished, earlier))
    return Plan(tuple(plans), retry_failed)


def shared_inputs(sweep: Sweep, configurations: Sequence[Mapping[str, Any]] | None = None) -> list[Job]:
    """The inputs that do not depend on what is searched, inputs before what needs them.

    They are those that every sample of a configuration needs for the same seed, over all seeds, and over all
    configurations or these.
    """
    by_configuration: dict[str, list[Assignment]] = {}
    for assignment in assignments_in(sweep, sweep.configurations if configurations is None else configurations):
        by_configuration.setdefault(assignment.arm, []).append(assignment)
    inputs: dict[str, Job] = {}
    for assignments in by_configuration.values():
        for number in range(len(assignments[0].jobs)):
            chains = [{job.id: job for job in assignment.jobs[number].ancestors} for assignment in assignments]
            for run_id, job in chains[0].items():
                if all(run_id in chain for chain in chains):
                    inputs.setdefault(run_id, job)
    return list(inputs.values())


def waves(jobs: Sequence[Job]) -> list[list[Job]]:
    """Group jobs so that each one's inputs among them, and what it goes on from, are in an earlier group."""
    depth: dict[str, int] = {}
    along: dict[str, int] = {}
    for job in sorted(jobs, key=lambda job: (len(job.ancestors), job.epochs_to_train)):
        inputs = (depth[needed.id] for needed in job.ancestors if needed.id in depth)
        trajectory = job.trajectory or job.id
        depth[job.id] = along[trajectory] = 1 + max(along.get(trajectory, -1), max(inputs, default=-1))
    return [[job for job in jobs if depth[job.id] == level] for level in range(max(depth.values(), default=-1) + 1)]


def continued(configurations: Sequence[Sequence[Job]]) -> dict[int, set[int]]:
    """The configurations that continue the training of others, since a job is a longer one on the same trajectory.

    Args:
        configurations: The jobs of each.

    Returns:
        The configurations that each must wait for, by number.
    """
    ends: dict[str, list[tuple[int, int]]] = {}
    for number, jobs in enumerate(configurations):
        for job in jobs:
            if job.trajectory is not None:
                ends.setdefault(job.trajectory, []).append((job.epochs_to_train, number))
    after: dict[int, set[int]] = {}
    for along in ends.values():
        for (_, first), (_, then) in itertools.pairwise(sorted(set(along))):
            if first != then:
                after.setdefault(then, set()).add(first)
    return after


def cost_along(jobs: Sequence[Job], finished: Collection[str], cost: Callable[[Job], float]) -> list[float]:
    """What the unfinished ones among some jobs cost, each from where a shorter one on its trajectory ends.

    Args:
        jobs: Different jobs; those that are finished are there to go on from.
        finished: Ids of what is done.
        cost: What a job costs from its beginning.
    """
    reached: dict[str, float] = {}
    costs = []
    for job in sorted(jobs, key=lambda job: job.epochs_to_train):
        whole, along = cost(job), job.trajectory or job.id
        if job.id not in finished:
            costs.append(max(0.0, whole - reached.get(along, 0.0)))
        reached[along] = whole
    return costs

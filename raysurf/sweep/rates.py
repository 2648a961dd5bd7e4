"""The learning rates that a file asks for, step by step, without data, network or store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from raysurf.jobs.job import Job
from raysurf.jobs.training_job import Stage, TrainingJob
from raysurf.sweep.sweep import Sweep
from raysurf.training.schedules import Span

EPOCH_STEPS = 50
CYCLE_STEPS = 40
MAX_EPOCH_STEPS = 1000


@dataclass(frozen=True)
class Chain:
    """Training jobs that go on from one another, the last one asked for.

    Args:
        jobs: In order.
        params: What was put into the sweep's holes.
    """

    jobs: tuple[TrainingJob, ...]
    params: dict[str, Any]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those of all its jobs, in order."""
        return tuple(stage for job in self.jobs for stage in job.stages)

    @property
    def name(self) -> str:
        """Kinds of jobs and of their schedules, such as "sgd plateau_linear → swa cyclic"."""
        return " → ".join(f"{job.kind} {_kinds(job.stages)}" for job in self.jobs)


@dataclass(frozen=True)
class Rates:
    """The learning rate along a chain.

    Args:
        epochs: Where each step begins, in epochs from the start of the first job.
        rates: The rate of each step.
        members: Epochs at which weights are taken for an average or an ensemble.
        seams: Epochs at which one job ends and the next begins.
    """

    epochs: tuple[float, ...]
    rates: tuple[float, ...]
    members: tuple[float, ...]
    seams: tuple[float, ...]


def chains(sweeps: Iterable[Sweep]) -> list[Chain]:
    """The chains of training jobs of sweeps, in order, of those with the same rates the first.

    Of a searched hole the lowest and the highest value, or every option, is taken, others at their first.
    """
    by_stages: dict[tuple[Stage, ...], Chain] = {}
    for sweep in sweeps:
        asked: list[tuple[Job, dict[str, Any]]] = [(job, {}) for job in sweep.baselines]
        asked += [(assignment.jobs[0], dict(assignment.params)) for assignment in sweep.samples]
        for job, params in asked:
            for jobs in _chains_of(job):
                chain = Chain(jobs, params)
                by_stages.setdefault(chain.stages, chain)
    return list(by_stages.values())


def rates_of(chain: Chain) -> Rates:
    """The rates of a chain, at so many steps an epoch that its cycles can be seen."""
    shortest = min(stage.cycle_epochs for stage in chain.stages)
    per_epoch = min(max(EPOCH_STEPS, round(CYCLE_STEPS / shortest)), MAX_EPOCH_STEPS)
    epochs: list[float] = []
    rates: list[float] = []
    members: list[float] = []
    seams: list[float] = []
    origin = 0.0
    for job in chain.jobs:
        seams.append(origin)
        for stage in job.stages:
            span = Span(stage.length * per_epoch, max(1, round(stage.cycle_epochs * per_epoch)), per_epoch)
            num_steps = stage.epochs * per_epoch
            epochs += [origin + step / per_epoch for step in range(num_steps)]
            rates += [stage.schedule.rate(step, span) for step in range(num_steps)]
            members += [origin + at for at in _members(stage)]
            origin += stage.epochs
    return Rates(tuple(epochs), tuple(rates), tuple(members), tuple(seams[1:]))


def _members(stage: Stage) -> list[float]:
    if stage.first_member is None:
        return []
    every = stage.member_epochs or stage.cycle_epochs
    count = int((stage.epochs - stage.first_member) / every + 1e-9) + 1
    return [stage.first_member + i * every for i in range(count)]


def _chains_of(job: Job) -> list[tuple[TrainingJob, ...]]:
    """The chains that end in a job, or in what it measures: in every training job that no other starts from."""
    trained = [part for part in (*job.ancestors, job) if isinstance(part, TrainingJob)]
    begun = {start.id for part in trained if (start := _start_of(part)) is not None}
    return [_up_to(part) for part in trained if part.id not in begun]


def _up_to(job: TrainingJob) -> tuple[TrainingJob, ...]:
    start = _start_of(job)
    return (job,) if start is None else (*_up_to(start), job)


def _start_of(job: TrainingJob) -> TrainingJob | None:
    start = getattr(job, "start", None)
    return start if isinstance(start, TrainingJob) else None


def _kinds(stages: Sequence[Stage]) -> str:
    return ", ".join(dict.fromkeys(stage.schedule.label for stage in stages))

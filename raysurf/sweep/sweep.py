"""A sweep: a job with holes, how the holes are searched, and on what."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from raysurf.errors import SpecError
from raysurf.jobs.job import SETTINGS, Job, code_in, to_tree
from raysurf.jobs.parse import parse
from raysurf.store.parts import WHOLE
from raysurf.sweep import assignments, space
from raysurf.sweep.assignments import canonical, fitted
from raysurf.sweep.lineage import earlier_values, going_on_from, own_values
from raysurf.sweep.search import Budget, Search
from raysurf.values import Value, as_tuple

# Ray counts GPUs in these.
LEAST_GPUS = 0.0001


def _workers(value: Any) -> Any:
    numbers = value if isinstance(value, list | tuple) else [value, value]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)
    if not whole or len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
        raise ValueError("a number from 1, or the least and the most, such as [2, 8]")
    return as_tuple(value)


def _gpus(value: float) -> float:
    if (value > 1 and value != int(value)) or 0 < value < LEAST_GPUS:
        raise ValueError(f"a whole number of GPUs, or a share of one from {LEAST_GPUS:g}")
    return value


class Resources(Value):
    """What one job runs on; no part of what it is."""

    workers: Annotated[int | tuple[int, int], BeforeValidator(_workers)] = Field(
        1, description="data-parallel workers a training job; 2 or more run in Ray Train; [2, 8] as many as there are"
    )
    cpus: int = Field(1, ge=1, description="CPU cores a worker")
    gpus: Annotated[float, AfterValidator(_gpus)] = Field(0, ge=0, description="GPUs a worker; a fraction shares one")

    @property
    def least_workers(self) -> int:
        """Workers without which no job begins."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def most_workers(self) -> int:
        """Workers of a job where there is room for them."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]


class Failures(Value):
    """What is done about trials that fail; no part of what they are."""

    retries: int = Field(2, ge=0, description="more tries of what lost its process or node, or ran out of memory")
    max_failed_share: float = Field(1.0, ge=0, le=1, description="of all trials; when more have failed, no more begin")
    time_limit_s: float | None = Field(None, gt=0, description="seconds after which a trial is ended, and has failed")


def _meaning_of(job: Job) -> str:
    """A job in canonical form, with training settings left out where they state the default."""

    def without_defaults(tree: Any) -> Any:
        if isinstance(tree, list):
            return [without_defaults(inner) for inner in tree]
        if not isinstance(tree, dict):
            return tree
        kept = {k: v for k, v in tree.items() if k not in SETTINGS or v != SETTINGS[k]}
        return {k: without_defaults(v) for k, v in kept.items()}

    return json.dumps(without_defaults(to_tree(job, left_out=True)), sort_keys=True)


@dataclass(frozen=True)
class Assignment:
    """One way to fill the holes of a sweep: its parameters, the configuration's readable name, and a job a seed."""

    params: Mapping[str, Any]
    arm: str
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class Sweep:
    """A job with holes and how to search them.

    Args:
        job: A job, or a tree of plain mappings with holes in it (``Job.with_holes`` makes one).
        search: How holes are filled; needed if and only if there are any besides ``Each``.
        name: The sweep's name in every table.
        seeds: Each trial runs once a seed; its value is the mean.
        baselines: Jobs without holes that are run beside the trials, to compare with.
        resources: What each job runs on.
        budget: What the whole sweep may spend.
        failures: What is done about trials that fail.
        folder: That of its file, where modules which it names are looked for besides the working folder.

    Raises:
        SpecError: With every fault found.
    """

    job: Any
    search: Search | None = None
    name: str = "sweep"
    seeds: tuple[int, ...] = ()
    baselines: tuple[Job, ...] = ()
    resources: Resources = field(default_factory=Resources)
    failures: Failures = field(default_factory=Failures)
    budget: Budget | None = None
    folder: str = ""

    def __post_init__(self) -> None:
        from raysurf.sweep.checks import sweep_faults

        if isinstance(self.job, Job):
            object.__setattr__(self, "job", to_tree(self.job))
        object.__setattr__(self, "seeds", tuple(self.seeds))
        object.__setattr__(self, "baselines", tuple(self.baselines))
        if faults := sweep_faults(self):
            raise SpecError([fault for _, fault in faults])

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Every hole by its parameter's name."""
        return space.parameters(self.job)

    @cached_property
    def is_searched(self) -> bool:
        """Whether any hole is left to Optuna, rather than to ``Each`` alone."""
        return any(not isinstance(hole, space.Each) for hole in self.parameters.values())

    @cached_property
    def configurations(self) -> list[dict[str, Any]]:
        """Every combination of the ``Each`` axes; one empty one if there are none."""
        return space.configurations(self.job)

    @cached_property
    def digest(self) -> str:
        """What the trials depend on, however it is written: the holes, the search, and the jobs that the holes make.

        Not the name, how many trials or generations, budget, failures or resources. The jobs, seeds included, stand for
        all that is no hole.
        """
        made = [
            [self._canonical(sample.params), sorted(_meaning_of(job) for job in sample.jobs)] for sample in self.samples
        ]
        meaning = {
            "holes": {name: space.meaning(hole) for name, hole in self.parameters.items()},
            "jobs": sorted(made, key=lambda sample: json.dumps(sample, sort_keys=True)),
            "search": self._meaning_of_search(),
        }
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:12]

    def _canonical(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: canonical(self.parameters[name], value) for name, value in params.items()}

    def _meaning_of_search(self) -> dict[str, Any]:
        if self.search is None:
            return {}
        tree = to_tree(self.search, left_out=True)
        for name in ("trials", "generations", "metric", "mode", *(["batch"] if self.search.seed is None else [])):
            tree.pop(name, None)
        points = [fitted(self.job, point) for point in self.search.points]
        return {**tree, "metrics": self.search.metrics, "directions": self.search.directions, "points": points}

    @cached_property
    def definitions(self) -> tuple[str, str]:
        """The digest, and the one that was written before it did not depend on how things are written.

        The latter's trials called a hole or a list among options by its number, so that they do not fit any more.
        """
        search = to_tree(self.search) if self.search else {}
        for length in ("trials", "generations"):
            search.pop(length, None)
        text = json.dumps([repr(self.job), search, self.seeds])
        options = [option for hole in self.parameters.values() for option in getattr(hole, "options", ())]
        is_renamed = any(isinstance(option, space.Hole | list) for option in options)
        return self.digest, self.digest if is_renamed else hashlib.sha256(text.encode()).hexdigest()[:12]

    def trials_in(self, configuration: Mapping[str, Any]) -> int:
        """How many assignments a configuration tries: none twice, except by a population."""
        if self.search is None or not self.is_searched:
            return 1
        return self.search.method.num_trials(self.search, self.num_assignments)

    @cached_property
    def num_assignments(self) -> float:
        """How many assignments of its searched holes a configuration has; infinity if one is continuous."""
        return assignments.size(self.job)

    @property
    def is_exhausted(self) -> bool:
        """Whether more trials are asked for than its holes have assignments."""
        asked = self.search.trials if self.search is not None and self.is_searched else None
        return asked is not None and asked > self.num_assignments

    def grid(self, configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The assignments of a configuration's searched holes that are tried, in order."""
        first = itertools.islice(assignments.grid(self.job, configuration), self.trials_in(configuration))
        return [{k: v for k, v in params.items() if k not in configuration} for params in first]

    def fill(self, params: Mapping[str, Any]) -> Assignment:
        """Put values into every hole, for every generation of a lineage.

        Raises:
            SpecError: If the values make no valid job.
        """
        is_population = self.search is not None and self.search.method.IN_GENERATIONS
        own, earlier = (own_values(params), earlier_values(params)) if is_population else (params, [])
        axes = {k: v for k, v in own.items() if isinstance(self.parameters.get(k), space.Each)}
        job = None
        for values in (*earlier, own):
            job = self._job({**axes, **values}, job)
        assert job is not None
        jobs = tuple(job.with_seed(seed) for seed in self.seeds) or (job,)
        name = " ".join([job.kind, *(f"{k or WHOLE}={v}" for k, v in axes.items())])
        return Assignment(dict(params), name, jobs)

    def _job(self, values: Mapping[str, Any], before: Job | None) -> Job:
        """The job with these values, which goes on from the one of the generation before, if there is one."""
        tree = space.fill(self.job, values)
        if before is not None:
            tree = going_on_from(before, tree)
        job, faults = parse(tree, ("job",))
        if faults:
            raise SpecError([fault for _, fault in faults])
        assert isinstance(job, Job)
        return job

    @cached_property
    def fixed_jobs(self) -> dict[str, Job]:
        """Jobs by id that are written without a hole, for every seed: whatever trials want them want the same."""
        fixed: dict[str, Job] = {}
        for tree in space.without_holes(self.job):
            job, faults = parse(tree, ("job",)) if "kind" in tree else (None, [])
            if isinstance(job, Job) and not faults:
                for seeded in tuple(job.with_seed(seed) for seed in self.seeds) or (job,):
                    fixed |= {part.id: part for part in (*seeded.ancestors, seeded)}
        return fixed

    @property
    def code(self) -> list[str]:
        """``module:name`` of everything that it names and that is no part of raysurf."""
        jobs = [*(job for assignment in self.samples for job in assignment.jobs), *self.baselines]
        values = [*jobs, *([] if self.search is None else [self.search.method])]
        return sorted({name for value in values for name in code_in(value)})

    @cached_property
    def samples(self) -> list[Assignment]:
        """A few assignments that between them touch every hole's extremes and options."""
        return [self.fill(params) for params in assignments.samples(self.job)]

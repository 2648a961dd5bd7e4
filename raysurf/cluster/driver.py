"""Execute a plan: inputs in waves, then each sweep's trials, each result a row as it comes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Literal

from raysurf.cluster import ray_patches
from raysurf.cluster.capacity import Capacity, local_capacity, require_resources
from raysurf.cluster.events import Finished, Listener, RunEnded, StageStarted, SweepEnded
from raysurf.cluster.ray_cluster import connection, is_joined, ray_storage
from raysurf.cluster.searchers import ConfigurationSearcher, ConfigurationsSearcher, Stage, TaskList, TrialQueue, replay
from raysurf.cluster.shutdown import GracefulShutdown
from raysurf.cluster.spending import Spending, Verdict, with_inputs
from raysurf.cluster.stopping import EarlyStopping
from raysurf.cluster.study import StudyFile, Values
from raysurf.cluster.task import Task
from raysurf.cluster.trial_events import PointsEvents, Recorder, TrialEvents, alone, needs
from raysurf.cluster.trial_table import TrialTable, is_one_job
from raysurf.cluster.tune import run_in_tune, run_inline
from raysurf.cluster.warm_start import WarmStart, warm_start
from raysurf.jobs.completeness import FinishedJobs
from raysurf.jobs.fingerprints import Unchanged
from raysurf.jobs.job import Job, seed_of
from raysurf.jobs.measuring import MeasuringJob, missing_points, pieces
from raysurf.jobs.outcome import metrics_of
from raysurf.jobs.provenance import Labels
from raysurf.store.compaction import tidy
from raysurf.store.lease import Lease, polled, remove_dead
from raysurf.store.store import Store
from raysurf.store.tables import rows_of_run
from raysurf.sweep.plan import Configuration, Plan, SweepPlan, continued, waves
from raysurf.sweep.sweep import Assignment, Resources, Sweep

Executor = Literal["ray", "inline"]
# No more trials wait for nodes at a time: what is searched for is chosen when they begin to.
MOST_AHEAD = 64
ALL = (0, 2**31)


def run_plan(
    plan: Plan,
    store: Store,
    listener: Listener,
    address: str | None = None,
    executor: Executor = "ray",
    shutdown: GracefulShutdown | None = None,
) -> Finished:
    """Run what is left of a plan.

    Args:
        plan: What to do.
        store: Where everything goes.
        listener: Called with everything that happens, in this process.
        address: Of a running Ray cluster; None starts one on this machine if anything is left to do.
        executor: ``inline`` runs everything here, one job after another, without Ray.
        shutdown: Asks for an end before everything is done. What ran then is to be run again; it has not failed.

    Returns:
        How many trials and inputs there were, and how many failed.

    Raises:
        ResourceError: If a job needs more than the cluster has; nothing has been started then.
        ChangedError: If what is stored was made of another network or other data than there are now.
        StoreUnavailableError: If the store is full, or away for longer than it is waited for. What is finished is kept.
    """
    recorder = Recorder(plan, store, listener, shutdown or GracefulShutdown())
    with ExitStack() as stack:
        capacity = local_capacity()
        if executor == "ray":
            groups = any(planned.sweep.resources.most_workers > 1 for planned in plan.sweeps)
            if address is not None or is_joined():
                capacity = stack.enter_context(connection(address, groups))
            require_resources(plan, capacity)
        stages = stack.enter_context(closing(Driver(plan, recorder).stages()))
        first = next(stages, None)
        has_work = first is not None
        if has_work:
            store.make()
            if executor == "ray":
                if not is_joined():
                    capacity = stack.enter_context(connection(None, groups))
                storage = stack.enter_context(ray_storage(store))
                for text in ray_patches.notices(groups):
                    recorder.notice(text)
        while first is not None:
            queue = TrialQueue(first, stages, lambda: recorder.shutdown.requested)
            if executor == "ray":
                with recorder.shutdown:
                    if (waits_for := capacity.waits_for(first.resources)) is not None:
                        recorder.notice(f"sweep {first.sweep.name} waits for the autoscaler: {waits_for}")
                    run_in_tune(queue, capacity, storage, recorder, _most_ahead(plan, capacity, first.resources))
            else:
                run_inline(queue, recorder)
            if recorder.changed is not None:
                raise recorder.changed
            first = queue.left_over
    # Of workers that were killed, and whose job was not tried again.
    remove_dead(store)
    if has_work and not recorder.shutdown.requested:
        tidy(store, recorder.notice)
    names = tuple(planned.sweep.name for planned in plan.sweeps)
    return Finished(recorder.trials, recorder.failed, tuple(recorder.stopped), store.uri, names, recorder.num_inputs)


def _most_ahead(plan: Plan, capacity: Capacity, resources: Resources) -> int:
    """How many trials may run and wait for room at a time; one where a budget is kept, which counts those that run."""
    if any(planned.sweep.budget is not None for planned in plan.sweeps):
        return 1
    return min(capacity.trials_at_once(resources), capacity.trials_now(resources) + MOST_AHEAD)


class Driver:
    """The stages of a plan's sweeps, each decided when the one before has ended."""

    def __init__(self, plan: Plan, recorder: Recorder) -> None:
        self.plan, self.recorder = plan, recorder
        self.store, self.listener, self.notice = recorder.store, recorder.listener, recorder.notice
        self.done = FinishedJobs(self.store, self.notice, Unchanged(self.store, plan.accept_changed, writes=True))

    def stages(self) -> Generator[Stage, None, None]:
        """Everything that is left to run; what is done already is taken on the way."""
        for plan in self.plan.sweeps:
            with self._sweep_lease(plan):
                yield from self._stages(plan)
            self.listener(SweepEnded(plan.sweep))

    @contextmanager
    def _sweep_lease(self, plan: SweepPlan) -> Iterator[None]:
        """Wait until no other driver runs trials that are in a plan, and keep others waiting until the block's end.

        A search, and a budget, go by all trials of their sweep, which is one driver's then. Without, drivers that run
        other trials of it (``--only``) do not wait for each other.
        """
        sweep, part = plan.sweep, ALL
        if not sweep.is_searched and sweep.budget is None:
            numbers = [configuration.numbers for configuration in plan.configurations]
            part = (min((n.start for n in numbers), default=0), max((n.stop for n in numbers), default=0))
        # Jobs that a program runs are all called by their kind.
        name = f"sweep.{sweep.name}.{sweep.digest}" if is_one_job(sweep) else f"sweep.{sweep.name}"
        with Lease(self.store, name, "", part) as lease:
            is_waiting = False
            for holder in polled(lease.take):
                if holder is None:
                    break
                if not is_waiting:
                    self.notice(f"sweep {sweep.name} is being run by {holder}; waiting for it")
                    is_waiting = True
            yield

    def _stages(self, plan: SweepPlan) -> Iterator[Stage]:
        sweep = plan.sweep
        # Read again: another driver may have had the sweep's lease since it was planned.
        table = TrialTable(self.store, sweep, self.plan.retry_failed, self.done)
        table.require_own_name(self.plan.replace)
        table.adopt()
        spending = Spending(table, [planned.job for planned in plan.jobs])
        trials, points = self.recorder.add_sweep(table, spending, plan.trials)
        yield from self._inputs(plan, points)
        yield from self._trials(plan, trials, points)
        if sweep.budget is not None:
            spending.keep()
            left = sum(n not in table.rows for configuration in plan.configurations for n in configuration.numbers)
            unbegun = f"; {left} of {plan.trials} trials did not begin" if left > 0 else ""
            self.notice(f"budget of {sweep.name}: {spending} spent{unbegun}")

    def _inputs(self, plan: SweepPlan, points: PointsEvents) -> Iterator[Stage]:
        sweep, left = plan.sweep, list[Job]()
        roles = {planned.job.id: planned.role for planned in plan.jobs}
        metrics = {planned.job.id: self.done.metrics(planned.job) for planned in plan.jobs}
        if plan.jobs:
            done = sum(of_job is not None for of_job in metrics.values())
            self.listener(StageStarted(sweep, "inputs", len(plan.jobs), done))
        for job in (planned.job for planned in plan.jobs):
            if (of_job := metrics[job.id]) is None:
                left.append(job)
                continue
            self.recorder.num_inputs += 1
            role = roles[job.id]
            label = f"{role} {job.id}"
            self.listener(RunEnded(sweep, -1, label, (job,), "done", True, metrics=of_job, arm=job.kind, role=role))
        for wave in waves(left):
            yield from self._spread(sweep, wave, points)
            for measures in (False, True):
                jobs = [job for job in wave if isinstance(job, MeasuringJob) == measures]
                tasks = [
                    self._task(sweep, number, roles[job.id], f"{roles[job.id]} {job.id}", job)
                    for number, job in enumerate(jobs)
                ]
                if tasks:
                    yield Stage(TaskList(tasks), sweep, needs(sweep, jobs))

    def _spread(self, sweep: Sweep, jobs: Iterable[Job], points: PointsEvents) -> Iterator[Stage]:
        """Pieces of the measuring jobs among some whose inputs are done, so that every worker takes part in each."""
        tasks: list[Task] = []
        for job in jobs:
            is_ready = all(metrics_of(self.store, needed.id) is not None for needed in job.ancestors)
            if not isinstance(job, MeasuringJob) or not is_ready or metrics_of(self.store, job.id) is not None:
                continue
            missing = missing_points(job, rows_of_run(self.store, "surface", job.id))
            points.measured[job.id] = job.points_to_measure - len(missing)
            for piece in pieces(job, missing):
                task = self._task(sweep, len(tasks), "points", f"{job.kind} points {piece[0]}-", job)
                tasks.append(dataclasses.replace(task, points=piece))
        if len(tasks) > 1:
            yield Stage(TaskList(tasks), sweep, alone(sweep.resources))

    def _task(self, sweep: Sweep, number: int, role: str, label: str, job: Job) -> Task:
        labels = Labels(sweep.name, role, job.kind, self.recorder.provenance)
        return self.recorder.task(sweep, number, label, (job,), labels)

    def _trials(self, plan: SweepPlan, trials: TrialEvents, points: PointsEvents) -> Iterator[Stage]:
        if not plan.configurations:
            return
        sweep, search = plan.sweep, plan.sweep.search
        self.listener(StageStarted(sweep, "trials", plan.trials, plan.trials_done))
        if search is not None and sweep.is_exhausted:
            few = f"{sweep.trials_in(plan.configurations[0].params)} trials of {sweep.name}, not {search.trials}"
            self.notice(f"{few}: its holes have no more assignments")
        warm = warm_start(self.store, sweep)
        if warm is not None:
            self.notice(f"warm start of {sweep.name}: {warm}")
        left: list[tuple[Resources, ConfigurationSearcher, Sequence[Job]]] = []
        again: list[Task] = []
        for configuration in plan.configurations:
            searcher, failed = self._searcher(configuration, trials, warm)
            again += [trials.task(number, searcher.params[number]) for number in failed]
            if searcher.queue or searcher.issued < configuration.trials:
                jobs = [] if sweep.is_searched else sweep.fill(configuration.params).jobs
                left.append((needs(sweep, jobs), searcher, jobs))
        if search is not None and search.stopping is not None:
            longest = max(job.epochs_to_train for sample in sweep.samples for job in with_inputs(sample.jobs))
            trials.stopping = EarlyStopping(search, longest, trials.table)
        if sweep.is_searched:
            trials.study = StudyFile(trials.table, self.notice)
        trials.stop_if_too_many_failed()
        if again:
            yield Stage(TaskList(again, trials.may_begin), sweep, sweep.resources, lambda: trials.is_over)
        if sweep.budget is None and not trials.is_over:
            # A budget is kept trial by trial, so that nothing of one may begin before it.
            yield from self._spread(sweep, [job for _, _, jobs in left for job in jobs], points)
            if not sweep.is_searched and len(sweep.seeds) > 1:
                yield from self._seeds([searcher.configuration for _, searcher, _ in left], trials)
        for resources, together in itertools.groupby(left, key=lambda entry: entry[0]):
            _, searchers, jobs_of = zip(*together, strict=True)
            yield Stage(ConfigurationsSearcher(searchers, continued(jobs_of)), sweep, resources)

    def _seeds(self, configurations: Sequence[Configuration], trials: TrialEvents) -> Iterator[Stage]:
        """The seeds of trials that are known beforehand, each by itself, so that they run beside one another."""
        sweep = trials.sweep
        wanted: dict[str, tuple[Job, int, Mapping[str, object]]] = {}
        for configuration in configurations:
            for job in sweep.fill(configuration.params).jobs:
                is_due = metrics_of(self.store, job.id) is None and not isinstance(job, MeasuringJob)
                if is_due and trials.why_not(job) is None:
                    wanted.setdefault(job.id, (job, configuration.first, configuration.params))
        for wave in waves([job for job, _, _ in wanted.values()]):
            tasks = []
            for job in wave:
                _, number, params = wanted[job.id]
                whole = trials.task(number, params)
                label = f"{whole.label} seed {seed_of(job)}"
                tasks.append(dataclasses.replace(whole, label=label, jobs=(job,), fault=None, replicate=True))
            yield Stage(TaskList(tasks), sweep, needs(sweep, wave), lambda: trials.is_over)

    def _searcher(
        self, configuration: Configuration, trials: TrialEvents, warm: WarmStart | None
    ) -> tuple[ConfigurationSearcher, list[int]]:
        """The searcher of what is left of a configuration, and trials to try again though its search has gone on.

        Trials that are done are taken as they are. What a search suggests follows from the ends of trials that it knew,
        so such trials count as failed for it, whatever comes of them.
        """
        sweep, table = trials.sweep, trials.table
        again: list[int] = []

        def task(number: int) -> Task:
            return trials.task(number, searcher.params[number])

        def finished(number: int, assignment: Assignment) -> tuple[Values | None, bool] | None:
            end = table.finished(number, assignment)
            if table.is_known_as_failed(number, assignment):
                if end is None:
                    again.append(number)
                return None, True
            return None if end is None else (end.values, end.state == "failed")

        def may_begin(number: int) -> Verdict:
            return trials.may_begin(task(number))

        def stopped() -> bool:
            # A trial of which a seed has begun comes to its end.
            return trials.is_over and (sweep.is_searched or configuration.first not in trials.begun)

        begun = {n: table.params(n) for n in configuration.numbers if n in table.rows} if sweep.is_searched else {}
        known_trials = warm.of_configuration(sweep, configuration.params) if warm else []
        searcher = ConfigurationSearcher(
            sweep, configuration, begun, task, stopped, known_trials, may_begin if sweep.budget else None
        )
        taken = replay(searcher, finished)
        again = [number for number in again if number in taken]
        table.retried |= set(again)
        for number in taken:
            if number not in again:
                trials.reused(number, searcher.params[number])
        return searcher, again

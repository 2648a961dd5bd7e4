"""Execute a plan: inputs in waves, then each sweep's trials, each result a row as it comes."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from raysurf.cluster.capacity import Capacity, local_capacity, require_resources
from raysurf.cluster.events import Finished, Listener, Notice, RunEnded, StageStarted, SweepEnded
from raysurf.cluster.ray_cluster import connection, is_joined, ray_storage
from raysurf.cluster.shutdown import Leaving
from raysurf.cluster.spending import Spending, Verdict
from raysurf.cluster.stopping import EarlyStopping
from raysurf.cluster.sweep_turn import sweep_turn
from raysurf.cluster.task import Report, Request
from raysurf.cluster.trial_events import InputHandlers, PieceHandlers, ReplicateHandlers, TrialHandlers
from raysurf.cluster.trial_table import Ledger
from raysurf.cluster.warm_start import WarmStart, warm_start
from raysurf.errors import ChangedError, StoreUnavailableError
from raysurf.jobs.completeness import FinishedJobs
from raysurf.jobs.fingerprints import Unchanged
from raysurf.jobs.geometry import seed_of
from raysurf.jobs.job import Job
from raysurf.jobs.measuring import MeasuringJob, missing_points, pieces
from raysurf.jobs.outcome import figures_of
from raysurf.jobs.provenance import Labels, collect
from raysurf.store.lease import remove_dead
from raysurf.store.store import Store
from raysurf.store.tables import rows_of_run
from raysurf.store.tidying import tidy
from raysurf.sweep.plan import Arm, Plan, SweepPlan, continued, waves
from raysurf.sweep.sweep import Assignment, Resources, Sweep

if TYPE_CHECKING:
    from raysurf.cluster.searchers import Stage, Suggestions
    from raysurf.cluster.study import Values

Executor = Literal["ray", "inline"]
# No more trials wait for nodes at a time: what is searched for is chosen when they begin to.
MOST_AHEAD = 64

# One notice in so many seconds that the store, or somebody else's work on one job, is being waited for.
WAITING_S = 60.0


def run_plan(
    plan: Plan,
    store: Store,
    listener: Listener,
    address: str | None = None,
    executor: Executor = "ray",
    leaving: Leaving | None = None,
) -> Finished:
    """Run what is left of a plan.

    Args:
        plan: What to do.
        store: Where everything goes.
        listener: Told of everything that happens, in this process.
        address: Of a running Ray cluster; None starts one on this machine if anything is left to do.
        executor: ``inline`` runs everything here, one job after another, without Ray.
        leaving: Asks for an end before everything is done. What ran then is to be run again; it has not failed.

    Returns:
        How many trials and inputs there were, and how many failed.

    Raises:
        ResourceError: If a job needs more than the cluster has; nothing has been started then.
        ChangedError: If what is stored was made of another network or other data than there are now.
        StoreUnavailableError: If the store is full, or away for longer than it is waited for. What is finished is kept.
    """
    driver = Driver(plan, store, listener, leaving or Leaving())
    with ExitStack() as stack:
        capacity = local_capacity()
        if executor == "ray":
            groups = any(each.sweep.resources.most_workers > 1 for each in plan.sweeps)
            if address is not None or is_joined():
                capacity = stack.enter_context(connection(address, groups))
            require_resources(plan, capacity)
        stages = stack.enter_context(closing(driver.stages()))
        first = next(stages, None)
        has_work = first is not None
        if first is not None:
            from raysurf.cluster.searchers import Programme
            from raysurf.cluster.tune import run_in_tune, run_inline

            store.make()
            if executor == "ray":
                if not is_joined():
                    capacity = stack.enter_context(connection(None, groups))
                storage = stack.enter_context(ray_storage(store))
            while first is not None:
                programme = Programme(first, stages, lambda: driver.leaving.asked)
                if executor == "ray":
                    with driver.leaving:
                        driver.say_what_is_waited_for(first, capacity)
                        run_in_tune(programme, capacity, storage, driver)
                else:
                    run_inline(programme, driver)
                if driver.changed is not None:
                    raise driver.changed
                first = programme.left_over
    # Of workers that were killed, and whose job was not tried again.
    remove_dead(store)
    if has_work and not driver.leaving.asked:
        tidy(store, driver.notice)
    names = tuple(each.sweep.name for each in plan.sweeps)
    return Finished(driver.trials, driver.failed, tuple(driver.stopped), store.uri, names, driver.num_inputs)


class Driver:
    """Decides what comes next, and is told of what happens."""

    def __init__(self, plan: Plan, store: Store, listener: Listener, leaving: Leaving) -> None:
        self.plan, self.store, self.listener, self.leaving = plan, store, listener, leaving
        self.provenance = collect()
        self.done = FinishedJobs(store, self.notice, Unchanged(store, plan.accept_changed, writes=True))
        self.trials = self.num_inputs = self.failed = 0
        self.broken: dict[str, str] = {}
        self.changed: ChangedError | None = None
        self.stopped: list[str] = []
        self.inputs = InputHandlers(self)
        self.pieces = PieceHandlers(self)
        self.of_sweep: dict[str, TrialHandlers] = {}
        self._waiting_since: dict[str, float] = {}
        store.tell = self.waiting

    def stages(self) -> Generator[Stage, None, None]:
        """Everything that is left to run; what is done already is taken on the way."""
        for plan in self.plan.sweeps:
            with sweep_turn(self.store, plan, self.notice):
                yield from self._stages(plan)
            self.listener(SweepEnded(plan.sweep))

    def _stages(self, plan: SweepPlan) -> Iterator[Stage]:
        sweep, ledger = plan.sweep, Ledger(self.store, plan.sweep, self.plan.retry_failed, self.done)
        # Another driver may have had the sweep's turn since it was planned.
        ledger.require_own_name(self.plan.replace)
        ledger.adopt()
        spending = Spending(self.store, sweep, ledger, [each.job for each in plan.jobs])
        handlers = self.of_sweep[sweep.name] = TrialHandlers(self, sweep, ledger, spending, plan.trials)
        yield from self._inputs(plan)
        yield from self._trials(plan, handlers)
        if sweep.budget is not None:
            spending.keep()
            left = sum(n not in ledger.rows for arm in plan.arms for n in range(arm.first, arm.first + arm.trials))
            unbegun = f"; {left} of {plan.trials} trials did not begin" if left > 0 else ""
            self.listener(Notice(f"budget of {sweep.name}: {spending} spent{unbegun}"))

    def _inputs(self, plan: SweepPlan) -> Iterator[Stage]:
        from raysurf.cluster.searchers import Listed, Stage

        sweep = plan.sweep
        found = {each.job.id: self.done.figures(each.job) for each in plan.jobs}
        if plan.jobs:
            done = sum(figures is not None for figures in found.values())
            self.listener(StageStarted(sweep, "inputs", len(plan.jobs), done))
        roles = {each.job.id: each.role for each in plan.jobs}
        for job in (each.job for each in plan.jobs):
            if (figures := found[job.id]) is not None:
                self.num_inputs += 1
                label, role = f"{roles[job.id]} {job.id}", roles[job.id]
                self.listener(
                    RunEnded(sweep, -1, label, (job,), "done", True, figures=figures, arm=job.kind, role=role)
                )
        for wave in waves([each.job for each in plan.jobs if found[each.job.id] is None]):
            yield from self._spread(sweep, wave)
            for measures in (False, True):
                jobs = [job for job in wave if isinstance(job, MeasuringJob) == measures]
                if jobs:
                    requests = [self._input(sweep, i, roles[job.id], job) for i, job in enumerate(jobs)]
                    yield Stage(Listed(requests), sweep, _needs(sweep, jobs))

    def _spread(self, sweep: Sweep, jobs: Iterable[Job]) -> Iterator[Stage]:
        """Pieces of the measuring jobs among some whose inputs are done, so that every worker takes part in each."""
        from raysurf.cluster.searchers import Listed, Stage

        requests: list[Request] = []
        for job in jobs:
            ready = all(figures_of(self.store, needed.id) is not None for needed in job.ancestors)
            if not isinstance(job, MeasuringJob) or not ready or figures_of(self.store, job.id) is not None:
                continue
            missing = missing_points(job, rows_of_run(self.store, "surface", job.id))
            self.pieces.measured[job.id] = job.points_to_measure - len(missing)
            for points in pieces(job, missing):
                labels = Labels(sweep.name, "points", job.kind, self.provenance)
                request = self.request(sweep, len(requests), f"{job.kind} points {points[0]}-", (job,), labels)
                requests.append(dataclasses.replace(request, points=points))
        if len(requests) > 1:
            yield Stage(Listed(requests), sweep, _alone(sweep.resources))

    def _input(self, sweep: Sweep, number: int, role: str, job: Job) -> Request:
        labels = Labels(sweep.name, role, job.kind, self.provenance)
        return self.request(sweep, number, f"{role} {job.id}", (job,), labels)

    def _trials(self, plan: SweepPlan, handlers: TrialHandlers) -> Iterator[Stage]:
        from raysurf.cluster.searchers import Arms, Listed, Stage

        if not plan.arms:
            return
        sweep, ledger = plan.sweep, handlers.ledger
        self.listener(StageStarted(sweep, "trials", plan.trials, plan.trials_done))
        if sweep.search is not None and sweep.is_exhausted:
            few = f"{sweep.trials_in(plan.arms[0].params)} trials of {sweep.name}, not {sweep.search.trials}"
            self.notice(f"{few}: its holes have no more assignments")
        warm = warm_start(self.store, sweep)
        if warm is not None:
            self.listener(Notice(f"warm start of {sweep.name}: {warm}"))
        left: list[tuple[Resources, Suggestions, Sequence[Job]]] = []
        spread, again = list[Job](), list[Request]()
        for arm in plan.arms:
            suggestions, failed = self._arm(sweep, arm, handlers, warm)
            again += [handlers.request(number, suggestions.params[number]) for number in failed]
            if suggestions.queue or suggestions.issued < arm.trials:
                jobs = [] if sweep.is_searched else sweep.fill(arm.params).jobs
                left.append((_needs(sweep, jobs), suggestions, jobs))
                spread += jobs
        if sweep.search is not None and sweep.search.stopping is not None:
            longest = max(j.epochs_to_train for a in sweep.samples for job in a.jobs for j in (*job.ancestors, job))
            handlers.stopping = EarlyStopping(sweep.search, longest, ledger)
        if sweep.is_searched:
            from raysurf.cluster.study import StudyFile

            handlers.study = StudyFile(ledger, lambda text: self.listener(Notice(text)))
        handlers.stop_if_too_many_failed()
        if again:
            yield Stage(Listed(again, handlers.may_begin), sweep, sweep.resources, lambda: handlers.is_over)
        if sweep.budget is None and not handlers.is_over:
            # A budget is kept trial by trial, so that nothing of one may begin before it.
            yield from self._spread(sweep, spread)
            yield from self._replicates(sweep, [suggestions for _, suggestions, _ in left], handlers)
        for needs, together in itertools.groupby(left, key=lambda each: each[0]):
            _, arms, jobs_of = zip(*together, strict=True)
            yield Stage(Arms(arms, continued(jobs_of)), sweep, needs)

    def _replicates(self, sweep: Sweep, arms: Sequence[Suggestions], handlers: TrialHandlers) -> Iterator[Stage]:
        """The seeds of trials that are known beforehand, each by itself, so that they run beside one another."""
        from raysurf.cluster.searchers import Listed, Stage

        if sweep.is_searched or len(sweep.seeds) < 2:
            return
        wanted: dict[str, tuple[Job, int, Mapping[str, Any]]] = {}
        for arm in arms:
            for job in sweep.fill(arm.arm.params).jobs:
                is_due = figures_of(self.store, job.id) is None and not isinstance(job, MeasuringJob)
                if is_due and handlers.why_not(job) is None:
                    wanted.setdefault(job.id, (job, arm.first, arm.arm.params))
        for wave in waves([job for job, _, _ in wanted.values()]):
            requests = []
            for job in wave:
                _, number, params = wanted[job.id]
                whole = handlers.request(number, params)
                label = f"{whole.label} seed {seed_of(job)}"
                requests.append(dataclasses.replace(whole, label=label, jobs=(job,), fault=None, replicate=True))
            yield Stage(Listed(requests), sweep, _needs(sweep, wave), lambda: handlers.is_over)

    def _arm(
        self, sweep: Sweep, arm: Arm, handlers: TrialHandlers, warm: WarmStart | None
    ) -> tuple[Suggestions, list[int]]:
        """What is left of an arm, and trials of a search that are tried again though it has gone on since.

        Trials that are done are taken as they are. What a search suggests follows from what it was told, so it is told
        again that such trials failed, whatever comes of them.
        """
        from raysurf.cluster.searchers import Suggestions, replay

        ledger, numbers = handlers.ledger, range(arm.first, arm.first + arm.trials)
        again: list[int] = []

        def request(number: int) -> Request:
            return handlers.request(number, suggestions.params[number])

        def finished(number: int, assignment: Assignment) -> tuple[Values | None, bool] | None:
            end = ledger.finished(number, assignment)
            if ledger.is_told_as_failed(number, assignment):
                if end is None:
                    again.append(number)
                return None, True
            return None if end is None else (end[1], end[0] == "failed")

        def may_begin(number: int) -> Verdict:
            return handlers.may_begin(request(number))

        def stopped() -> bool:
            # A trial of which a seed has begun comes to its end.
            return handlers.is_over and (sweep.is_searched or arm.first not in handlers.begun)

        known = ledger.begun(numbers) if sweep.is_searched else {}
        told = warm.of_arm(sweep, arm.params) if warm else []
        limit = may_begin if sweep.budget else None
        suggestions = Suggestions(sweep, arm, known, request, stopped, told, limit)
        taken = replay(suggestions, finished)
        again = [number for number in again if number in taken]
        ledger.retried |= set(again)
        for number in taken:
            if number not in again:
                handlers.reused(number, suggestions.params[number])
        return suggestions, again

    def request(
        self, sweep: Sweep, number: int, label: str, jobs: tuple[Job, ...], labels: Labels, fault: str | None = None
    ) -> Request:
        """What a worker is handed."""
        search = sweep.search if labels.role == "trial" else None
        here, beside = os.getcwd(), sweep.folder
        return Request(
            number,
            label,
            jobs,
            labels,
            self.store.address,
            _needs(sweep, jobs) if labels.role != "trial" or not sweep.is_searched else sweep.resources,
            search.metrics if search else (),
            search is not None and search.stopping is not None,
            here,
            fault,
            retries=sweep.failures.retries,
            time_limit_s=sweep.failures.time_limit_s if labels.role == "trial" else None,
            beside=os.path.relpath(beside, here) if Path(beside).is_relative_to(here) else beside,
            accept_changed=self.plan.accept_changed,
        )

    def _handlers(self, request: Request) -> InputHandlers:
        if request.labels.role == "points":
            return self.pieces
        if request.replicate:
            return ReplicateHandlers(self, self.of_sweep[request.labels.sweep])
        return self.of_sweep[request.labels.sweep] if request.labels.role == "trial" else self.inputs

    def started(self, request: Request) -> None:
        self._handlers(request).started(request)

    def reported(self, request: Request, report: Report) -> None:
        if "preempted" in report:
            (where,) = report["preempted"]
            later = "its state is kept" if self.leaving.asked else "and goes on from there elsewhere"
            self.listener(Notice(f"{request.label} was told to leave, {where}, {later}"))
            return
        if "notice" in report:
            self.waiting(report["notice"], report.get("notice_of", ""))
        self._handlers(request).reported(request, report)

    def stops(self, request: Request, report: Report) -> bool:
        return self._handlers(request).stops(request, report)

    def ended(self, request: Request, report: Report) -> None:
        if "unavailable" in report:
            # Others would fail as well; they are to be run again, so none of them gets a row that says that it failed.
            raise StoreUnavailableError(*report["unavailable"])
        if "changed" in report:
            # What is raised here Tune would log, and take its time: what runs leaves in order before it is told.
            self.changed, self.leaving.asked = ChangedError(*report["changed"]), True
            return
        if self.leaving.asked and (report.get("passing") or report.get("lost")):
            # It was told to leave, and is to be run again.
            return
        self._handlers(request).ended(request, report)

    def ahead(self, capacity: Capacity, resources: Resources) -> int:
        """As many trials as there may be room for; one where a budget is kept, which counts trials that run."""
        if any(each.sweep.budget is not None for each in self.plan.sweeps):
            return 1
        return min(capacity.trials_at_once(resources), capacity.trials_now(resources) + MOST_AHEAD)

    def say_what_is_waited_for(self, stage: Stage, capacity: Capacity) -> None:
        """Say so if a stage cannot begin before the cluster has grown."""
        if (what := capacity.waits_for(stage.resources)) is not None:
            self.notice(f"sweep {stage.sweep.name} waits for the autoscaler: {what}")

    def notice(self, text: str) -> None:
        self.listener(Notice(text))

    def waiting(self, text: str, of: str = "") -> None:
        """Say that the store, or a job that somebody else does, is being waited for: once a minute for all workers."""
        if time.monotonic() - self._waiting_since.get(of, -math.inf) > WAITING_S:
            self._waiting_since[of] = time.monotonic()
            self.listener(Notice(text))


def _alone(resources: Resources) -> Resources:
    """The same for a lone worker."""
    return resources.model_copy(update={"workers": 1})


def _needs(sweep: Sweep, jobs: Sequence[Job]) -> Resources:
    """What jobs run on: measuring has no use for a group of workers, since points are spread."""
    measures = bool(jobs) and all(isinstance(job, MeasuringJob) for job in jobs)
    return _alone(sweep.resources) if measures else sweep.resources

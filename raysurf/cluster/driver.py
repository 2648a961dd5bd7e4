"""Execute a plan: inputs in waves, then each sweep's trials, each result a row as it comes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from raysurf.cluster.environment import Capacity, connection
from raysurf.cluster.events import Listener, RunEnded, RunProgressed, RunStarted, StageStarted, SweepEnded
from raysurf.cluster.ledger import Ledger
from raysurf.cluster.request import Report, Request
from raysurf.errors import SpecError
from raysurf.jobs.execute import Labels, describe
from raysurf.jobs.job import Job
from raysurf.jobs.outcome import figures_of
from raysurf.jobs.provenance import collect
from raysurf.results.store import Store
from raysurf.sweep.plan import Arm, Plan, PlannedJob, SweepPlan, waves
from raysurf.sweep.sweep import Assignment, Sweep

Executor = Literal["ray", "inline"]


@dataclass(frozen=True)
class Finished:
    """What a run of a plan came to."""

    trials: int
    failed: int


def run_plan(
    plan: Plan, store: Store, listener: Listener, address: str | None = None, executor: Executor = "ray", device: str = "cpu"
) -> Finished:
    """Run what is left of a plan.

    Args:
        plan: What to do.
        store: Where everything goes.
        listener: Told of everything that happens, in this process.
        address: Of a running Ray cluster; None starts one on this machine if anything is left to do.
        executor: ``inline`` runs everything here, one job after another, without Ray.
        device: Where inline jobs run.

    Returns:
        How many trials and inputs there were, and how many failed.

    Raises:
        ResourceError: If a job needs more than the cluster has; nothing has been started then.
    """
    with ExitStack() as stack:
        driver = _Driver(plan, store, listener, address, executor, device, stack)
        for sweep_plan in plan.sweeps:
            driver.run_sweep(sweep_plan)
        return Finished(driver.trials, driver.failed)


class _Driver:
    def __init__(
        self, plan: Plan, store: Store, listener: Listener, address: str | None, executor: Executor, device: str, stack: ExitStack
    ) -> None:
        self.plan, self.store, self.listener, self.address = plan, store, listener, address
        self.executor, self.device, self.stack = executor, device, stack
        self.provenance = collect()
        self.capacity: Capacity | None = None
        self.trials = self.failed = 0
        self.broken: set[str] = set()

    def run_sweep(self, plan: SweepPlan) -> None:
        sweep = plan.sweep
        pending = [planned for planned in plan.jobs if figures_of(self.store, planned.job.id) is None]
        reused = len(plan.jobs) - len(pending)
        if plan.jobs:
            self.listener(StageStarted(sweep, "inputs", len(plan.jobs), reused))
        for planned in plan.jobs:
            if planned not in pending:
                self._input_reused(sweep, planned)
        for wave in waves([planned.job for planned in pending]):
            self._inputs(sweep, [planned for planned in pending if planned.job in wave])
        self._trials(plan)
        self.listener(SweepEnded(sweep))

    def _input_reused(self, sweep: Sweep, planned: PlannedJob) -> None:
        self.trials += 1
        figures = figures_of(self.store, planned.job.id) or {}
        self.listener(RunEnded(sweep, -1, planned.job.id, (planned.job,), "done", True, figures=figures))

    def _inputs(self, sweep: Sweep, wave: Sequence[PlannedJob]) -> None:
        from raysurf.cluster.suggestions import Listed

        requests = []
        for i, planned in enumerate(wave):
            labels = Labels(sweep.name, planned.role, planned.job.kind, self.provenance)
            label = f"{planned.role} {planned.job.id}"
            requests.append(self._request(sweep, i, label, (planned.job,), labels))
        self._run(Listed(requests), len(requests), sweep, _InputHandlers(self, sweep))

    def _trials(self, plan: SweepPlan) -> None:
        sweep, ledger = plan.sweep, Ledger(self.store, plan.sweep)
        handlers = _TrialHandlers(self, sweep, ledger)
        self.listener(StageStarted(sweep, "trials", plan.trials, min(plan.trials, ledger.count_finished())))
        first = 0
        for arm in plan.arms:
            self._arm(sweep, arm, first, ledger, handlers)
            first += arm.trials

    def _arm(self, sweep: Sweep, arm: Arm, first: int, ledger: Ledger, handlers: _TrialHandlers) -> None:
        from raysurf.cluster.suggestions import VALUE, Suggestions, replay

        def request(number: int) -> Request:
            return handlers.request(number, suggestions.params[number])

        def finished(number: int, assignment: Assignment) -> tuple[dict[str, Any] | None, bool] | None:
            end = ledger.finished(number, assignment)
            return None if end is None else ({VALUE: end[1]} if end[1] is not None else None, end[0] == "failed")

        unseeded = sweep.search is not None and sweep.search.seed is None and sweep.search.sampler != "grid"
        known = ledger.begun() if unseeded else []
        suggestions = Suggestions(sweep, arm, first, known, request)
        for number in replay(suggestions, finished):
            handlers.reused(number, suggestions.params[number])
        left = arm.trials - suggestions.issued + len(suggestions.queue)
        if left:
            self._run(suggestions, left, sweep, handlers)

    def _request(
        self, sweep: Sweep, number: int, label: str, jobs: tuple[Job, ...], labels: Labels, fault: str | None = None
    ) -> Request:
        search = sweep.search if labels.role == "trial" else None
        return Request(
            number,
            label,
            jobs,
            labels,
            self.store.uri,
            sweep.resources,
            search.metric if search else None,
            search is not None and search.stopping is not None,
            (os.getcwd(),),
            fault,
        )

    def _run(self, source: Any, count: int, sweep: Sweep, handlers: Any) -> None:
        from raysurf.cluster.tuning import remove_storage, run_in_tune, run_inline

        if self.executor == "inline":
            run_inline(source, handlers, self.device)
            return
        if self.capacity is None:
            groups = any(each.sweep.resources.workers > 1 for each in self.plan.sweeps)
            self.capacity = self.stack.enter_context(connection(self.address, groups))
            for each in self.plan.sweeps:
                self.capacity.require(each.sweep.resources)
        storage = ray_storage(self.store.uri)
        longest = max((job.epochs_to_train for a in sweep.samples for j in a.jobs for job in (*j.ancestors, j)), default=1)
        try:
            run_in_tune(source, count, sweep.resources, self.capacity, sweep.search, longest, storage, handlers)
        finally:
            if "://" not in storage:
                remove_storage(storage)


def ray_storage(uri: str) -> str:
    """Where Ray keeps its own files: beside the tables, so that every node that sees the one sees the other."""
    if "://" not in uri:
        return str(Path(uri).absolute() / "_ray")
    head, mark, options = uri.partition("?")
    return f"{head.rstrip('/')}/_ray{mark}{options}"


class _InputHandlers:
    """Events of inputs and baselines."""

    def __init__(self, driver: _Driver, sweep: Sweep) -> None:
        self.driver, self.sweep = driver, sweep

    def started(self, request: Request) -> None:
        labels = request.labels
        self.driver.listener(
            RunStarted(self.sweep, request.number, request.label, request.jobs, labels.params, labels.arm, labels.role)
        )

    def reported(self, request: Request, report: Report) -> None:
        self.driver.listener(
            RunProgressed(request.number, report["run_id"], report["epoch"], report["epochs"], report["figures"])
        )

    def ended(self, request: Request, report: Report) -> None:
        driver, state = self.driver, report["state"]
        driver.trials += 1
        driver.failed += state == "failed"
        value = report.get("value")
        driver.listener(
            RunEnded(
                self.sweep,
                request.number,
                request.label,
                request.jobs,
                state,
                value=value if value is not None and math.isfinite(value) else None,
                error=report.get("error"),
                figures=report.get("figures", {}),
            )
        )


class _TrialHandlers(_InputHandlers):
    """Events of trials, each of which has a row in ``trials``."""

    def __init__(self, driver: _Driver, sweep: Sweep, ledger: Ledger) -> None:
        super().__init__(driver, sweep)
        self.ledger = ledger

    def request(self, number: int, params: dict[str, Any]) -> Request:
        """What a trial is to do; one whose values make no valid job fails by itself."""
        fault, jobs, arm = None, (), ""
        try:
            assignment = self.sweep.fill(params)
            jobs, arm = assignment.jobs, assignment.arm
        except SpecError as error:
            fault = str(error)
        labels = Labels(self.sweep.name, "trial", arm, self.driver.provenance, number, params)
        return self.driver._request(self.sweep, number, f"trial {number}", jobs, labels, fault)

    def reused(self, number: int, params: dict[str, Any]) -> None:
        """A trial that needs no running."""
        try:
            assignment = self.sweep.fill(params)
        except SpecError as error:
            self.driver.failed += 1
            self.driver.listener(RunEnded(self.sweep, number, f"trial {number}", (), "failed", True, error=str(error)))
            return
        state, value, std, error = self.ledger.finished(number, assignment) or ("done", None, None, None)
        if self.ledger.rows.get(number, {}).get("state") != state:
            self.ledger.write(number, assignment, params, state, value, std, error)
        self.driver.trials += 1
        self.driver.failed += state == "failed"
        figures = figures_of(self.driver.store, assignment.jobs[-1].id) or {}
        self.driver.listener(
            RunEnded(self.sweep, number, f"trial {number}", assignment.jobs, state, True, value, error, figures)  # type: ignore[arg-type]
        )

    def started(self, request: Request) -> None:
        self.ledger.write(request.number, _assigned(request), request.labels.params, "running")
        super().started(request)

    def ended(self, request: Request, report: Report) -> None:
        state, value, std = report["state"], report.get("value"), None
        if state == "done":
            found = [figures_of(self.driver.store, job.id) for job in request.jobs]
            value, std = self.ledger.value([each for each in found if each is not None])
        else:
            value = None
            self._record_unfinished(request, report)
        error = report.get("error")
        self.ledger.write(request.number, _assigned(request), request.labels.params, state, value, std, error)
        super().ended(request, {**report, "value": value})

    def _record_unfinished(self, request: Request, report: Report) -> None:
        """Write a ``runs`` row for what was stopped, or lost with its process, before it could write its own."""
        store = self.driver.store
        for job in request.jobs:
            if figures_of(store, job.id) is None and not store.read_rows("runs", job.id):
                row = describe(job, request.labels, report["state"], {}, report.get("error"))
                store.write_rows("runs", job.id, [row | _UNMEASURED])


_UNMEASURED = {"started_at": None, "wall_s": None, "device_s": None, "workers": None, "device": None}


def _assigned(request: Request) -> Assignment | None:
    return Assignment(request.labels.params, request.labels.arm, request.jobs) if request.jobs else None

"""From sweeps to a plan, and from a plan to results: what the commands and the Python interface call."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raysurf.cluster.capacity import Capacity, local_capacity
from raysurf.cluster.events import Event, RunEnded, StageStarted
from raysurf.cluster.shutdown import GracefulShutdown
from raysurf.cluster.spending import Spending, with_inputs
from raysurf.cluster.trial_table import TrialTable
from raysurf.cluster.warm_start import require_sources
from raysurf.errors import Fault, JobFailedError, SpecError
from raysurf.jobs.fingerprints import Unchanged
from raysurf.jobs.job import Job
from raysurf.jobs.outcome import outcome_path
from raysurf.jobs.parse import parse_job
from raysurf.packages import require_run
from raysurf.results.plans import plan_path
from raysurf.store.store import Store
from raysurf.sweep.plan import Only, Plan, SweepPlan, make_plan, part_of, shared_inputs
from raysurf.sweep.sweep import Resources, Sweep

if TYPE_CHECKING:
    from raysurf.cluster.driver import Executor
    from raysurf.cluster.events import Finished, Listener


def plan_sweeps(
    sweeps: Sequence[Sweep],
    store: Store,
    only: Iterable[str] = (),
    retry_failed: bool = False,
    accept_changed: bool = False,
    replace: bool = False,
) -> Plan:
    """Look into the store and decide what is left to do; writes nothing.

    The arguments are those of ``run``.

    Raises:
        ChangedError: If stored runs would be used again whose network or data are others now.
        SpecError: If two sweeps have one name, there are finished trials of another definition under one, ``only`` fits
            nothing, a sweep is to learn from one that is not there, or its budget has no room for its inputs.
        StoreError: If the store cannot be read.
    """
    names = [sweep.name for sweep in sweeps]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpecError([Fault("name", f"{name!r} twice", "a name of its own for every sweep") for name in twice])
    require_sources(sweeps, store)
    wanted = Only.parse(only)
    once = [job for sweep in sweeps for job in (*shared_inputs(sweep), *with_inputs(sweep.baselines))]
    done = {job.id for job in once if store.exists(outcome_path(job.id))}
    tables = {sweep.name: TrialTable(store, sweep, retry_failed) for sweep in sweeps}
    for table in tables.values():
        table.require_own_name(replace)
    numbers = {sweep.name: part_of(sweep, wanted).numbers for sweep in sweeps}
    ended = {name: table.ended(numbers[name]) for name, table in tables.items()}
    plan = make_plan(sweeps, done, {name: len(states) for name, states in ended.items()}, wanted, retry_failed)
    unchanged = Unchanged(store)
    plans = []
    for of_sweep in plan.sweeps:
        sweep, table = of_sweep.sweep, tables[of_sweep.sweep.name]
        jobs = [planned.job for planned in of_sweep.jobs]
        Spending(table, jobs).require_room(jobs)
        if not accept_changed:
            _require_unchanged(of_sweep, table, unchanged)
        states = ended[sweep.name]
        known = [] if sweep.is_searched else [known for known in of_sweep.configurations if known.first in states]
        jobs_ended = [job for configuration in known for job in sweep.fill(configuration.params).jobs]
        failed = list(states.values()).count("failed")
        ids = frozenset(job.id for job in with_inputs(jobs_ended))
        plans.append(dataclasses.replace(of_sweep, trials_failed=failed, ended=ids))
    return dataclasses.replace(plan, sweeps=tuple(plans), accept_changed=accept_changed, replace=replace)


def _require_unchanged(plan: SweepPlan, table: TrialTable, unchanged: Unchanged) -> None:
    """Check the fingerprints of the stored runs that a sweep would reuse."""
    sweep = plan.sweep
    has_seen = any(unchanged.is_seen(job) for sample in sweep.samples for job in sample.jobs)
    for job in plan.known_jobs:
        unchanged.require(job)
    for number in table.rows if sweep.is_searched and has_seen else ():
        with contextlib.suppress(SpecError):
            for job in with_inputs(sweep.fill(table.params(number)).jobs):
                unchanged.require(job)


def capacity_of(address: str | None) -> Capacity:
    """What there is to run on: this machine, or the cluster at an address."""
    if address is None:
        return local_capacity()
    from raysurf.cluster.ray_cluster import connection

    with connection(address, needs_dashboard=False) as capacity:
        return capacity


def launch(
    plan: Plan,
    store: Store,
    listener: Listener,
    address: str | None = None,
    executor: Executor = "ray",
    shutdown: GracefulShutdown | None = None,
) -> Finished:
    """Check that jobs can be run and stored here, and do ``driver.run_plan``.

    Raises:
        MissingPackageError: If what runs jobs is not installed.
        StoreError: If the store cannot be written.
    """
    require_run("running jobs")
    store.check_writable()
    from raysurf.cluster.driver import run_plan

    return run_plan(plan, store, listener, address, executor, shutdown)


def run(
    what: Job | Mapping[str, Any] | Sweep | Sequence[Sweep],
    results: str | os.PathLike[str] = "results",
    address: str | None = None,
    executor: Executor | None = None,
    listener: Listener | None = None,
    only: Sequence[str] = (),
    retry_failed: bool = False,
    accept_changed: bool = False,
    replace: bool = False,
) -> Finished:
    """Run a job, a sweep or several; what is done already is not run again.

    Args:
        what: A job, or its tree as ``results.spec`` gives it, which runs in this process and on all its cores unless
            an address is given; or sweeps, which run through Ray.
        results: Address of the result store, a folder or a URI; read it with ``raysurf.results.open``.
        address: Of a running Ray cluster.
        executor: ``ray`` or ``inline`` (this process, one job after another), if not by that rule.
        listener: Called with every event of ``raysurf.cluster.events``.
        only: What to run of the sweeps, the rest being left as it is: texts such as ``arm=lr=0.1``, ``kind=swa``,
            ``sweep=name`` and ``trial=3``; of one key any may fit, of several keys all must.
        retry_failed: Whether trials that failed, for whatever reason, are tried again.
        accept_changed: Whether stored runs whose network or data were others than now are used as they are.
        replace: Whether finished trials of another definition under a sweep's name are replaced; their runs are kept.

    Returns:
        How many trials and inputs there were, and how many of them failed; their metrics are in the result tables.

    Raises:
        JobFailedError: If a job failed that was run by itself. Failures in sweeps go to stderr, or to the
            listener.
        SpecError: If two sweeps have one name, another definition has finished trials under one, or ``only`` fits
            nothing.
        ChangedError: If stored runs would be used again whose network or data are others now. What is done is kept.
        ResourceError: If a sweep needs more than there is.
        StoreError: If the store cannot be read or written.
        PreemptedError: If jobs run in this process and it got SIGTERM, which nobody else handles; what is done is kept.
    """
    store = Store(results)
    if isinstance(what, Mapping):
        what = parse_job(what)
    if isinstance(what, Job):
        executor = executor or ("inline" if address is None else "ray")
        cpus = int(local_capacity().cpus) if executor == "inline" else 1
        sweeps: Sequence[Sweep] = [Sweep(what, name=what.kind, resources=Resources(cpus=cpus))]
    else:
        sweeps = [what] if isinstance(what, Sweep) else list(what)
    errors: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, RunEnded) and event.state == "failed":
            errors.append(str(event.error))
            if listener is None and not isinstance(what, Job):
                print(f"{event.sweep.name} {event.label} failed: {event.error}", file=sys.stderr)
        if listener is not None:
            listener(event)

    plan = plan_sweeps(sweeps, store, only, retry_failed, accept_changed, replace)
    finished = launch(plan, store, listen, address, executor or "ray")
    if isinstance(what, Job) and errors:
        raise JobFailedError(what.id, errors[0], os.fspath(results))
    return finished


class PlanRecord:
    """Listener that stores the plan of each sweep: its file, definition, baselines and counts.

    Args:
        store: Where plans are kept.
        file: Which the sweeps are from, if from any.
    """

    def __init__(self, store: Store, file: str | None = None) -> None:
        self.store, self.file = store, file
        self.inputs: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if not isinstance(event, StageStarted):
            return
        name = event.sweep.name
        if event.stage == "inputs":
            self.inputs[name] = event.total
        plan = {
            "sweep": name,
            "file": self.file,
            "definition": event.sweep.digest,
            "inputs": self.inputs.get(name, 0),
            "baselines": [job.id for job in event.sweep.baselines],
            # Parameters whose logarithm is searched: pictures have logarithmic axes for them.
            "log": [name for name, hole in event.sweep.parameters.items() if getattr(hole, "log", False)],
        }
        self.store.put_json(plan_path(name), plan | ({"trials": event.total} if event.stage == "trials" else {}))

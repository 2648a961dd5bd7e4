"""Trial events: what follows from the begin, progress and end of inputs, points and trials."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysurf.cluster.events import Listener, Notice, PointsMeasured, RunEnded, RunProgressed, RunStarted
from raysurf.cluster.shutdown import GracefulShutdown
from raysurf.cluster.spending import Spending, Verdict
from raysurf.cluster.stopping import EarlyStopping
from raysurf.cluster.task import Report, Task
from raysurf.cluster.trial_table import End, TrialTable
from raysurf.data.source import source_of
from raysurf.errors import ChangedError, SpecError, StoreUnavailableError
from raysurf.failure import Failure
from raysurf.jobs.job import Job
from raysurf.jobs.measuring import MeasuringJob
from raysurf.jobs.outcome import metrics_of
from raysurf.jobs.provenance import Labels, collect, describe
from raysurf.store.store import Store
from raysurf.store.tables import read_rows, write_rows
from raysurf.sweep.plan import Plan
from raysurf.sweep.sweep import Assignment, Resources, Sweep

if TYPE_CHECKING:
    from raysurf.cluster.study import StudyFile

# Seconds between two notices of waiting for one thing: the store, or a job that another driver runs.
WAITING_S = 60.0
_UNMEASURED = {"started_at": None, "wall_s": None, "device_s": None, "workers": None, "device": None}


class Recorder:
    """Passes events of a run's tasks to the listener, counts them, and hands them to the events of their sweep.

    Attributes:
        trials, num_inputs, failed: How many have ended, and how many of them failed.
        stopped: Sweeps of which too much failed.
        broken: Failures of inputs, by id.
        changed: The error that ends the run in order, if stored runs are of other code or data than now.
    """

    def __init__(self, plan: Plan, store: Store, listener: Listener, shutdown: GracefulShutdown) -> None:
        self.plan, self.store, self.listener, self.shutdown = plan, store, listener, shutdown
        self.provenance = collect()
        self.trials = self.num_inputs = self.failed = 0
        self.stopped: list[str] = []
        self.broken: dict[str, Failure] = {}
        self.changed: ChangedError | None = None
        self._events: dict[tuple[str, str], InputEvents] = {}
        self._waiting_since: dict[str, float] = {}
        store.tell = self.waiting

    def add_sweep(self, table: TrialTable, spending: Spending, total: int) -> tuple[TrialEvents, PointsEvents]:
        """Begin a sweep of so many trials."""
        trials = TrialEvents(self, table, spending, total)
        points = PointsEvents(self, table.sweep, spending)
        inputs = InputEvents(self, table.sweep, spending)
        roles = {"input": inputs, "baseline": inputs, "points": points, "trial": trials, "seed": SeedEvents(trials)}
        self._events |= {(table.sweep.name, role): events for role, events in roles.items()}
        return trials, points

    def _of(self, task: Task) -> InputEvents:
        return self._events[task.labels.sweep, "seed" if task.replicate else task.labels.role]

    def task(
        self, sweep: Sweep, number: int, label: str, jobs: tuple[Job, ...], labels: Labels, fault: Failure | None = None
    ) -> Task:
        """What a worker is handed."""
        is_trial = labels.role == "trial"
        search = sweep.search if is_trial else None
        here, beside = os.getcwd(), sweep.folder
        return Task(
            number,
            label,
            jobs,
            labels,
            self.store.address,
            sweep.resources if is_trial and sweep.is_searched else needs(sweep, jobs),
            search.metrics if search else (),
            search is not None and search.stopping is not None,
            here,
            fault,
            retries=sweep.failures.retries,
            time_limit_s=sweep.failures.time_limit_s if is_trial else None,
            beside=os.path.relpath(beside, here) if Path(beside).is_relative_to(here) else beside,
            accept_changed=self.plan.accept_changed,
        )

    def started(self, task: Task) -> None:
        """A task begins."""
        self._of(task).started(task)

    def reported(self, task: Task, report: Report) -> None:
        """A task has got on, or was preempted."""
        if "preempted" in report:
            (where,) = report["preempted"]
            later = "its state is kept" if self.shutdown.requested else "and goes on from there elsewhere"
            self.notice(f"{task.label} was told to leave, {where}, {later}")
            return
        if "notice" in report:
            self.waiting(report["notice"], report.get("notice_of", ""))
        self._of(task).reported(task, report)

    def stops(self, task: Task, report: Report) -> bool:
        """Whether a task is to end where it is."""
        return self._of(task).stops(task, report)

    def ended(self, task: Task, report: Report) -> None:
        """A task has ended; ``state`` is done, failed or stopped."""
        if "unavailable" in report:
            # Others would fail as well; they are to be run again, so none of them gets a row that says that it failed.
            raise StoreUnavailableError(*report["unavailable"])
        if "changed" in report:
            # What is raised here Tune would log, and take its time: what runs leaves in order before.
            self.changed, self.shutdown.requested = ChangedError(*report["changed"]), True
        elif not (self.shutdown.requested and (report.get("passing") or report.get("lost"))):
            # What had to leave is to be run again.
            self._of(task).ended(task, report)

    def notice(self, text: str) -> None:
        """One line for the user."""
        self.listener(Notice(text))

    def waiting(self, text: str, of: str = "") -> None:
        """Say that the store, or a job of another driver, is being waited for: once a minute for all workers."""
        if time.monotonic() - self._waiting_since.get(of, -math.inf) > WAITING_S:
            self._waiting_since[of] = time.monotonic()
            self.notice(text)


def alone(resources: Resources) -> Resources:
    """The same for a lone worker."""
    return resources.model_copy(update={"workers": 1})


def needs(sweep: Sweep, jobs: Sequence[Job]) -> Resources:
    """What jobs run on: measuring has no use for a group of workers, since points are spread."""
    measures = bool(jobs) and all(isinstance(job, MeasuringJob) for job in jobs)
    return alone(sweep.resources) if measures else sweep.resources


class InputEvents:
    """Events of a sweep's inputs and baselines."""

    def __init__(self, recorder: Recorder, sweep: Sweep, spending: Spending) -> None:
        self.recorder, self.sweep, self.spending = recorder, sweep, spending
        self.store, self.listener = recorder.store, recorder.listener

    def started(self, task: Task) -> None:
        self.spending.starts()
        labels = task.labels
        self.listener(
            RunStarted(self.sweep, task.number, task.label, task.jobs, labels.params, labels.arm, labels.role)
        )

    def reported(self, task: Task, report: Report) -> None:
        self.listener(
            RunProgressed(task.number, report["run_id"], report["epoch"], report["epochs"], report["metrics"])
        )

    def stops(self, task: Task, report: Report) -> bool:
        """Whether the task is to end where it is; only trials are."""
        return False

    def ended(self, task: Task, report: Report) -> None:
        self.recorder.num_inputs += 1
        if report["state"] == "failed":
            self._record_unfinished(task, report)
        self.spending.settle(task.jobs)
        self._report_end(task, report)

    def _report_end(self, task: Task, report: Report) -> None:
        if report["state"] == "failed":
            self.recorder.failed += 1
            self.recorder.broken |= {job.id: report["failure"] for job in task.jobs}
        for job in task.jobs:
            # A streamed data set may have files that could not be read; ``runs`` names them all.
            rows = read_rows(self.store, "runs", job.id) if source_of(job.data_spec).is_streamed else ()
            for files in (row["skipped"] for row in rows if row.get("skipped")):
                what = "1 image file" if len(files) == 1 else f"{len(files)} image files"
                self.recorder.notice(f"{job.id} skipped {what} that could not be read, such as {files[0]}")
        self.listener(
            RunEnded(
                self.sweep,
                task.number,
                task.label,
                task.jobs,
                report["state"],
                error=str(report["failure"]) if report.get("failure") else None,
                metrics=report.get("metrics", {}),
                values=tuple(report.get("values") or ()),
            )
        )

    def _record_unfinished(self, task: Task, report: Report) -> None:
        """Write a ``runs`` row for what was stopped, or lost with its process, before it could write its own."""
        for job in task.jobs:
            has_row = bool(read_rows(self.store, "runs", job.id)) and not report.get("lost")
            if metrics_of(self.store, job.id) is None and not has_row:
                row = describe(job, task.labels, report["state"], {}, report.get("failure"))
                epochs = float(report.get("epoch", 0) if report.get("run_id") == job.id else 0)
                write_rows(self.store, "runs", job.id, [row | _UNMEASURED | {"epochs": epochs}])


class PointsEvents(InputEvents):
    """Events of points of surfaces. What a failed task lacks is left to the job itself, which then says why.

    Attributes:
        measured: Points that are done, by job.
    """

    def __init__(self, recorder: Recorder, sweep: Sweep, spending: Spending) -> None:
        super().__init__(recorder, sweep, spending)
        self.measured: dict[str, int] = {}

    def started(self, task: Task) -> None:
        self._add(task, 0)

    def reported(self, task: Task, report: Report) -> None:
        """Wait for its end."""

    def ended(self, task: Task, report: Report) -> None:
        self._add(task, len(task.points) if report["state"] == "done" else 0)

    def _add(self, task: Task, more: int) -> None:
        (job,) = task.jobs
        self.measured[job.id] += more
        self.listener(PointsMeasured(self.sweep, job, self.measured[job.id], job.points_to_measure))


class TrialEvents(InputEvents):
    """Events of a sweep's trials, each of which has a row in ``trials``; ``total`` is of all configurations together.

    Attributes:
        is_over: Whether so many have failed that no more are to begin.
    """

    def __init__(self, recorder: Recorder, table: TrialTable, spending: Spending, total: int) -> None:
        super().__init__(recorder, table.sweep, spending)
        self.table, self.total = table, total
        self.failed: dict[str, Failure] = {}
        self.begun: set[int] = set()
        self.taken: set[int] = set()
        self.unsuccessful: set[int] = set()
        self.is_over = False
        self.study: StudyFile | None = None
        self.stopping: EarlyStopping | None = None

    def stop_if_too_many_failed(self) -> None:
        """Let no more trials begin if too large a share of all has failed, and say so."""
        share, left = self.sweep.failures.max_failed_share, self.total - len(self.begun | self.taken)
        if self.is_over or left == 0 or len(self.unsuccessful) <= share * self.total:
            return
        self.is_over = True
        self.recorder.stopped.append(self.sweep.name)
        failed = f"{len(self.unsuccessful)} of {self.total} trials have failed, more than max_failed_share: {share:g}"
        text = f"sweep {self.sweep.name} is stopped, {left} trials do not begin: {failed}"
        self.recorder.notice(f"{text} (raysurf why {self.sweep.name})")

    def why_not(self, job: Job) -> Failure | None:
        """Why a job cannot be run, or need not be tried again; None if it may be run."""
        broken = self.recorder.broken
        if (run_id := next((needed.id for needed in job.ancestors if needed.id in broken), None)) is not None:
            return Failure.blocked(run_id, broken[run_id])
        return self.failed.get(job.id)

    def task(self, number: int, params: Mapping[str, Any]) -> Task:
        """What a trial is to do; one whose values make no valid job fails by itself."""
        jobs: tuple[Job, ...] = ()
        name = ""
        try:
            assignment = self.sweep.fill(params)
            jobs, name = assignment.jobs, assignment.arm
            fault = next((why for job in jobs if (why := self.why_not(job)) is not None), None)
        except SpecError as error:
            fault = Failure.of(error.with_traceback(None))
        labels = Labels(self.sweep.name, "trial", name, self.recorder.provenance, number, params)
        return self.recorder.task(self.sweep, number, f"trial {number}", jobs, labels, fault)

    def may_begin(self, task: Task) -> Verdict:
        """Whether a trial still fits the sweep's budget."""
        return self.spending.may_begin(task.number, task.jobs)

    def reused(self, number: int, params: Mapping[str, Any]) -> None:
        """Take a trial that needs no running."""
        self.taken.add(number)
        row, assignment = self.table.rows.get(number), None
        try:
            assignment = self.sweep.fill(params)
            end = self.table.finished(number, assignment) or End("done")
        except SpecError as wrong:
            end = End("failed", failure=Failure.of(wrong.with_traceback(None)))
        if row is None or row["state"] != end.state:
            self.table.write(number, assignment, params, *end)
        self.recorder.trials += 1
        if end.state == "failed":
            self.unsuccessful.add(number)
            self.recorder.failed += 1
        jobs = assignment.jobs if assignment else ()
        self.listener(
            RunEnded(
                self.sweep,
                number,
                f"trial {number}",
                jobs,
                end.state,  # type: ignore[arg-type]
                reused=assignment is not None or row is not None,
                error=str(end.failure) if end.failure else None,
                metrics=(metrics_of(self.store, jobs[-1].id) if jobs else None) or {},
                params=params,
                arm=assignment.arm if assignment else "",
                values=end.values or (),
            )
        )

    def started(self, task: Task) -> None:
        if task.number in self.begun:
            return
        self.begun.add(task.number)
        self.spending.started(task.number, task.jobs)
        self.table.write(task.number, _assigned(task), task.labels.params, "running")
        if self.study is not None:
            self.study.begun(task.number)
        super().started(task)

    def stops(self, task: Task, report: Report) -> bool:
        if self.stopping is None or report.get("value") is None:
            return False
        # An input that the trial trains for itself has epochs of its own.
        is_own = report["run_id"] in {job.id for job in task.jobs}
        return is_own and self.stopping.stops(task.number, report["epoch"], report["value"])

    def ended(self, task: Task, report: Report) -> None:
        if report["state"] == "done":
            end = End("done", report["values"] and tuple(report["values"]), report["std"])
        else:
            end = End(report["state"], failure=report.get("failure"))
            self._record_unfinished(task, report)
        self.table.write(task.number, _assigned(task), task.labels.params, *end)
        self.spending.ended(task.number)
        if self.stopping is not None:
            self.stopping.take(task.number, [job.id for job in task.jobs])
        if self.study is not None:
            self.study.ended(task.number)
        self.recorder.trials += 1
        self._report_end(task, report)
        if end.state == "failed":
            self.unsuccessful.add(task.number)
            self.stop_if_too_many_failed()


class SeedEvents(InputEvents):
    """Events of one seed of a trial: the trial begins with the first of them, and ends by itself."""

    def __init__(self, trials: TrialEvents) -> None:
        super().__init__(trials.recorder, trials.sweep, trials.spending)
        self.trials = trials

    def started(self, task: Task) -> None:
        self.trials.started(self.trials.task(task.number, task.labels.params))

    def ended(self, task: Task, report: Report) -> None:
        if report["state"] == "failed":
            self.trials.failed |= {job.id: report["failure"] for job in task.jobs}
            self.trials.unsuccessful.add(task.number)
            self._record_unfinished(task, report)
            self.trials.stop_if_too_many_failed()


def _assigned(task: Task) -> Assignment | None:
    return Assignment(task.labels.params, task.labels.arm, task.jobs) if task.jobs else None

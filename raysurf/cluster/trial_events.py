"""What follows from the end of each input, piece and trial."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from raysurf.cluster.events import Notice, PointsMeasured, RunEnded, RunProgressed, RunStarted
from raysurf.cluster.spending import Spending, Verdict
from raysurf.cluster.stopping import EarlyStopping
from raysurf.cluster.task import Report, Request
from raysurf.cluster.trial_table import Ledger
from raysurf.data.registry import STREAMED
from raysurf.errors import SpecError
from raysurf.jobs.job import Job
from raysurf.jobs.outcome import figures_of
from raysurf.jobs.provenance import Labels, describe
from raysurf.results.error_text import BLOCKED
from raysurf.store.store import Store
from raysurf.store.tables import read_rows, write_rows
from raysurf.sweep.sweep import Assignment, Sweep

if TYPE_CHECKING:
    from raysurf.cluster.driver import Driver
    from raysurf.cluster.study import StudyFile


def skipped_notices(store: Store, jobs: Iterable[Job]) -> Iterator[Notice]:
    """A line for every job of a streamed data set that could not read some of its files; ``runs`` names them all."""
    for job in jobs:
        if job.data_spec.name in STREAMED:
            for row in read_rows(store, "runs", job.id):
                if files := row.get("skipped"):
                    what = "1 image file" if len(files) == 1 else f"{len(files)} image files"
                    yield Notice(f"{job.id} skipped {what} that could not be read, such as {files[0]}")


class InputHandlers:
    """Events of inputs and baselines."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def sweep_of(self, request: Request) -> Sweep:
        return next(each.sweep for each in self.driver.plan.sweeps if each.sweep.name == request.labels.sweep)

    def spending_of(self, request: Request) -> Spending:
        return self.driver.of_sweep[request.labels.sweep].spending

    def started(self, request: Request) -> None:
        sweep, labels = self.sweep_of(request), request.labels
        self.spending_of(request).starts()
        self.driver.listener(
            RunStarted(sweep, request.number, request.label, request.jobs, labels.params, labels.arm, labels.role)
        )

    def reported(self, request: Request, report: Report) -> None:
        self.driver.listener(
            RunProgressed(request.number, report["run_id"], report["epoch"], report["epochs"], report["figures"])
        )

    def stops(self, request: Request, report: Report) -> bool:
        """Whether the request is to end where it is; only trials are."""
        return False

    def ended(self, request: Request, report: Report) -> None:
        driver, state = self.driver, report["state"]
        if request.labels.role == "trial":
            driver.trials += 1
        else:
            driver.num_inputs += 1
        if state == "failed":
            driver.failed += 1
            driver.broken |= {job.id: str(report.get("error")) for job in request.jobs}
        if request.labels.role != "trial":
            if state == "failed":
                self._record_unfinished(request, report)
            self.spending_of(request).settle(request.jobs)
        for notice in skipped_notices(driver.store, request.jobs):
            driver.listener(notice)
        value = report.get("value")
        driver.listener(
            RunEnded(
                self.sweep_of(request),
                request.number,
                request.label,
                request.jobs,
                state,
                value=value if value is not None and math.isfinite(value) else None,
                error=report.get("error"),
                figures=report.get("figures", {}),
                values=tuple(report.get("values") or ()),
            )
        )

    def _record_unfinished(self, request: Request, report: Report) -> None:
        """Write a ``runs`` row for what was stopped, or lost with its process, before it could write its own."""
        store = self.driver.store
        for job in request.jobs:
            if figures_of(store, job.id) is None and (report.get("lost") or not read_rows(store, "runs", job.id)):
                row = describe(job, request.labels, report["state"], {}, report.get("error"))
                trained = float(report.get("epoch", 0) if report.get("run_id") == job.id else 0)
                write_rows(store, "runs", job.id, [row | _UNMEASURED | {"epochs": trained}])


class PieceHandlers(InputHandlers):
    """Events of pieces of surfaces. What a failed one lacks is left to the job itself, which then says why."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self.measured: dict[str, int] = {}

    def started(self, request: Request) -> None:
        self._tell(request, 0)

    def reported(self, request: Request, report: Report) -> None:
        """Told by its end."""

    def ended(self, request: Request, report: Report) -> None:
        self._tell(request, len(request.points) if report["state"] == "done" else 0)

    def _tell(self, request: Request, more: int) -> None:
        (job,) = request.jobs
        self.measured[job.id] += more
        event = PointsMeasured(self.sweep_of(request), job, self.measured[job.id], job.points_to_measure)
        self.driver.listener(event)


class ReplicateHandlers(InputHandlers):
    """Events of one seed of a trial: the trial begins with the first of them, and ends by itself."""

    def __init__(self, driver: Driver, trials: TrialHandlers) -> None:
        super().__init__(driver)
        self.trials = trials

    def started(self, request: Request) -> None:
        self.trials.started(self.trials.request(request.number, request.labels.params))

    def ended(self, request: Request, report: Report) -> None:
        if report["state"] == "failed":
            self.trials.failed |= {job.id: str(report.get("error")) for job in request.jobs}
            self.trials.unsuccessful.add(request.number)
            self._record_unfinished(request, report)
            self.trials.stop_if_too_many_failed()


class TrialHandlers(InputHandlers):
    """Events of trials, each of which has a row in ``trials``.

    Args:
        driver: Whose they are.
        sweep: Theirs.
        ledger: The sweep's rows.
        spending: The sweep's account.
        total: How many there are, all arms together.

    ``is_over`` says that so many have failed that no more are to begin.
    """

    def __init__(self, driver: Driver, sweep: Sweep, ledger: Ledger, spending: Spending, total: int) -> None:
        super().__init__(driver)
        self.sweep, self.ledger, self.spending, self.total = sweep, ledger, spending, total
        self.failed: dict[str, str] = {}
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
        self.driver.stopped.append(self.sweep.name)
        failed = f"{len(self.unsuccessful)} of {self.total} trials have failed, more than max_failed_share: {share:g}"
        text = f"sweep {self.sweep.name} is stopped, {left} trials do not begin: {failed}"
        self.driver.listener(Notice(f"{text} (raysurf why {self.sweep.name})"))

    def why_not(self, job: Job) -> str | None:
        """Why a job cannot be run, or need not be tried again; None if it may be run."""
        broken = self.driver.broken
        if (run_id := next((each.id for each in job.ancestors if each.id in broken), None)) is not None:
            return f"{BLOCKED}{run_id} failed: {broken[run_id]}"
        return self.failed.get(job.id)

    def request(self, number: int, params: Mapping[str, Any]) -> Request:
        """What a trial is to do; one whose values make no valid job fails by itself."""
        fault: str | None = None
        jobs: tuple[Job, ...] = ()
        arm = ""
        try:
            assignment = self.sweep.fill(params)
            jobs, arm = assignment.jobs, assignment.arm
            fault = next((why for job in jobs if (why := self.why_not(job)) is not None), None)
        except SpecError as error:
            fault = f"{type(error).__name__}: {error}"
        labels = Labels(self.sweep.name, "trial", arm, self.driver.provenance, number, params)
        return self.driver.request(self.sweep, number, f"trial {number}", jobs, labels, fault)

    def may_begin(self, request: Request) -> Verdict:
        """Whether a trial still fits the sweep's budget."""
        return self.spending.may_begin(request.number, request.jobs)

    def reused(self, number: int, params: Mapping[str, Any]) -> None:
        """A trial that needs no running."""
        self.taken.add(number)
        was_there = number in self.ledger.rows
        try:
            assignment = self.sweep.fill(params)
        except SpecError as error:
            if self.ledger.rows.get(number, {}).get("state") != "failed":
                self.ledger.write(number, None, params, "failed", error=f"{type(error).__name__}: {error}")
            self.unsuccessful.add(number)
            self.driver.trials += 1
            self.driver.failed += 1
            ended = RunEnded(self.sweep, number, f"trial {number}", (), "failed", was_there, error=str(error))
            self.driver.listener(dataclasses.replace(ended, params=params))
            return
        state, values, std, why = self.ledger.finished(number, assignment) or ("done", None, None, None)
        if self.ledger.rows.get(number, {}).get("state") != state:
            self.ledger.write(number, assignment, params, state, values, std, why)
        self.driver.trials += 1
        if state == "failed":
            self.unsuccessful.add(number)
            self.driver.failed += 1
        figures = figures_of(self.driver.store, assignment.jobs[-1].id) or {}
        value = values[0] if values and len(values) == 1 else None
        ended = RunEnded(self.sweep, number, f"trial {number}", assignment.jobs, state, True, value, why, figures)  # type: ignore[arg-type]
        self.driver.listener(dataclasses.replace(ended, params=params, arm=assignment.arm, values=values or ()))

    def started(self, request: Request) -> None:
        if request.number in self.begun:
            return
        self.begun.add(request.number)
        self.spending.started(request.number, request.jobs)
        self.ledger.write(request.number, _assigned(request), request.labels.params, "running")
        if self.study is not None:
            self.study.begun(request.number)
        super().started(request)

    def stops(self, request: Request, report: Report) -> bool:
        if self.stopping is None or report.get("value") is None:
            return False
        # An input that the trial trains for itself has epochs of its own.
        is_own = report["run_id"] in {job.id for job in request.jobs}
        return is_own and self.stopping.stops(request.number, report["epoch"], report["value"])

    def ended(self, request: Request, report: Report) -> None:
        state, values, std = report["state"], None, None
        if state == "done":
            found = [figures_of(self.driver.store, job.id) for job in request.jobs]
            values, std = self.ledger.values([each for each in found if each is not None])
        else:
            self._record_unfinished(request, report)
        error = report.get("error")
        self.ledger.write(request.number, _assigned(request), request.labels.params, state, values, std, error)
        self.spending.ended(request.number)
        if self.stopping is not None:
            self.stopping.take(request.number, [job.id for job in request.jobs])
        if self.study is not None:
            self.study.ended(request.number)
        value = values[0] if values and len(values) == 1 else None
        super().ended(request, {**report, "value": value, "values": values})
        if state == "failed":
            self.unsuccessful.add(request.number)
            self.stop_if_too_many_failed()


_UNMEASURED = {"started_at": None, "wall_s": None, "device_s": None, "workers": None, "device": None}


def _assigned(request: Request) -> Assignment | None:
    return Assignment(request.labels.params, request.labels.arm, request.jobs) if request.jobs else None

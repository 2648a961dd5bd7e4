"""Run a job: its missing inputs first, each once whoever asks for it, its rows and outcome kept, failures recorded."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from raysurf.errors import ChangedError, NotFiniteError, PreemptedError, StoreUnavailableError
from raysurf.failure import Failure
from raysurf.jobs.completeness import files_of
from raysurf.jobs.context import Progress, StoreContext
from raysurf.jobs.fingerprints import Unchanged, of_inputs
from raysurf.jobs.job import Job
from raysurf.jobs.measuring import MeasuringJob, first_of_piece, measure
from raysurf.jobs.outcome import Metrics, metrics_of, outcome_path
from raysurf.jobs.provenance import Labels, describe, device_name
from raysurf.own_code import without_exit
from raysurf.redaction import redact
from raysurf.store.lease import Holder, Lease, polled
from raysurf.store.store import Store
from raysurf.store.tables import read_rows, write_rows
from raysurf.training.workers import Workers

Telling = Callable[[Progress], None]


@contextmanager
def turn(
    job: Job, store: Store, workers: Workers, progress: Telling, sweep: str, points: tuple[int, int] | None = None
) -> Iterator[Telling | None]:
    """Wait until a job is done or it is our turn to do it; every worker of a group calls it.

    It is waited for whoever does the same job, measures some of the same points, or trains the beginning of the same
    trajectory, since this one goes on from there. Whoever trains more of it is let run beside.

    Args:
        job: What is wanted.
        store: Where its outcome is or will be.
        workers: This process's place in its group.
        progress: Told at every look that it is being waited; it may end that by raising.
        sweep: For whom it is, for others that wait.
        points: Of a measuring job, from which up to which are wanted; all if not given.

    Yields:
        What is to be told of the job's progress if it is to be done now; None if the job is done.

    Raises:
        PreemptedError: If a worker is told to leave before its job's turn has come.
    """
    part = points or (0, max(1, job.epochs_to_train + job.points_to_measure))
    with Lease(store, job.trajectory or job.id, f"sweep {sweep}", part, job.trajectory is None) as lease:

        def look() -> tuple[bool, Holder | None]:
            if workers.rank != 0:
                return False, None
            if metrics_of(store, job.id) is not None:
                return True, None
            holder = lease.take()
            return holder is None and metrics_of(store, job.id) is not None, holder

        def telling(at: Progress) -> None:
            # Tune never returns from what it is told of a trial that it has stopped, until it has use for the process.
            with lease.lent():
                progress(at)

        for is_done, holder in polled(look, sleeps=workers.rank == 0):
            if workers.agree(is_done):
                yield None
                return
            if workers.is_any_told():
                raise PreemptedError(f"before {job.id} began")
            if workers.agree(holder is None):
                yield telling
                return
            progress(Progress(job.id, 0, job.epochs_to_train, waits_for=str(holder or "rank 0's look")))


def execute(
    job: Job,
    store: Store,
    workers: Workers,
    progress: Callable[[Progress], None],
    labels: Labels,
    accept_changed: bool = False,
) -> Metrics:
    """Run a job unless it is done already; every worker of a group calls it.

    Args:
        job: What to run.
        store: Where outcomes and rows are.
        workers: This process's place in its group.
        progress: Told of every epoch and point; it may stop the job by raising.
        labels: What the sweep calls it.
        accept_changed: Whether what is stored may be of another network or other data than there are now.

    Returns:
        The job's metrics.

    Raises:
        ChangedError: If what is stored is of another network or other data; there is no row of it.
        Exception: Whatever the job raised, after a ``runs`` row that says so; there is none if it was preempted.
    """

    def once(job: Job, labels: Labels) -> Metrics:
        with turn(job, store, workers, progress, labels.sweep) as telling:
            if telling is not None:
                return _run(StoreContext(job, store, workers, telling, accept_changed=accept_changed), labels)
        Unchanged(store, accept_changed, workers.rank == 0).require(job)
        # What rank 0 returns counts; on a shared disk other nodes may see an outcome later.
        return metrics_of(store, job.id) or {}

    for needed in job.ancestors:
        once(needed, labels.as_input())
    return once(job, labels)


def execute_piece(
    job: MeasuringJob,
    store: Store,
    workers: Workers,
    progress: Callable[[Progress], None],
    numbers: Sequence[int],
    sweep: str,
    accept_changed: bool = False,
) -> None:
    """Measure some points of a job whose inputs are done; its rows stand beside those of other pieces.

    Args:
        job: The measuring job.
        store: Where inputs and rows are.
        workers: This process.
        progress: Told of every point.
        numbers: The points, rising.
        sweep: For whom it is, for others that wait.
        accept_changed: As ``execute`` takes it.

    Raises:
        MeasuringError: If points raised, after all others were measured.
    """
    first = first_of_piece(job, numbers[0])
    with turn(job, store, workers, progress, sweep, (first, numbers[-1] + 1)) as telling:
        if telling is not None:
            # Who has measured the job in one piece, and was broken off, has left what there is in the job's own part.
            left = set(numbers) - {row["point"] for row in read_rows(store, "surface", job.id)}
            context = StoreContext(job, store, workers, telling, f"{job.id}.{first}", accept_changed)
            with without_exit():
                measure(job, context, sorted(left), job.survey)


def _run(context: StoreContext, labels: Labels) -> Metrics:
    job, store, workers = context.job, context.store, context.workers
    started, began = datetime.now(UTC), time.perf_counter()

    def record(status: str, metrics: Metrics, error: Exception | None, skipped: Collection[str]) -> None:
        if workers.rank == 0:
            wall_s = time.perf_counter() - began
            row = describe(job, labels, status, metrics, None if error is None else Failure.of(error)) | {
                "started_at": started,
                "wall_s": wall_s,
                "device_s": (wall_s + context.elsewhere_s) * workers.size,
                "workers": workers.size,
                "device": device_name(workers.device),
                "skipped": sorted(skipped) or None,
                **(context.fingerprints or of_inputs(job, store)),
            }
            if error is not None:
                row["error"] = redact("".join(traceback.format_exception(error)))
            write_rows(store, "runs", job.id, [row])

    try:
        with without_exit():
            metrics = job.run(context)
        if not context.fingerprints:
            context.saw(of_inputs(job, store))
        wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
        if wrong:
            raise NotFiniteError(wrong)
    except (StoreUnavailableError, ChangedError):
        # The run is to be done again, and has not failed; of the former no row could be written.
        raise
    except PreemptedError:
        context.flush()
        raise
    except Exception as error:
        context.flush()
        record("failed", {}, error, context.skipped)
        raise
    context.flush()
    record("done", metrics, None, workers.union(context.skipped))
    if workers.rank == 0:
        files = files_of(store, job, ("runs", *(table for table, rows in context.rows.items() if rows)), context.part)
        store.put_json(
            outcome_path(job.id),
            {"figures": metrics, "job": job.tree, "files": files, "fingerprints": context.fingerprints},
        )
        context.checkpoints.clear()
    workers.barrier()
    return metrics

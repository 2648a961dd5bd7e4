"""A job's turn: of all that want its outcome, in whatever trial, sweep or process, one does it, the others wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raysurf.errors import PreemptedError
from raysurf.jobs.context import Progress
from raysurf.jobs.job import Job
from raysurf.jobs.outcome import figures_of
from raysurf.results.claims import Claim, Holder, pauses
from raysurf.results.store import Store
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
    with Claim(store, job.trajectory or job.id, f"sweep {sweep}", part, job.trajectory is None) as claim:

        def look() -> tuple[bool, Holder | None]:
            if figures_of(store, job.id) is not None:
                return True, None
            holder = claim.take()
            return holder is None and figures_of(store, job.id) is not None, holder

        def telling(at: Progress) -> None:
            # Tune never returns from what it is told of a trial that it has stopped, until it has use for the process.
            with claim.lent():
                progress(at)

        for pause in pauses():
            is_done, holder = look() if workers.rank == 0 else (False, None)
            if workers.agree(is_done):
                yield None
                return
            if workers.is_any_told():
                raise PreemptedError(f"before {job.id} began")
            if workers.agree(holder is None):
                yield telling
                return
            progress(Progress(job.id, 0, job.epochs_to_train, waits_for=str(holder or "rank 0's look")))
            if workers.rank == 0:
                time.sleep(pause)

"""Whether all that a finished job has left behind is still there and whole; else it is to be done again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from raysurf.errors import StoreError
from raysurf.jobs.fingerprints import Unchanged
from raysurf.jobs.job import Job
from raysurf.jobs.measuring import MeasuringJob
from raysurf.jobs.outcome import Metrics, metrics_of, outcome_path
from raysurf.store.store import Store
from raysurf.store.tables import is_kept, parts_of_run


class FinishedJobs:
    """Looks for the metrics of finished jobs, for who decides what is still to be run.

    The first time that a job is looked at, its files are as well. If one is missing or was cut short the job counts as
    not done, now and for every other process: its outcome is removed. On a bucket, where files are written at once,
    none is looked at.

    Args:
        store: Where outcomes are.
        tell: Given a line on every job that is to be done again.
        unchanged: Looks whether they were made of what is there now; if not given, nobody does.
    """

    def __init__(
        self, store: Store, tell: Callable[[str], None] = lambda text: None, unchanged: Unchanged | None = None
    ) -> None:
        self.store, self.tell, self.unchanged = store, tell, unchanged
        self._seen: set[str] = set()

    def metrics(self, job: Job) -> Metrics | None:
        """The metrics of a job that is done, its files being whole; None if it is still to be run.

        Raises:
            StoreError: If its outcome is something else than raysurf writes.
            ChangedError: If it was made of another network or other data than there are now.
        """
        self.look_at(job)
        return metrics_of(self.store, job.id)

    def look_at(self, job: Job) -> None:
        """Check a finished job's files and fingerprints, once."""
        if job.id in self._seen:
            return
        self._seen.add(job.id)
        if self.store.is_local and (path := self._torn(job)) is not None:
            self.store.delete(outcome_path(job.id))
            self.tell(f"{path} is missing or was cut short; {job.id} is done again")
        elif self.unchanged is not None:
            self.unchanged.require(job)

    def _torn(self, job: Job) -> str | None:
        path = outcome_path(job.id)
        if not self.store.exists(path):
            return None
        return next((file for file in (path, *self._files(job)) if not is_kept(self.store, file)), None)

    def _files(self, job: Job) -> Iterable[str]:
        """What the job has written, as far as its outcome says."""
        try:
            outcome = self.store.get_json(outcome_path(job.id))
            files = [file for file in outcome["files"] if isinstance(file, str)]
        except (StoreError, KeyError, TypeError):
            files = []
        if isinstance(job, MeasuringJob):
            files += [f"tables/surface/{part}.parquet" for part in parts_of_run(self.store, "surface", job.id)]
        return files


def files_of(store: Store, job: Job, tables: Iterable[str], part: str) -> list[str]:
    """What a job that has ended has written of its own, to be kept in its outcome; nothing on a bucket.

    Args:
        store: Where.
        job: The job.
        tables: Those that it has rows in.
        part: The name of its files there.
    """
    if not store.is_local:
        return []
    blobs = [path for path in store.list(f"jobs/{job.id}") if path.count("/") == 2 and path != outcome_path(job.id)]
    return sorted([*blobs, *(f"tables/{table}/{part}.parquet" for table in tables)])

"""Telling the user of image files that runs went on without."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from raysurf.cluster.events import Notice
from raysurf.data.registry import STREAMED
from raysurf.jobs.job import Job
from raysurf.results.store import Store


def skipped_notices(store: Store, jobs: Iterable[Job]) -> Iterator[Notice]:
    """A line for every job of a streamed data set that could not read some of its files; ``runs`` names them all."""
    for job in jobs:
        if job.data_spec.name in STREAMED:
            for row in store.read_rows("runs", job.id):
                if files := row.get("skipped"):
                    what = "1 image file" if len(files) == 1 else f"{len(files)} image files"
                    yield Notice(f"{job.id} skipped {what} that could not be read, such as {files[0]}")

"""The job of a run as a value again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raysurf.errors import SpecError, StoreError
from raysurf.results.runs import one_run
from raysurf.store.parts import OURS, mapping_in

if TYPE_CHECKING:
    from raysurf.jobs.job import Job
    from raysurf.results.api import Results


def stored_job(results: Results, run: str) -> Job:
    """Build the job that a run was of; see ``Results.spec``."""
    # The one way up from this room, and only when it is asked for: reading tables must not load the jobs.
    from raysurf.jobs.parse import parse_job

    row = one_run(results, run)
    try:
        return parse_job(mapping_in(row["spec"], results.store.uri, row["run_id"]), look_up=False)
    except SpecError as error:
        raise StoreError(results.store.uri, f"a job of {row['run_id']} with {error}", f"a job, in {OURS}") from error

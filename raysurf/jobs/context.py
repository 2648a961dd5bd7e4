"""What a job sees of the world: its inputs, where rows and weights go, and its place among the workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from raysurf.errors import DataError, StoreError
from raysurf.jobs.fingerprints import Fingerprints, require_like_inputs
from raysurf.jobs.job import Job
from raysurf.jobs.stored_checkpoints import StoredCheckpoints
from raysurf.jobs.tensor_bytes import UNDECODABLE, decode, encode
from raysurf.results.store import Store
from raysurf.training.checkpoints import State
from raysurf.training.workers import Workers
from raysurf.weightspace.point import first_not_finite

Row = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a job is: epochs done of all, and the newest figures; what schedulers and displays look at.

    ``waits_for`` says who does it, while it waits for another process that does. ``flush`` writes the rows so far.
    """

    run_id: str
    epoch: int
    epochs: int
    figures: Mapping[str, float] = field(default_factory=dict)
    waits_for: str = ""
    flush: Callable[[], None] = lambda: None


class Context:
    """The one facade that a job runs behind, in-process, in a Tune trial or in a Ray Train worker.

    Rows are kept in memory and written as one file a table, so that a job that runs again replaces its rows
    and never doubles them. Only rank 0 writes.

    Args:
        job: The job to be run.
        store: Where rows and weights go.
        workers: This process's place in the group.
        progress: Told after every epoch or point; it may stop the job by raising.
        part: Name of the file of its rows; the job's own id, or the id, a dot and a piece's name where several
            processes measure pieces of one job.
        accept_changed: Whether its inputs, and states to go on from, may be of another network or other data.

    ``skipped`` names the files of the job's data that this process could not read; ``data_fingerprint`` is that of the
    data, once they are loaded; ``elsewhere_s`` is the time that other sittings and processes took for its points.
    """

    FLUSH_S = 1.0
    FLUSH_SHARE = 0.05

    def __init__(
        self,
        job: Job,
        store: Store,
        workers: Workers,
        progress: Callable[[Progress], None],
        part: str | None = None,
        accept_changed: bool = False,
    ) -> None:
        self.accept_changed = accept_changed
        self.job, self.store, self.workers, self._tell = job, store, workers, progress
        self.part = part or job.id
        self.checkpoints = StoredCheckpoints(self)
        self.rows: dict[str, list[Row]] = {}
        self.skipped: Collection[str] = ()
        self.fingerprints: Fingerprints = {}
        self.elsewhere_s = 0.0
        self._dirty: set[str] = set()
        self._flushed = self._flush_s = 0.0

    def saw(self, fingerprints: Mapping[str, str | None]) -> None:
        """Keep the fingerprints of the job's network and data.

        Raises:
            ChangedError: If its inputs saw others, and that is not accepted.
        """
        self.fingerprints = {name: value for name, value in fingerprints.items() if value is not None}
        require_like_inputs(self.job, self.store, self.fingerprints, self.accept_changed, self.workers.rank == 0)

    def report(self, table: str, *rows: Row) -> None:
        """Add rows of a table; they reach the store within a second, or when that costs under 5 % of the time."""
        self.rows.setdefault(table, []).extend({"run_id": self.job.id, **row} for row in rows)
        self._dirty.add(table)
        if time.monotonic() - self._flushed > max(self.FLUSH_S, self._flush_s / self.FLUSH_SHARE):
            self.flush()

    def flush(self) -> None:
        """Write every table that changed."""
        began = time.monotonic()
        if self.workers.rank == 0:
            for table in sorted(self._dirty):
                self.store.write_rows(table, self.part, self.rows[table])
        self._dirty.clear()
        self._flushed = time.monotonic()
        self._flush_s = self._flushed - began

    def recall(self, table: str) -> list[Row]:
        """Rows that an earlier sitting wrote into this part; they count as reported."""
        self.rows[table] = self.store.read_rows(table, self.part)
        # All workers must have read the same rows before one of them writes more.
        self.workers.barrier()
        return self.rows[table]

    def rows_of_all_parts(self, table: str) -> list[Row]:
        """This part's rows, as reported, and those that other processes have written of the same job."""
        others = [part for part in self.store.parts_of(table, self.job.id) if part != self.part]
        return [*self.rows.get(table, []), *(row for part in others for row in self.store.read_rows(table, part))]

    def restore(self, rows: dict[str, list[Row]]) -> None:
        """Go back to the rows of a checkpoint; later ones are forgotten, in the store as well."""
        self.rows = rows
        self._dirty.update(rows)

    def progress(self, epoch: int, epochs: int, figures: Mapping[str, float] | None = None) -> None:
        """Say how far the job is."""
        self._tell(Progress(self.job.id, epoch, epochs, figures or {}, flush=self.flush))

    def save(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep named tensors of this job, as safetensors."""
        if self.workers.rank == 0:
            self.store.put_bytes(f"jobs/{self.job.id}/{name}.safetensors", encode(tensors))

    def load(self, job: Job, name: str) -> State:
        """The tensors that a finished input kept under a name, on this worker's device.

        Raises:
            StoreError: If they are missing or corrupt.
        """
        path = f"jobs/{job.id}/{name}.safetensors"
        try:
            tensors = decode(self.store.get_bytes(path))
        except StoreError:
            raise
        except UNDECODABLE as error:
            raise StoreError(
                self.store.uri, f"{path}: {error}", "a safetensors file (remove it and run again)"
            ) from error
        # The reader gives tensors in any order, and sums over them must be taken in one.
        return {key: tensors[key].to(self.workers.device) for key in sorted(tensors)}

    def weights(self, job: Job, name: str = "weights") -> tuple[State, State]:
        """A finished input's point and buffers.

        Args:
            job: The input.
            name: What it kept them under.

        Raises:
            StoreError: If they are missing or corrupt.
            DataError: If a weight is NaN or infinite.
        """
        parts: dict[str, State] = {"point": {}, "buffer": {}}
        for key, value in self.load(job, name).items():
            part, _, tensor = key.partition("/")
            if part not in parts:
                got = f"{key} in {name} of {job.id}"
                raise StoreError(self.store.uri, got, "tensors of a point and its buffers (remove it and run again)")
            parts[part][tensor] = value
        if (wrong := first_not_finite(parts["point"])) is not None:
            raise DataError(f"{name} of {job.id}", f"NaN or infinity in {wrong}", "finite weights")
        return parts["point"], parts["buffer"]

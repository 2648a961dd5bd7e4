"""What a job sees of the world: its inputs, where rows and weights go, and its place among the workers."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as decode
from safetensors.torch import save as encode
from torch import Tensor

from raysurf.errors import DataError, StoreError, StoreUnavailableError
from raysurf.jobs.job import Job
from raysurf.results.parts import encode_part
from raysurf.results.schemas import schema_of
from raysurf.results.store import Store
from raysurf.training.checkpoints import Checkpoints, Place, State
from raysurf.training.workers import Workers
from raysurf.weightspace.point import first_not_finite

Row = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a job is: epochs done of all, and the newest figures; what schedulers and displays look at.

    ``waits_for`` says who does it, while it waits for another process that does.
    """

    run_id: str
    epoch: int
    epochs: int
    figures: Mapping[str, float] = field(default_factory=dict)
    waits_for: str = ""


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

    ``skipped`` names the files of the job's data that this process could not read; ``data_fingerprint`` is that of the
    data, once they are loaded.
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
    ) -> None:
        self.job, self.store, self.workers, self._tell = job, store, workers, progress
        self.part = part or job.id
        self.checkpoints = StoredCheckpoints(self)
        self.rows: dict[str, list[Row]] = {}
        self.skipped: Collection[str] = ()
        self.data_fingerprint: str | None = None
        self._dirty: set[str] = set()
        self._flushed = self._flush_s = 0.0

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
        self._tell(Progress(self.job.id, epoch, epochs, figures or {}))

    def save(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep named tensors of this job, as safetensors."""
        if self.workers.rank == 0:
            self.store.put_bytes(f"jobs/{self.job.id}/{name}.safetensors", _encoded(tensors))

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
        except _UNDECODABLE as error:
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


class StoredCheckpoints(Checkpoints):
    """Checkpoints of one job in the store: a tensor file, then a note with its checksum, and one of the rows in it,
    that makes it count.

    A state is taken when it costs under 5 % of the time since the last one, and in the middle of an epoch when that
    was ten minutes ago; the newest two are kept. Rows that were reported up to then travel in the note, so that rows
    and weights never disagree.

    Jobs that train alike but not as long share a trajectory, and their checkpoints: the state at the end of each is
    kept, and a longer one goes on from it, with rows of its own.
    """

    SHARE = 0.05
    LONG_S = 600.0
    END = "end"

    def __init__(self, context: Context) -> None:
        self.context, job = context, context.job
        self._shared = job.trajectory is not None
        self._folder = f"trajectories/{job.trajectory}" if self._shared else f"jobs/{job.id}/checkpoint"
        self._last = time.monotonic()
        self._cost = 0.0

    def _saved(self) -> list[tuple[Place, str]]:
        """Places of the states that there are, and the names of their files without suffix; rising."""
        names = (path.rsplit("/", 1)[-1] for path in self.context.store.list(self._folder))
        notes = (note for name in names if (note := _NOTE.fullmatch(name)))
        return sorted((Place(int(note["epoch"]), int(note["step"] or 0)), note["stem"]) for note in notes)

    def _is_longer(self, place: Place) -> bool:
        """Whether a state is of a longer job on the trajectory."""
        return self._shared and place > Place(self.context.job.epochs_to_train)

    def load(self) -> tuple[Place, State] | None:
        run_id = self.context.job.id
        for place, stem in reversed(self._saved()):
            if self._is_longer(place) or (found := self._read(stem)) is None:
                continue
            rows, state = found
            self.context.restore({table: [row | {"run_id": run_id} for row in each] for table, each in rows.items()})
            self._last = time.monotonic()
            return place, state
        return None

    def _read(self, stem: str) -> tuple[dict[str, list[Row]], State] | None:
        """Rows and tensors of a state; None if a part of it is missing, cut short or not what was written."""
        store = self.context.store
        try:
            note = store.get_json(f"{self._folder}/{stem}.json")
            data = store.get_bytes(f"{self._folder}/{stem}.safetensors")
            if hashlib.sha256(data).hexdigest() != note["sha256"]:
                return None
            rows: dict[str, list[Row]] = note["rows"]
            if note.get("rows_sha256", _digest(rows)) != _digest(rows):
                return None
            for table, each in rows.items():
                # Such a note was written by somebody else if its rows are none of the table's.
                encode_part(each, schema_of(table), store.uri, table)
            return rows, decode(data)
        except StoreUnavailableError:
            raise
        except (*_UNDECODABLE, AttributeError):
            return None

    def is_due(self) -> bool:
        since_s = time.monotonic() - self._last
        return since_s > self.LONG_S and self._cost <= self.SHARE * since_s

    def save(self, place: Place, state: Callable[[], State], must: bool = False) -> None:
        began = time.monotonic()
        is_end = self.context.job.may_go_on and place == Place(self.context.job.epochs_to_train)
        too_costly = self._cost > self.SHARE * (began - self._last)
        if self.context.workers.rank != 0 or (too_costly and not is_end and not must):
            return
        store, data = self.context.store, _encoded(state())
        stem = f"{self.END * is_end}{place.epoch}" + (f"-{place.step}" if place.step else "")
        store.put_bytes(f"{self._folder}/{stem}.safetensors", data)
        rows = self.context.rows
        note = {"sha256": hashlib.sha256(data).hexdigest(), "rows": rows, "rows_sha256": _digest(rows)}
        store.put_json(f"{self._folder}/{stem}.json", note)
        self._remove(keep=2)
        self._last = time.monotonic()
        self._cost = self._last - began

    def clear(self) -> None:
        """The job is done: remove them all, but for the ends of a shared trajectory."""
        self._remove(keep=0)

    def _remove(self, keep: int) -> None:
        """Remove all but the newest few and the ends, as far as this job has come."""
        passing = [
            stem for place, stem in self._saved() if not stem.startswith(self.END) and not self._is_longer(place)
        ]
        for stem in passing[: len(passing) - keep]:
            for suffix in ("json", "safetensors"):
                self.context.store.delete(f"{self._folder}/{stem}.{suffix}")


# What the reader of safetensors, and of notes, raises on bytes that are something else.
_UNDECODABLE = (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OverflowError)
# Epochs done, and steps of the one after: 3, end3, 3-120.
_NOTE = re.compile(r"(?P<stem>(?:end)?(?P<epoch>[0-9]{1,9})(?:-(?P<step>[0-9]{1,9}))?)\.json")


def _digest(rows: Mapping[str, list[Row]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def _encoded(tensors: Mapping[str, Tensor]) -> bytes:
    return encode({name: value.detach().cpu().contiguous() for name, value in tensors.items()})

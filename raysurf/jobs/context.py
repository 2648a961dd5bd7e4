"""What a job sees of the world, and its checkpoints in the store."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from raysurf.errors import ChangedError, DataError, OutputError, StoreError, StoreUnavailableError
from raysurf.jobs.fingerprints import Fingerprints, differences, require_like_inputs, sentences
from raysurf.jobs.job import Job
from raysurf.store import Row
from raysurf.store.parts import encode_part
from raysurf.store.schemas import schema_of
from raysurf.store.store import Store
from raysurf.store.tables import parts_of_run, read_rows, write_rows
from raysurf.training.checkpoints import Checkpoints, Place, State
from raysurf.training.workers import Workers
from raysurf.weightspace.point import first_not_finite

# What the reader raises on bytes that are something else.
UNDECODABLE = (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OverflowError)

decode = load


def encode(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors of any device and layout, as bytes that every reader of safetensors knows."""
    return save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})


def require_storable(tensors: Mapping[str, Tensor]) -> None:
    """Check, before anything is trained, that tensors of these names could be kept.

    Raises:
        OutputError: At the first that is sparse, or whose numbers safetensors does not know.
    """
    for name, value in tensors.items():
        try:
            save({name: value.new_empty(0, device="cpu")})
        except KeyError as error:
            kept = "numbers that can be stored, such as float32, float64 or complex64"
            raise OutputError(f"{name} of {str(value.dtype).removeprefix('torch.')}", kept) from error
        except ValueError as error:
            raise OutputError(f"{name}, a {str(value.layout).removeprefix('torch.')} tensor", "a dense one") from error


def as_they_lie(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Tensors whose dimensions stand in the order of their memory, since bringing them into another one takes time.

    Returns:
        The tensors, contiguous where they lie without gaps; and the order of the dimensions of each that is not in its
        own.
    """
    ordered, orders = {}, {}
    for name, value in tensors.items():
        order = sorted(range(value.dim()), key=value.stride, reverse=True)
        if order != sorted(order) and value.permute(order).is_contiguous():
            ordered[name], orders[name] = value.permute(order), order
        else:
            ordered[name] = value
    return ordered, orders


def as_they_were(tensors: Mapping[str, Tensor], orders: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The inverse of ``as_they_lie``; raises one of ``UNDECODABLE`` if an order is none of its tensor's."""
    restored = dict(tensors)
    for name, order in orders.items():
        inverse = [list(order).index(i) for i in range(len(order))]
        restored[name] = restored[name].permute(inverse)
    return restored


# Epochs done, and steps of the one after: 3, end3, 3-120.
_NOTE = re.compile(r"(?P<stem>(?:end)?(?P<epoch>[0-9]{1,9})(?:-(?P<step>[0-9]{1,9}))?)\.json")


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

    def __init__(self, context: StoreContext) -> None:
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
        """The newest state to go on from.

        Raises:
            ChangedError: If it is of another network or other data, and that is not accepted.
        """
        run_id = self.context.job.id
        for place, stem in reversed(self._saved()):
            if self._is_longer(place) or (saved := self._read(stem)) is None:
                continue
            rows, state, fingerprints = saved
            changed = differences(fingerprints, self.context.fingerprints)
            if changed and not self.context.accept_changed:
                raise ChangedError(f"the state of {run_id} after {place.epoch} epochs", sentences(changed))
            self.context.restore({table: [row | {"run_id": run_id} for row in own] for table, own in rows.items()})
            self._last = time.monotonic()
            return place, state
        return None

    def _read(self, stem: str) -> tuple[dict[str, list[Row]], State, Fingerprints] | None:
        """Rows, tensors and fingerprints of a state; None if a part is missing, cut short or not what was written."""
        store = self.context.store
        try:
            note = store.get_json(f"{self._folder}/{stem}.json")
            data = store.get_bytes(f"{self._folder}/{stem}.safetensors")
            if hashlib.sha256(data).hexdigest() != note["sha256"]:
                return None
            rows: dict[str, list[Row]] = note["rows"]
            if note.get("rows_sha256", _digest(rows)) != _digest(rows):
                return None
            for table, own in rows.items():
                # Such a note was written by somebody else if its rows are none of the table's.
                encode_part(own, schema_of(table), store.uri, table)
            return rows, as_they_were(decode(data), note.get("orders", {})), dict(note.get("fingerprints", {}))
        except StoreUnavailableError:
            raise
        except (*UNDECODABLE, AttributeError):
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
        tensors, orders = as_they_lie(state())
        store, data = self.context.store, encode(tensors)
        stem = f"{self.END * is_end}{place.epoch}" + (f"-{place.step}" if place.step else "")
        store.put_bytes(f"{self._folder}/{stem}.safetensors", data)
        rows = self.context.rows
        note = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "rows": rows,
            "rows_sha256": _digest(rows),
            "orders": orders,
            "fingerprints": self.context.fingerprints,
        }
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


def _digest(rows: Mapping[str, list[Row]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Progress:
    """How far a job is: epochs done of all, and the newest metrics; what schedulers and displays look at.

    ``waits_for`` says who does it, while it waits for another process that does. ``flush`` writes the rows so far.
    """

    run_id: str
    epoch: int
    epochs: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    waits_for: str = ""
    flush: Callable[[], None] = lambda: None


class StoreContext:
    """The context of a job whose rows and weights go to a store: in-process, in a Tune trial or in a Ray Train worker.

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
        self.fingerprints = {name: value for name, value in fingerprints.items() if value is not None}
        require_like_inputs(self.job, self.store, self.fingerprints, self.accept_changed, self.workers.rank == 0)

    def report(self, table: str, *rows: Row) -> None:
        """Add rows of a table; they reach the store within a second, or when that costs under 5 % of the time."""
        self.rows.setdefault(table, []).extend({"run_id": self.job.id, **row} for row in rows)
        self._dirty.add(table)
        if time.monotonic() - self._flushed > max(self.FLUSH_S, self._flush_s / self.FLUSH_SHARE):
            self.flush()

    def flush(self) -> None:
        began = time.monotonic()
        if self.workers.rank == 0:
            for table in sorted(self._dirty):
                write_rows(self.store, table, self.part, self.rows[table])
        self._dirty.clear()
        self._flushed = time.monotonic()
        self._flush_s = self._flushed - began

    def recall(self, table: str) -> list[Row]:
        self.rows[table] = read_rows(self.store, table, self.part)
        # All workers must have read the same rows before one of them writes more.
        self.workers.barrier()
        return self.rows[table]

    def rows_of_all_parts(self, table: str) -> list[Row]:
        others = [part for part in parts_of_run(self.store, table, self.job.id) if part != self.part]
        return [*self.rows.get(table, []), *(row for part in others for row in read_rows(self.store, table, part))]

    def restore(self, rows: dict[str, list[Row]]) -> None:
        """Go back to the rows of a checkpoint; later ones are forgotten, in the store as well."""
        self.rows = rows
        self._dirty.update(rows)

    def progress(self, epoch: int, epochs: int, metrics: Mapping[str, float] | None = None) -> None:
        self._tell(Progress(self.job.id, epoch, epochs, metrics or {}, flush=self.flush))

    def save(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        if self.workers.rank == 0:
            self.store.put_bytes(f"jobs/{self.job.id}/{name}.safetensors", encode(tensors))

    def load(self, job: Job, name: str) -> State:
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

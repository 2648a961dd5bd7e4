"""The loop's states in the store, each with a checksum."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from raysurf.errors import ChangedError, StoreUnavailableError
from raysurf.jobs.fingerprints import Fingerprints, differences, told
from raysurf.jobs.tensor_bytes import UNDECODABLE, as_they_lie, as_they_were, decode, encode
from raysurf.results.parts import encode_part
from raysurf.results.schemas import schema_of
from raysurf.training.checkpoints import Checkpoints, Place, State

if TYPE_CHECKING:
    from raysurf.jobs.context import Context

Row = dict[str, Any]
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
        """The newest state to go on from.

        Raises:
            ChangedError: If it is of another network or other data, and that is not accepted.
        """
        run_id = self.context.job.id
        for place, stem in reversed(self._saved()):
            if self._is_longer(place) or (found := self._read(stem)) is None:
                continue
            rows, state, fingerprints = found
            changed = differences(fingerprints, self.context.fingerprints)
            if changed and not self.context.accept_changed:
                raise ChangedError(f"the state of {run_id} after {place.epoch} epochs", told(changed))
            self.context.restore({table: [row | {"run_id": run_id} for row in each] for table, each in rows.items()})
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
            for table, each in rows.items():
                # Such a note was written by somebody else if its rows are none of the table's.
                encode_part(each, schema_of(table), store.uri, table)
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

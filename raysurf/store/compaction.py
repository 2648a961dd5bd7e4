"""Many small files of a table become few large ones, beside writers, readers and other compactions.

The order of things, which is what makes it safe (``results.table_files`` has the readers' rule):

1. Own files are read, and only those count whose version is the same after reading as before. On a bucket, where times
   are whole seconds, what is younger than ``SETTLED_S`` waits for the next compaction.
2. Their rows are written as one compacted file. Nobody reads it: it has no list.
3. Its list is written, in one step, if no other compaction has written one since the first step; its number is higher
   than all before. From now on readers take these rows, as long as the own file is of the listed version or gone.
4. Own files that have been listed for ``GRACE_S`` are removed by the next compaction, so that a reader who listed them
   before is done with them. On a disk a file is moved aside, looked at, and put back if it is of another version and
   none has come since; one that a killed compaction left aside is put back by the next. On a bucket, which cannot do
   that, only files of finished jobs are removed, since nobody writes those, and after a look at their content.
5. Compacted files of which no row has been read for ``GRACE_S`` are removed: first the list, then the rows.

Whoever is killed leaves either a compacted file without a list, which the next compaction removes, or a step that was
done. Two compactions of one table keep off each other by a claim; should one be frozen for so long that it loses its
claim, the third step finds out, and it gives up. A part that is removed is replaced by an empty one wherever its rows
may have been compacted, which holds as any newer version does.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from raysurf.errors import StoreError
from raysurf.store.clock import now_ns
from raysurf.store.compacted import FOLDER, PART, SUFFIX, Compacted, Entry, listed, require_as_written, rows_of_parts
from raysurf.store.filesystem import mark_of
from raysurf.store.lease import FOLDER as CLAIMS
from raysurf.store.lease import Claim
from raysurf.store.parts import file_of, fitted, migrated, table_in
from raysurf.store.schemas import SCHEMAS, VERSION, schema_of
from raysurf.store.store import Store
from raysurf.store.tables import TableFiles, is_compacted, look_at, say_version, write_rows
from raysurf.store.truncated import is_torn

# Seconds.
GRACE_S, SETTLED_S = 600.0, 3.0
# A compacted file is cut at either; one of less than half of the rows is merged into the next.
MOST_ROWS, MOST_BYTES = 2**20, 2**28
# Between a query for one run, which reads a group, and one for all, which takes longer the more there are.
ROW_GROUP = 8 * 1024
ASIDE = ".aside"
PARTS = pa.field(PART, pa.string(), nullable=False)


@dataclass
class Compaction:
    """What came of compacting a table.

    Args:
        table: Its name.
        parts: Parts that were compacted.
        rows: Rows in the compacted files that were written.
        removed: Files that were removed, their rows being elsewhere.
        waiting: Files that are removed by a later compaction.
        bytes_removed: Their bytes.
        held_by: Who compacts the table now, if somebody does; nothing was done then.
        skipped: Files that were left alone, since they cannot be read.
    """

    table: str
    parts: int = 0
    rows: int = 0
    removed: int = 0
    waiting: int = 0
    bytes_removed: int = 0
    held_by: str = ""
    skipped: list[str] = field(default_factory=list)


def compact(
    store: Store,
    tables: Iterable[str] | None = None,
    includes: Callable[[str, str], bool] | None = None,
    grace_s: float = GRACE_S,
) -> list[Compaction]:
    """Compact tables of a store, in which others may read and write at the same time.

    Args:
        store: The store.
        tables: Their names; all if not given.
        includes: Takes a table and a part, and says whether to compact it; all if not given.
        grace_s: How long files stay whose rows are elsewhere, in seconds. A query that takes longer may fail and is to
            be asked again.

    Returns:
        What came of every table that has files.

    Raises:
        UnknownNameError: If there is no such table.
        StoreError: If the store cannot be read or written, or is of a newer version.
    """
    done = []
    say_version(store)
    for table in SCHEMAS if tables is None else tables:
        schema_of(table)
        if not store.marks(f"tables/{table}") and not store.marks(f"{FOLDER}/{table}"):
            continue
        with Claim(store, f"compact.{table}", "raysurf compact") as claim:
            holder = claim.take()
            if holder is not None:
                done.append(Compaction(table, held_by=str(holder)))
                continue
            wanted = partial(includes, table) if includes else lambda part: True
            done.append(_Compactor(store, table, now_ns(store), grace_s).run(wanted))
    return done


def remove_part(store: Store, table: str, part: str) -> None:
    """Remove a part of a table, if it is there, for every reader."""
    is_listed = is_compacted(store, table, part)
    if not is_listed:
        store.delete(f"tables/{table}/{part}{SUFFIX}")
        # Who has read the part just before may be about to list it.
        names = store.marks(CLAIMS)
        is_listed = any(name.startswith(f"compact.{table}.") for name in names) or is_compacted(store, table, part)
    if is_listed:
        write_rows(store, table, part, [])


class _Compactor:
    """One compaction of one table.

    Args:
        store: The store.
        table: Its name.
        clock_ns: The store's clock.
        grace_s: See ``compact``.
    """

    def __init__(self, store: Store, table: str, clock_ns: int, grace_s: float) -> None:
        self.store, self.table, self.clock_ns, self.grace_s = store, table, clock_ns, grace_s
        self.done = Compaction(table)
        self.schema = schema_of(table).append(PARTS)

    def run(self, includes: Callable[[str], bool]) -> Compaction:
        self._put_back()
        self._remove_replaced()
        files = look_at(self.store, self.table)
        own = [part for part in files.own if includes(part) and self._is_settled(files, part)]
        merged = self._to_merge(files, own)
        batch = _Batch()
        for part, entry, rows in self._read(files, own, merged):
            batch.add(part, entry, rows)
            if batch.rows >= MOST_ROWS or batch.bytes >= MOST_BYTES:
                self._write(files, batch)
                files, batch = look_at(self.store, self.table), _Batch()
        if batch.entries:
            self._write(files, batch)
        files = look_at(self.store, self.table)
        self.done.waiting = len(files.marks.keys() & files.chosen.keys())
        return self.done

    def _is_settled(self, files: TableFiles, part: str) -> bool:
        return self.store.is_local or self.clock_ns - files.marks[part][1] > SETTLED_S * 1e9

    def _is_old(self, time_ns: int) -> bool:
        return self.clock_ns - time_ns >= self.grace_s * 1e9

    def _to_merge(self, files: TableFiles, own: list[str]) -> list[Compacted]:
        """Compacted files that are written anew: small ones, if there is anything to merge, and those with waste."""
        wasteful = {file for file in files.used if files.unused(file) or file.version < VERSION}
        small = {file for file in files.used if file.num_rows < MOST_ROWS // 2}
        is_worth_it = len(small) + len(own) > 1
        whole = {file for file in wasteful | (small if is_worth_it else set()) if self._is_whole(file)}
        is_worth_it = len(small & whole) + len(own) > 1
        return sorted(whole if is_worth_it else wasteful & whole, key=lambda file: file.id)

    def _is_whole(self, file: Compacted) -> bool:
        """Whether every byte of a compacted file is what was written; else it is left alone."""
        try:
            require_as_written(self.store, file)
        except (StoreError, FileNotFoundError):
            self.done.skipped.append(file.path)
            return False
        return True

    def _read(
        self, files: TableFiles, own: list[str], merged: list[Compacted]
    ) -> Iterator[tuple[str, Entry, pa.Table]]:
        """Parts with their rows, in one order of parts."""
        of_file = {part: file for file in merged for part in files.used[file]}
        held: dict[Compacted, dict[str, pa.Table]] = {}
        of_own = self._read_ahead(files, sorted(own))
        for part in sorted([*own, *of_file]):
            if (file := of_file.get(part)) is None:
                if (found := next(of_own)) is not None:
                    yield part, *found
                continue
            if file not in held:
                held[file] = self._by_part(file, files.used[file])
            yield part, file.parts[part], held[file].pop(part)
        # Parts that were removed stay listed, as long as older lists may have rows of them.
        for part, file in sorted(files.chosen.items()):
            if file in merged and not file.parts[part].rows:
                yield part, file.parts[part], self.schema.empty_table()

    def _read_ahead(self, files: TableFiles, parts: list[str]) -> Iterator[tuple[Entry, pa.Table] | None]:
        """What ``_read_own`` gives for each part in order; a bucket is asked for many files at a time."""
        with ThreadPoolExecutor(2 if self.store.is_local else 16) as pool:
            for first in range(0, len(parts), 64):
                yield from pool.map(partial(self._read_own, files), parts[first : first + 64])

    def _read_own(self, files: TableFiles, part: str) -> tuple[Entry, pa.Table] | None:
        """The rows of a part's own file; None if it was replaced meanwhile, or cannot be read."""
        path, mark = f"tables/{self.table}/{part}{SUFFIX}", files.marks[part]
        try:
            data = self.store.get_bytes(path)
            if self.store.mark(path) != mark:
                return None
            if is_torn(io.BytesIO(data), SUFFIX):
                raise StoreError(self.store.uri, f"{path}, which was cut short", "a whole file")
            rows = table_in(data, schema_of(self.table), self.store.uri, path)
        except StoreError as error:
            if self.store.mark(path) is None:
                return None
            if "newer raysurf" in error.expected:
                raise
            self.done.skipped.append(path)
            return None
        entry = Entry(*mark, rows.num_rows, hashlib.sha256(data).hexdigest())
        return entry, rows.append_column(PARTS, pa.array([part] * rows.num_rows, pa.string()))

    def _by_part(self, file: Compacted, parts: set[str]) -> dict[str, pa.Table]:
        found = pa.concat_tables(list(rows_of_parts(self.store, file, parts))).combine_chunks()
        rows = migrated(fitted(found, self.schema, self.store.uri, file.path), self.table, file.version)
        # Rows of a part stand together.
        ends = [0]
        for part in sorted(parts):
            ends.append(ends[-1] + file.parts[part].rows)
        by_part = {part: rows.slice(ends[i], ends[i + 1] - ends[i]) for i, part in enumerate(sorted(parts))}
        wrong = [part for part, each in by_part.items() if set(each[PART].unique().to_pylist()) != {part}]
        if wrong or ends[-1] != rows.num_rows:
            got = f"{file.path}, whose rows are not those that its list says"
            raise StoreError(self.store.uri, got, "compacted files as raysurf wrote them (raysurf fsck)")
        return by_part

    def _write(self, files: TableFiles, batch: _Batch) -> None:
        """Write a compacted file, then its list."""
        number = max((file.number for file in files.compacted), default=0) + 1
        name = f"{number:06d}-{uuid.uuid4().hex[:8]}"
        path = f"{FOLDER}/{self.table}/{name}"
        rows = pa.concat_tables([self.schema.empty_table(), *batch.tables]).replace_schema_metadata(
            schema_of(self.table).metadata
        )
        data = file_of(rows, row_group_size=ROW_GROUP, store_schema=True, write_statistics=True)
        self.store.put_bytes(f"{path}{SUFFIX}", data)
        self._require_rows(f"{path}{SUFFIX}", rows.num_rows)
        now = look_at(self.store, self.table)
        if {file.id for file in now.compacted} != {file.id for file in files.compacted}:
            self.store.delete(f"{path}{SUFFIX}")
            got = f"a second compaction of {self.table}, while this one was held up"
            raise StoreError(self.store.uri, got, "one at a time; nothing is lost: compact it again")
        self.store.put_json(f"{path}.json", listed(VERSION, hashlib.sha256(data).hexdigest(), batch.entries))
        self.done.parts += len(batch.entries)
        self.done.rows += rows.num_rows

    def _require_rows(self, path: str, num_rows: int) -> None:
        """What was written is there, and on the disk for good, before own files may be removed for it."""
        with self.store.fs.open_input_file(self.store.full(path)) as stream:
            assert pq.ParquetFile(stream).metadata.num_rows == num_rows
        if self.store.is_local:
            for each in (self.store.full(path), os.path.dirname(self.store.full(path))):
                descriptor = os.open(each, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def _remove_replaced(self) -> None:
        """Remove what has been of no use to any reader for a while."""
        files = look_at(self.store, self.table)
        finished: set[str] | None = None
        for part, file in sorted(files.chosen.items()):
            if part not in files.marks or not self._is_old(file.made_ns):
                continue
            if self.store.is_local:
                self._remove_local(part, file.parts[part])
                continue
            if finished is None:
                finished = {path.split("/")[1] for path in self.store.list("jobs") if path.endswith("/outcome.json")}
            path = f"tables/{self.table}/{part}{SUFFIX}"
            if part.partition(".")[0] in finished and self._is_the_same(path, file.parts[part]):
                self._delete(path, files.marks[part][0])
        for file in files.compacted:
            if file not in files.used and not any(files.chosen.get(part) is file for part in file.parts):
                newer = (files.chosen[p].made_ns if p in files.chosen else files.marks[p][1] for p in file.parts)
                if self._is_old(max((file.made_ns, *newer))):
                    self.store.delete(file.list_path)
                    self._delete(file.path)
        self._remove_unlisted()

    def _remove_unlisted(self) -> None:
        """Remove compacted files that a killed compaction has left without a list."""
        there = self.store.marks(f"{FOLDER}/{self.table}")
        for name, (size, time_ns, _) in there.items():
            is_alone = name.endswith(SUFFIX) and f"{name.removesuffix(SUFFIX)}.json" not in there
            if is_alone and self._is_old(time_ns):
                self._delete(f"{FOLDER}/{self.table}/{name}", size)

    def _remove_local(self, part: str, entry: Entry) -> None:
        path = self.store.full(f"tables/{self.table}/{part}{SUFFIX}")
        aside = self.store.full(f"{FOLDER}/{self.table}/{part}{ASIDE}")
        try:
            if mark_of(path) != entry.mark:
                return
            os.rename(path, aside)
        except FileNotFoundError:
            return
        if self._settle_aside(path, aside, entry):
            self.done.removed += 1
            self.done.bytes_removed += entry.mark[0]

    def _put_back(self) -> None:
        """Finish with files that a killed compaction left aside."""
        files = look_at(self.store, self.table)
        for name in self.store.marks(f"{FOLDER}/{self.table}"):
            if name.endswith(ASIDE):
                part = name.removesuffix(ASIDE)
                file = files.chosen.get(part)
                path = self.store.full(f"tables/{self.table}/{part}{SUFFIX}")
                aside = self.store.full(f"{FOLDER}/{self.table}/{name}")
                self._settle_aside(path, aside, file.parts[part] if file else None)

    @staticmethod
    def _settle_aside(path: str, aside: str, entry: Entry | None) -> bool:
        """Remove a file that is aside if its rows are listed, else put it back unless a newer one has come."""
        is_listed = entry is not None and mark_of(aside) == entry.mark
        if not is_listed:
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        os.unlink(aside)
        return is_listed

    def _is_the_same(self, path: str, entry: Entry) -> bool:
        try:
            return hashlib.sha256(self.store.get_bytes(path)).hexdigest() == entry.digest
        except StoreError:
            return False

    def _delete(self, path: str, size: int | None = None) -> None:
        if size is None:
            found = self.store.mark(path)
            size = found[0] if found else 0
        self.store.delete(path)
        self.done.removed += 1
        self.done.bytes_removed += size


class _Batch:
    """Parts that are to be one compacted file."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.tables: list[pa.Table] = []
        self.rows = self.bytes = 0

    def add(self, part: str, entry: Entry, rows: pa.Table) -> None:
        self.entries[part] = entry
        self.tables.append(rows)
        self.rows += rows.num_rows
        self.bytes += rows.nbytes

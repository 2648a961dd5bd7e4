"""Compaction: many small files of a table become few large ones, beside writers, readers and other compactions.

A part is compacted when its run, or its trial, has ended, which is when it changes no more. The order makes it safe:

1. Own files are read, and their rows written as one compacted file. Nobody reads it: it has no list.
2. Its list is written, in one step, if no other compaction has written one since; its number is higher than all before.
3. The own files are removed. Readers take a part's own file while it is there, else the compacted rows, so they see
   every row once at any moment; a reader whose files are gone lists them again. A job that is run again writes an own
   file, which counts. On a disk a file is moved aside, and put back if it is of another version than was read and none
   has come since. A bucket cannot do that, so only parts that nobody writes are taken there: those of runs that are
   done, and trials of sweeps that nobody runs.
4. Compacted files of which all rows are elsewhere stay for ``GRACE_S`` for the queries that read them; then the list is
   removed, then the rows.

Whoever is killed leaves a compacted file without a list, which the next compaction removes, or files of the same rows.
Two compactions of one table keep off each other by a lease; should one be frozen for so long that it loses its lease,
the second step finds out, and it gives up. A removed part whose rows may be compacted is replaced by an empty one.
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
from functools import cached_property, partial

import pyarrow as pa
import pyarrow.parquet as pq

from raysurf.errors import StoreError
from raysurf.store.compacted import (
    FOLDER,
    PART,
    SUFFIX,
    Compacted,
    require_as_written,
    rows_of_parts,
    run_of,
)
from raysurf.store.filesystem import Version, version_of
from raysurf.store.lease import FOLDER as LEASES
from raysurf.store.lease import Lease
from raysurf.store.parts import file_of, fitted, migrated, table_in
from raysurf.store.schemas import SCHEMAS, VERSION, schema_of
from raysurf.store.store import Store
from raysurf.store.tables import TableFiles, is_compacted, look_at, say_version, write_rows
from raysurf.store.truncated import is_truncated

GRACE_S = 600.0
# A compacted file is cut at either; one of less than half of the rows is merged into the next.
MOST_ROWS, MOST_BYTES = 2**20, 2**28
# Between a query for one run, which reads a group, and one for all, which takes longer the more there are.
ROW_GROUP = 8 * 1024
ASIDE = ".aside"
# Files that a query opens in less time than it takes otherwise.
MANY = 256
PARTS = pa.field(PART, pa.string(), nullable=False)


@dataclass
class Compaction:
    """What came of compacting a table.

    Args:
        table: Its name.
        parts: Parts that were compacted.
        rows: Rows in the compacted files that were written.
        removed: Files that were removed, their rows being elsewhere.
        waiting: Compacted files that a later compaction removes, their rows being elsewhere.
        bytes_removed: Bytes of the removed files.
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
        grace_s: How long compacted files stay whose rows are elsewhere, in seconds. A query that takes longer may fail
            and is to be asked again.

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
        if not store.versions(f"tables/{table}") and not store.versions(f"{FOLDER}/{table}"):
            continue
        with Lease(store, f"compact.{table}", "raysurf compact") as lease:
            holder = lease.take()
            if holder is not None:
                done.append(Compaction(table, held_by=str(holder)))
                continue
            wanted = partial(includes, table) if includes else lambda part: True
            done.append(_Compactor(store, table, grace_s).run(wanted))
    return done


def tidy(store: Store, tell: Callable[[str], None], many: int = MANY) -> None:
    """Compact the tables with more than so many own files; of a store that refuses, which stays whole, ``tell``."""
    try:
        tables = [name for name in SCHEMAS if len(look_at(store, name).own) > many]
        if tables:
            compact(store, tables)
    except StoreError as error:
        tell(f"the tables are whole, but could not be compacted ({error.got}); later: raysurf compact")


def remove_part(store: Store, table: str, part: str) -> None:
    """Remove a part of a table, if it is there, for every reader."""
    is_listed = is_compacted(store, table, part)
    if not is_listed:
        store.delete(f"tables/{table}/{part}{SUFFIX}")
        # Who has read the part just before may be about to list it.
        names = store.versions(LEASES)
        is_listed = any(name.startswith(f"compact.{table}.") for name in names) or is_compacted(store, table, part)
    if is_listed:
        write_rows(store, table, part, [])


class _Compactor:
    """One compaction of one table."""

    def __init__(self, store: Store, table: str, grace_s: float) -> None:
        self.store, self.table, self.grace_s = store, table, grace_s
        self.done = Compaction(table)
        self.schema = schema_of(table).append(PARTS)

    def run(self, includes: Callable[[str], bool]) -> Compaction:
        self._put_back()
        self._remove_replaced()
        files = look_at(self.store, self.table)
        own = [part for part in files.own if includes(part) and self._has_ended(files, part)]
        merged, batch = self._to_merge(files, own), _Batch()
        for part, version, rows in self._read(files, own, merged):
            batch.add(part, version, rows)
            if batch.num_rows >= MOST_ROWS or batch.num_bytes >= MOST_BYTES:
                self._write(files, batch)
                files, batch = look_at(self.store, self.table), _Batch()
        if batch.parts:
            self._write(files, batch)
        self.done.waiting = self._remove_replaced()
        return self.done

    @cached_property
    def _ended(self) -> set[str]:
        """Runs that have ended: on a disk those with a row in ``runs``, on a bucket those that are done."""
        if self.store.is_local:
            files = look_at(self.store, "runs")
            return {run_of(part) for part in (*files.versions, *files.chosen)}
        return {path.split("/")[1] for path in self.store.list("jobs") if path.endswith("/outcome.json")}

    def _has_ended(self, files: TableFiles, part: str) -> bool:
        if self.table == "trials":
            # Of those on a disk it is seen when they are read.
            return self.store.is_local or not _is_led(part, self._leases)
        is_removed = self.store.is_local and any(part in file.parts for file in files.compacted)
        return run_of(part) in self._ended or is_removed

    @cached_property
    def _leases(self) -> Iterable[str]:
        return self.store.versions(LEASES)

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
    ) -> Iterator[tuple[str, Version | None, pa.Table]]:
        """Parts in order, each with the version of its own file, if it has one, and its rows."""
        of_file = {part: file for file in merged for part in files.used[file]}
        held: dict[Compacted, dict[str, pa.Table]] = {}
        of_own = self._read_ahead(files, own)
        for part in sorted([*own, *of_file]):
            if (file := of_file.get(part)) is None:
                if (rows := next(of_own)) is not None:
                    yield part, files.versions[part], rows
                continue
            if file not in held:
                held[file] = self._by_part(file, files.used[file])
            yield part, None, held[file].pop(part)
        # Parts that were removed stay listed, as long as older lists may have rows of them.
        for part, file in sorted(files.chosen.items()):
            if file in merged and not file.parts[part]:
                yield part, None, self.schema.empty_table()

    def _read_ahead(self, files: TableFiles, parts: list[str]) -> Iterator[pa.Table | None]:
        """What ``_read_own`` gives for each part in order; a bucket is asked for many files at a time."""
        with ThreadPoolExecutor(2 if self.store.is_local else 16) as pool:
            for first in range(0, len(parts), 64):
                yield from pool.map(partial(self._read_own, files), parts[first : first + 64])

    def _read_own(self, files: TableFiles, part: str) -> pa.Table | None:
        """The rows of a part's own file; None if it was replaced meanwhile, cannot be read, or its trial runs."""
        path = self._own_path(part)
        try:
            data = self.store.get_bytes(path)
            if self.store.version(path) != files.versions[part]:
                return None
            if is_truncated(io.BytesIO(data), SUFFIX):
                raise StoreError(self.store.uri, f"{path}, which is truncated", "a whole file")
            rows = table_in(data, schema_of(self.table), self.store.uri, path)
        except StoreError as error:
            if self.store.version(path) is None:
                return None
            if "newer raysurf" in error.expected:
                raise
            self.done.skipped.append(path)
            return None
        if self.table == "trials" and "running" in rows["state"].to_pylist():
            return None
        return rows.append_column(PARTS, pa.array([part] * rows.num_rows, pa.string()))

    def _by_part(self, file: Compacted, parts: set[str]) -> dict[str, pa.Table]:
        read = pa.concat_tables(list(rows_of_parts(self.store, file, parts))).combine_chunks()
        rows = migrated(fitted(read, self.schema, self.store.uri, file.path), self.table, file.version)
        # Rows of a part stand together.
        by_part, end = {}, 0
        for part in sorted(parts):
            by_part[part] = rows.slice(end, file.parts[part])
            end += file.parts[part]
        wrong = [part for part, own in by_part.items() if set(own[PART].unique().to_pylist()) != {part}]
        if wrong or end != rows.num_rows:
            got = f"{file.path}, whose rows are not those that its list says"
            raise StoreError(self.store.uri, got, "compacted files as raysurf wrote them (raysurf fsck)")
        return by_part

    def _write(self, files: TableFiles, batch: _Batch) -> None:
        """Write a compacted file, then its list, then remove the own files of its parts."""
        number = max((file.number for file in files.compacted), default=0) + 1
        path = f"{FOLDER}/{self.table}/{number:06d}-{uuid.uuid4().hex[:8]}"
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
        content = {"version": VERSION, "sha256": hashlib.sha256(data).hexdigest(), "parts": batch.parts}
        self.store.put_json(f"{path}.json", content)
        self.done.parts += len(batch.parts)
        self.done.rows += rows.num_rows
        leases = self.store.versions(LEASES) if self.table == "trials" and not self.store.is_local else ()
        for part, version in batch.versions.items():
            if not _is_led(part, leases):
                self._remove_own(part, version)

    def _require_rows(self, path: str, num_rows: int) -> None:
        """Require that what was written is there, and on the disk for good, before own files are removed for it."""
        with self.store.fs.open_input_file(self.store.full(path)) as stream:
            assert pq.ParquetFile(stream).metadata.num_rows == num_rows
        if self.store.is_local:
            for place in (self.store.full(path), os.path.dirname(self.store.full(path))):
                descriptor = os.open(place, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def _remove_own(self, part: str, version: Version) -> None:
        """Remove a part's own file, if it is of the version that was compacted."""
        path = self._own_path(part)
        if self.store.version(path) != version:
            return
        if not self.store.is_local:
            self._delete(path, version[0])
            return
        own, aside = self.store.full(path), self.store.full(f"{FOLDER}/{self.table}/{part}{ASIDE}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(own, aside)
            if version_of(aside) != version:
                _link_back(aside, own)
                return
            os.unlink(aside)
            self.done.removed += 1
            self.done.bytes_removed += version[0]

    def _put_back(self) -> None:
        """Put back what a killed compaction has left aside."""
        for name in self.store.versions(f"{FOLDER}/{self.table}"):
            if name.endswith(ASIDE):
                aside = self.store.full(f"{FOLDER}/{self.table}/{name}")
                _link_back(aside, self.store.full(self._own_path(name.removesuffix(ASIDE))))

    def _remove_replaced(self) -> int:
        """Remove compacted files that have been of no use to any reader for a while; how many are to wait for that."""
        files, clock_ns, waiting = look_at(self.store, self.table), self.store.now_ns(), 0

        def is_old(time_ns: int) -> bool:
            return clock_ns - time_ns >= self.grace_s * 1e9

        for file in files.compacted:
            if not any(files.chosen.get(part) is file for part in file.parts):
                newer = (files.chosen[p].made_ns if p in files.chosen else files.versions[p][1] for p in file.parts)
                if is_old(max((file.made_ns, *newer))):
                    self.store.delete(file.list_path)
                    self._delete(file.path)
                else:
                    waiting += 1
        # What a killed compaction has left without a list.
        there = self.store.versions(f"{FOLDER}/{self.table}")
        for name, (size, time_ns, _) in there.items():
            if name.endswith(SUFFIX) and f"{name.removesuffix(SUFFIX)}.json" not in there and is_old(time_ns):
                self._delete(f"{FOLDER}/{self.table}/{name}", size)
        return waiting

    def _own_path(self, part: str) -> str:
        return f"tables/{self.table}/{part}{SUFFIX}"

    def _delete(self, path: str, size: int | None = None) -> None:
        if size is None:
            version = self.store.version(path)
            size = version[0] if version else 0
        self.store.delete(path)
        self.done.removed += 1
        self.done.bytes_removed += size


def _link_back(aside: str, own: str) -> None:
    """Give an own file that was moved aside its name again, unless a newer one has come."""
    os.makedirs(os.path.dirname(own), exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.link(aside, own)
    os.unlink(aside)


def _is_led(trial: str, leases: Iterable[str]) -> bool:
    """Whether somebody runs the sweep that a trial is of."""
    return any(name.startswith(f"sweep.{trial.rpartition('-')[0]}.") for name in leases)


class _Batch:
    """Parts that are to be one compacted file: their numbers of rows, their rows, and the versions of own files."""

    def __init__(self) -> None:
        self.parts: dict[str, int] = {}
        self.versions: dict[str, Version] = {}
        self.tables: list[pa.Table] = []
        self.num_rows = self.num_bytes = 0

    def add(self, part: str, version: Version | None, rows: pa.Table) -> None:
        self.parts[part] = rows.num_rows
        if version is not None:
            self.versions[part] = version
        self.tables.append(rows)
        self.num_rows += rows.num_rows
        self.num_bytes += rows.nbytes

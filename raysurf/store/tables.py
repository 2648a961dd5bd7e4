"""Where the rows of a table are at one moment: in files of their own, one a part, and in compacted files of many parts.

A part's own file is ``tables/<table>/<part>.parquet``. A compacted file is ``compact/<table>/<id>.parquet``, whose rows
say in ``_part`` which part they are of; it counts from when its list is there, ``<id>.json``, which says which version
of which parts it holds. Neither is ever changed. The rule of every reader:

- A part whose own file is there has its rows there, whatever lists say. Rows of a compacted file are taken instead, for
  speed, if its list names that very version (size, time and, on a disk, inode).
- A part without a file of its own has its rows in the compacted file with the highest number that lists it. Numbers
  rise: who writes a list has seen those before.

Own files are listed first and lists after them, and a list that vanishes in between makes the reader begin anew: what
is removed has been listed elsewhere before, so nothing is missed, and every part is taken from one place, so nothing is
doubled. ``results.compaction`` says how files come and go.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import pyarrow as pa
import pyarrow.parquet as pq

from raysurf.errors import StoreError, StoreWarning
from raysurf.store.parts import OURS, fitted, migrated, require_no_newer, table_in
from raysurf.store.schemas import schema_of
from raysurf.store.truncated import is_torn

if TYPE_CHECKING:
    from raysurf.store.store import Mark, Store

FOLDER, PART = "compact", "_part"
SUFFIX = ".parquet"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Entry(NamedTuple):
    """A part as a compacted file holds it: the version of its own file, how many rows, and SHA-256 of its own file.

    A part that was removed has no rows.
    """

    size: int
    time_ns: int
    inode: int
    rows: int
    digest: str

    @property
    def mark(self) -> Mark:
        """The version of its own file."""
        return self[:3]


@dataclass(frozen=True, eq=False)
class Compacted:
    """A compacted file.

    Args:
        table: Whose rows it holds.
        id: Its number, a hyphen, and what makes it unique.
        made_ns: When its list was written, by the store's clock.
        version: Of the schema that its rows follow.
        digest: SHA-256 of the file.
        parts: What it holds, by part.
    """

    table: str
    id: str
    made_ns: int
    version: int
    digest: str
    parts: Mapping[str, Entry]

    @property
    def path(self) -> str:
        """Of its rows in the store."""
        return f"{FOLDER}/{self.table}/{self.id}{SUFFIX}"

    @property
    def list_path(self) -> str:
        """Of its list in the store."""
        return f"{FOLDER}/{self.table}/{self.id}.json"

    @property
    def number(self) -> int:
        """Its place in the order of lists."""
        return int(self.id.partition("-")[0])

    @cached_property
    def marks(self) -> dict[str, Mark]:
        """The versions of the parts in it."""
        return {part: each.mark for part, each in self.parts.items()}

    @cached_property
    def by_run(self) -> dict[str, list[str]]:
        """The parts in it by the run that they are of."""
        found: dict[str, list[str]] = {}
        for part in self.parts:
            found.setdefault(run_of(part), []).append(part)
        return found

    @cached_property
    def num_rows(self) -> int:
        """Rows in it, those of newer versions elsewhere included."""
        return sum(each.rows for each in self.parts.values())


@dataclass(frozen=True)
class TableFiles:
    """The files of a table.

    Args:
        table: Its name.
        marks: The version of every part's own file.
        compacted: Every compacted file.
        chosen: From which of them a part is read; others are read from their own files.
    """

    table: str
    marks: Mapping[str, Mark] = field(default_factory=dict)
    compacted: tuple[Compacted, ...] = ()
    chosen: Mapping[str, Compacted] = field(default_factory=dict)

    @property
    def own(self) -> list[str]:
        """Parts that are read from their own files, sorted."""
        return sorted(self.marks.keys() - self.chosen.keys())

    @property
    def parts(self) -> list[str]:
        """All parts, sorted; those that were removed are none."""
        return sorted([*self.own, *(part for part, file in self.chosen.items() if file.parts[part].rows)])

    @cached_property
    def used(self) -> dict[Compacted, set[str]]:
        """Compacted files that rows are read from, and the parts that they are of."""
        found: dict[Compacted, set[str]] = {}
        for part, file in self.chosen.items():
            if file.parts[part].rows:
                found.setdefault(file, set()).add(part)
        return found

    def unused(self, file: Compacted) -> set[str]:
        """Parts whose rows in a compacted file are not to be read, since newer ones are elsewhere."""
        return {part for part, entry in file.parts.items() if entry.rows and self.chosen.get(part) is not file}


def look_at(store: Store, table: str, left_out: Collection[str] = (), run: str | None = None) -> TableFiles:
    """The files of a table as they are now.

    Args:
        store: The store.
        table: Its name.
        left_out: Ids of compacted files that are taken for absent.
        run: Whose parts alone are looked for, which takes less time; all if not given.

    Raises:
        UnknownNameError: If there is no such table.
        StoreError: If the store cannot be read.
    """
    schema_of(table)
    while True:
        found = store.marks(f"tables/{table}", run or "")
        marks = {name.removesuffix(SUFFIX): mark for name, mark in found.items() if name.endswith(SUFFIX)}
        if run is not None:
            marks = {part: mark for part, mark in marks.items() if run_of(part) == run}
        compacted = _lists(store, table)
        if compacted is None:
            continue
        compacted = tuple(file for file in compacted if file.id not in left_out)
        chosen: dict[str, Compacted] = {}
        for file in compacted:
            held = file.marks if run is None else {part: file.marks[part] for part in file.by_run.get(run, ())}
            for part, mark in held.items():
                if marks.get(part, mark) == mark:
                    chosen[part] = file
        return TableFiles(table, marks, compacted, chosen)


def run_of(part: str) -> str:
    """The run that a part of a table is of; of ``trials`` the sweep, a hyphen and the trial."""
    return part.partition(".")[0]


def rows_of_part(store: Store, table: str, part: str, files: TableFiles | None = None) -> pa.Table:
    """The rows of a part, in the columns of its table; none if it is absent or was cut short.

    Args:
        store: The store.
        table: Its name.
        part: The part's.
        files: The table's, if they have just been looked at.

    Raises:
        StoreError: If they cannot be read.
    """
    schema, path = schema_of(table), part_path(store, table, part)
    while True:
        if files is None or part in files.marks:
            if (data := store.bytes_at(path)) is not None:
                is_whole = not is_torn(io.BytesIO(data), SUFFIX)
                return table_in(data, schema, store.uri, path) if is_whole else schema.empty_table()
            files = look_at(store, table, run=run_of(part))
            continue
        if (file := files.chosen.get(part)) is None:
            return schema.empty_table()
        try:
            found = [fitted(each, schema, store.uri, file.path) for each in rows_of_parts(store, file, {part})]
        except FileNotFoundError:
            files = None
            continue
        return migrated(pa.concat_tables([schema.empty_table(), *found]), table, file.version)


def part_path(store: Store, table: str, part: str) -> str:
    """Where the file of a part is in the store.

    Raises:
        StoreError: If its name leads elsewhere.
    """
    if not NAME.fullmatch(part):
        raise StoreError(store.uri, f"the part {part!r}", "letters, digits, '.', '_' and '-', the first no sign")
    return f"tables/{table}/{part}{SUFFIX}"


def is_compacted(store: Store, table: str, part: str) -> bool:
    """Whether a compacted file lists a part."""
    return any(part in file.parts for file in look_at(store, table, run=run_of(part)).compacted)


def _lists(store: Store, table: str) -> tuple[Compacted, ...] | None:
    """All compacted files, those to be preferred last; None if a list has vanished while it was read."""
    found = []
    for name, mark in store.marks(f"{FOLDER}/{table}").items():
        if not name.endswith(".json"):
            continue
        path = f"{FOLDER}/{table}/{name}"
        try:
            known = _known(_List(store.address, table, name, mark, store))
        except StoreError:
            if store.exists(path):
                raise
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            text = f"{store.uri}: {path} cannot be read ({error}); rows that are compacted there are not seen"
            warnings.warn(StoreWarning(text), stacklevel=2)
            continue
        require_no_newer(known.version, store.uri, path)
        found.append(known)
    return tuple(sorted(found, key=lambda file: (file.number, file.id)))


@dataclass(frozen=True)
class _List:
    """One version of a list, wherever it is read from."""

    address: str
    table: str
    name: str
    mark: Mark
    store: Store = field(compare=False)


@lru_cache(maxsize=256)
def _known(each: _List) -> Compacted:
    """What a list says; lists are never changed, and parsing one takes as long as a query."""
    data = each.store.get_bytes(f"{FOLDER}/{each.table}/{each.name}")
    return _parsed(each.table, each.name.removesuffix(".json"), each.mark, data)


def _parsed(table: str, name: str, mark: Mark, data: bytes) -> Compacted:
    found = json.loads(data)
    parts = {part: Entry(*said) for part, said in found["parts"].items()}
    columns = list(zip(*parts.values(), strict=True))[:4]
    if {type(number) for column in columns for number in column} - {int}:
        raise ValueError("a size, time, inode or number of rows is no number")
    int(name.partition("-")[0])
    return Compacted(table, name, mark[1], int(found["version"]), str(found["sha256"]), parts)


def listed(version: int, digest: str, parts: Mapping[str, Entry]) -> dict[str, Any]:
    """A list as it is written."""
    return {"version": version, "sha256": digest, "parts": {part: list(each) for part, each in parts.items()}}


def require_as_written(store: Store, file: Compacted) -> None:
    """Check every byte of a compacted file.

    Raises:
        StoreError: If one is another than when it was written, or the file cannot be read.
        FileNotFoundError: If it is there no more.
    """
    try:
        with store.fs.open_input_file(store.full(file.path)) as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(store.uri, f"{file.path}, which cannot be read ({error})", OURS) from error
    if found != file.digest:
        raise StoreError(store.uri, f"{file.path}, which is not what was written", OURS)


def rows_of_parts(
    store: Store, file: Compacted, parts: set[str], groups: Collection[int] | None = None
) -> Iterator[pa.Table]:
    """The rows of some parts of a compacted file, with their parts, a group of rows at a time; of some groups, or all.

    Raises:
        StoreError: If the file cannot be read.
        FileNotFoundError: If it is there no more.
    """
    import pyarrow.compute as pc

    try:
        with store.fs.open_input_file(store.full(file.path)) as stream:
            reader, footer = open_compacted(stream, file)
            for group in groups_of(footer, parts):
                if groups is None or group in groups:
                    # Threads of Arrow's that outlive the call may abort the process at its end (arrow#34314).
                    found = reader.read_row_group(group, use_threads=False)
                    yield found.filter(pc.is_in(found[PART], pa.array(sorted(parts), pa.string())))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StoreError(store.uri, f"{file.path}, which cannot be read ({error})", OURS) from error


@dataclass(frozen=True)
class _Footer:
    """What stands at the end of a compacted file, which is never changed.

    Args:
        metadata: All of it.
        low, high: The first and the last part in each row group; rows are sorted by part.
    """

    metadata: pq.FileMetaData
    low: list[str]
    high: list[str]


_footers: WeakKeyDictionary[Compacted, _Footer] = WeakKeyDictionary()


def open_compacted(stream: Any, file: Compacted) -> tuple[pq.ParquetFile, _Footer]:
    """A compacted file for reading, and its footer, which a process parses once."""
    if (known := _footers.get(file)) is not None:
        return pq.ParquetFile(stream, metadata=known.metadata), known
    reader = pq.ParquetFile(stream)
    column, metadata = reader.schema_arrow.names.index(PART), reader.metadata
    said = [metadata.row_group(group).column(column).statistics for group in range(metadata.num_row_groups)]
    if not all(each is not None and each.has_min_max for each in said):
        raise pa.ArrowInvalid("it does not say which parts are where")
    found = _footers[file] = _Footer(metadata, [each.min for each in said], [each.max for each in said])
    return reader, found


def groups_of(footer: _Footer, parts: Collection[str]) -> list[int]:
    """Row groups of a compacted file in which some parts may have rows."""
    found = set[int]()
    for part in parts:
        found.update(range(bisect_left(footer.high, part), bisect_right(footer.low, part)))
    return sorted(found)

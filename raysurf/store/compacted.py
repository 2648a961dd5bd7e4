"""Compacted files: the rows of many parts of a table in one file, with a list of what is in it.

A compacted file is ``compact/<table>/<id>.parquet``, whose rows say in ``_part`` which part they are of; it counts from
when its list is there, ``<id>.json``. Neither is ever changed.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow as pa
import pyarrow.parquet as pq

from raysurf.errors import StoreError, StoreWarning
from raysurf.store.filesystem import Version
from raysurf.store.parts import OURS, require_no_newer
from raysurf.store.store import Store

FOLDER, PART, SUFFIX = "compact", "_part", ".parquet"


def run_of(part: str) -> str:
    """The run that a part of a table is of; of ``trials`` the sweep, a hyphen and the trial."""
    return part.partition(".")[0]


@dataclass(frozen=True, eq=False)
class Compacted:
    """A compacted file.

    Args:
        table: Whose rows it holds.
        id: Its number, a hyphen, and what makes it unique.
        made_ns: When its list was written, by the store's clock.
        version: Of the schema that its rows follow.
        digest: SHA-256 of the file.
        parts: How many rows of each part it holds; none of one that was removed.
    """

    table: str
    id: str
    made_ns: int
    version: int
    digest: str
    parts: Mapping[str, int]

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
    def by_run(self) -> dict[str, list[str]]:
        """The parts in it by the run that they are of."""
        parts_by_run: dict[str, list[str]] = {}
        for part in self.parts:
            parts_by_run.setdefault(run_of(part), []).append(part)
        return parts_by_run

    @cached_property
    def num_rows(self) -> int:
        """Rows in it, those included that are not read since newer ones are elsewhere."""
        return sum(self.parts.values())


def lists_of(store: Store, table: str) -> tuple[Compacted, ...] | None:
    """All compacted files, those to be preferred last; None if a list has vanished while it was read."""
    files = []
    for name, made in store.versions(f"{FOLDER}/{table}").items():
        if not name.endswith(".json"):
            continue
        path = f"{FOLDER}/{table}/{name}"
        try:
            known = _known(_List(store.address, table, name, made, store))
        except StoreError:
            if store.exists(path):
                raise
            return None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            text = f"{store.uri}: {path} cannot be read ({error}); rows that are compacted there are not seen"
            warnings.warn(StoreWarning(text), stacklevel=2)
            continue
        require_no_newer(known.version, store.uri, path)
        files.append(known)
    return tuple(sorted(files, key=lambda file: (file.number, file.id)))


@dataclass(frozen=True)
class _List:
    """One version of a list, wherever it is read from."""

    address: str
    table: str
    name: str
    made: Version
    store: Store = field(compare=False)


@lru_cache(maxsize=256)
def _known(version: _List) -> Compacted:
    """What a list says; lists are never changed, and parsing one takes as long as a query."""
    data = version.store.get_bytes(f"{FOLDER}/{version.table}/{version.name}")
    content = json.loads(data)
    # Version 2 listed size, time and inode of the own file, the number of rows, and a digest.
    parts = {part: said[3] if isinstance(said, list) else said for part, said in content["parts"].items()}
    if {type(rows) for rows in parts.values()} - {int}:
        raise ValueError("a number of rows is no number")
    name = version.name.removesuffix(".json")
    int(name.partition("-")[0])
    return Compacted(version.table, name, version.made[1], int(content["version"]), str(content["sha256"]), parts)


def require_as_written(store: Store, file: Compacted) -> None:
    """Check every byte of a compacted file.

    Raises:
        StoreError: If one is another than when it was written, or the file cannot be read.
        FileNotFoundError: If it is there no more.
    """
    try:
        with store.fs.open_input_file(store.full(file.path)) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(store.uri, f"{file.path}, which cannot be read ({error})", OURS) from error
    if digest != file.digest:
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
                    rows = reader.read_row_group(group, use_threads=False)
                    yield rows.filter(pc.is_in(rows[PART], pa.array(sorted(parts), pa.string())))
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
    if not all(statistics is not None and statistics.has_min_max for statistics in said):
        raise pa.ArrowInvalid("it does not say which parts are where")
    footer = _footers[file] = _Footer(
        metadata, [statistics.min for statistics in said], [statistics.max for statistics in said]
    )
    return reader, footer


def groups_of(footer: _Footer, parts: Collection[str]) -> list[int]:
    """Row groups of a compacted file in which some parts may have rows."""
    groups = set[int]()
    for part in parts:
        groups.update(range(bisect_left(footer.high, part), bisect_right(footer.low, part)))
    return sorted(groups)

"""Where the rows of a table are at one moment: in files of their own, one a part, and in compacted files of many parts.

A part's own file is ``tables/<table>/<part>.parquet``; ``store.compacted`` says what a compacted file is. The rule of
every reader: a part whose own file is there has its rows there, another one in the compacted file with the highest
number that lists it. Numbers rise: who writes a list has seen those before.

Own files are listed first and lists after them, and a list that vanishes in between makes the reader begin anew: what
is removed has been listed elsewhere before, so nothing is missed, and every part is read from one place, so nothing is
doubled. ``store.compaction`` says how files come and go.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakSet

import pyarrow as pa

from raysurf.errors import StoreError
from raysurf.store.compacted import SUFFIX, Compacted, lists_of, rows_of_parts, run_of
from raysurf.store.filesystem import Version
from raysurf.store.parts import encode_part, fitted, migrated, require_no_newer, table_in
from raysurf.store.schemas import VERSION, schema_of
from raysurf.store.store import Store
from raysurf.store.truncated import is_truncated

VERSION_FILE = "version.json"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


_versioned: WeakSet[Store] = WeakSet()


def require_known(store: Store) -> int | None:
    """The version that a store says it is of, None if it says none.

    Raises:
        StoreError: If it is newer than what this raysurf knows.
    """
    if not store.exists(VERSION_FILE):
        return None
    said = store.get_json(VERSION_FILE)
    version = said.get("version") if isinstance(said, dict) else None
    if type(version) is not int:
        raise StoreError(store.uri, f"{str(said)[:40]} in {VERSION_FILE}", 'a version, such as {"version": 1}')
    require_no_newer(version, store.uri, VERSION_FILE)
    return version


def say_version(store: Store) -> None:
    """Write down that a store has rows of this version, unless it says so; looked at once a store and process.

    Raises:
        StoreError: If it has rows of a newer one.
    """
    if store not in _versioned:
        if require_known(store) != VERSION:
            store.put_json(VERSION_FILE, {"version": VERSION})
        _versioned.add(store)


def write_rows(store: Store, table: str, part: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace a part of a table, as a whole.

    Args:
        store: The store.
        table: The table's name.
        part: The part's name; whoever writes it decides, so that a second try replaces the first.
        rows: Values by column; nullable columns may be left out.

    Raises:
        StoreError: If a column is unknown or missing, or the store cannot be written.
    """
    path, data = part_path(store, table, part), encode_part(rows, schema_of(table), store.uri, table)
    say_version(store)
    store.put_bytes(path, data)


def read_rows(store: Store, table: str, part: str) -> list[dict[str, Any]]:
    """The rows of a part; none if it is absent or truncated, which counts as not written.

    Raises:
        StoreError: If it is no Parquet file, or not of the table's schema.
    """
    rows: list[dict[str, Any]] = rows_of_part(store, table, part).to_pylist()
    return rows


def part_names(store: Store, table: str) -> list[str]:
    """Names of the parts of a table, sorted."""
    return look_at(store, table).parts


def parts_of_run(store: Store, table: str, run_id: str) -> list[str]:
    """Names of the parts that hold a run's rows: its id, or its id, a dot and a piece's name."""
    return look_at(store, table, run=run_id).parts


def rows_of_run(store: Store, table: str, run_id: str) -> list[dict[str, Any]]:
    """A run's rows, of all its parts."""
    return [row for part in parts_of_run(store, table, run_id) for row in read_rows(store, table, part)]


def is_kept(store: Store, path: str) -> bool:
    """Whether a file is there and not truncated, or is the part of a table that was compacted."""
    if store.is_whole(path):
        return True
    folder, _, name = path.rpartition("/")
    table = folder.removeprefix("tables/")
    is_part = path == f"tables/{table}/{name}" and "/" not in table
    return is_part and not store.exists(path) and name.removesuffix(SUFFIX) in part_names(store, table)


@dataclass(frozen=True)
class TableFiles:
    """The files of a table.

    Args:
        table: Its name.
        versions: The version of every part's own file, from which the part is read.
        compacted: Every compacted file.
        chosen: From which of them every other part is read.
    """

    table: str
    versions: Mapping[str, Version] = field(default_factory=dict)
    compacted: tuple[Compacted, ...] = ()
    chosen: Mapping[str, Compacted] = field(default_factory=dict)

    @property
    def own(self) -> list[str]:
        """Parts that are read from their own files, sorted."""
        return sorted(self.versions)

    @property
    def parts(self) -> list[str]:
        """All parts, sorted; those that were removed are none."""
        return sorted([*self.own, *(part for part, file in self.chosen.items() if file.parts[part])])

    @cached_property
    def used(self) -> dict[Compacted, set[str]]:
        """Compacted files that rows are read from, and the parts that they are of."""
        parts: dict[Compacted, set[str]] = {}
        for part, file in self.chosen.items():
            if file.parts[part]:
                parts.setdefault(file, set()).add(part)
        return parts

    def unused(self, file: Compacted) -> set[str]:
        """Parts whose rows in a compacted file are not to be read, since newer ones are elsewhere."""
        return {part for part, rows in file.parts.items() if rows and self.chosen.get(part) is not file}


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
        versions = store.versions(f"tables/{table}", run or "")
        own = {name.removesuffix(SUFFIX): version for name, version in versions.items() if name.endswith(SUFFIX)}
        if run is not None:
            own = {part: version for part, version in own.items() if run_of(part) == run}
        compacted = lists_of(store, table)
        if compacted is None:
            continue
        compacted = tuple(file for file in compacted if file.id not in left_out)
        chosen: dict[str, Compacted] = {}
        for file in compacted:
            parts = file.parts if run is None else file.by_run.get(run, ())
            chosen.update((part, file) for part in parts if part not in own)
        return TableFiles(table, own, compacted, chosen)


def rows_of_part(store: Store, table: str, part: str, files: TableFiles | None = None) -> pa.Table:
    """The rows of a part, in the columns of its table; none if it is absent or truncated.

    Args:
        store: The store.
        table: Its name.
        part: The part's.
        files: The table's, if they have just been looked at.
    """
    schema, path = schema_of(table), part_path(store, table, part)
    while True:
        if files is None or part in files.versions:
            if (data := store.bytes_at(path)) is not None:
                is_whole = not is_truncated(io.BytesIO(data), SUFFIX)
                return table_in(data, schema, store.uri, path) if is_whole else schema.empty_table()
            files = look_at(store, table, run=run_of(part))
            continue
        if (file := files.chosen.get(part)) is None:
            return schema.empty_table()
        try:
            tables = [fitted(rows, schema, store.uri, file.path) for rows in rows_of_parts(store, file, {part})]
        except FileNotFoundError:
            files = None
            continue
        return migrated(pa.concat_tables([schema.empty_table(), *tables]), table, file.version)


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

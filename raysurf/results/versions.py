"""Versions of the written schemas: what an older store is read as, and that a newer one is refused.

A store says its version in ``version.json``, written with its first row, and every file of a table in its metadata.
Columns that were added read as null in older files; what else changed is a migration here, applied when a file is read
whole and, for good, when ``raysurf compact`` writes its rows anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from raysurf.errors import StoreError
from raysurf.results.schemas import VERSION

if TYPE_CHECKING:
    from raysurf.results.store import Store

PATH, KEY = "version.json", b"raysurf.version"
NEWER = f"version {VERSION} or older (it was written by a newer raysurf: update this one)"


def version_of(metadata: Mapping[bytes, bytes] | None, uri: str, path: str) -> int:
    """The version of a file of a table; 1 if it says none.

    Raises:
        StoreError: If it is newer than what this raysurf knows, or no number.
    """
    said = (metadata or {}).get(KEY, b"1").decode(errors="replace")
    if not said.isdigit():
        raise StoreError(uri, f"version {said[:20]!r} in {path}", "a number, such as 1")
    require_no_newer(int(said), uri, path)
    return int(said)


def require_no_newer(version: int, uri: str, path: str) -> None:
    """Refuse what a newer raysurf has written.

    Raises:
        StoreError: If it is of a newer version than this raysurf knows.
    """
    if version > VERSION:
        raise StoreError(uri, f"{path} of version {version}", NEWER)


def require_known(store: Store) -> int | None:
    """The version that a store says it is of, None if it says none.

    Raises:
        StoreError: If it is newer than what this raysurf knows.
    """
    if not store.exists(PATH):
        return None
    said = store.get_json(PATH)
    found = said.get("version") if isinstance(said, dict) else None
    if type(found) is not int:
        raise StoreError(store.uri, f"{str(said)[:40]} in {PATH}", 'a version, such as {"version": 1}')
    require_no_newer(found, store.uri, PATH)
    return found


def say_version(store: Store) -> None:
    """Write down that a store has rows of this version, unless it says so.

    Raises:
        StoreError: If it has rows of a newer one.
    """
    if require_known(store) != VERSION:
        store.put_json(PATH, {"version": VERSION})


def migrated(rows: pa.Table, table: str, version: int) -> pa.Table:
    """The rows of a file, as this version writes them.

    Args:
        rows: In the columns of the table's schema.
        table: Its name.
        version: The version that they were written by.
    """
    for number in range(version, VERSION):
        rows = MIGRATIONS[number](rows, table)
    return rows


def _values_of_trials(rows: pa.Table, table: str) -> pa.Table:
    """Version 1 had trials that said ``value`` alone; they have it in ``values`` as well."""
    if table != "trials":
        return rows
    values = [
        [value] if found is None and value is not None else found
        for found, value in zip(rows["values"].to_pylist(), rows["value"].to_pylist(), strict=True)
    ]
    index = rows.schema.get_field_index("values")
    return rows.set_column(index, rows.schema.field(index), pa.array(values, rows.schema.field(index).type))


# By the version that they migrate from, to the next.
MIGRATIONS: dict[int, Callable[[pa.Table, str], pa.Table]] = {1: _values_of_trials}
assert set(MIGRATIONS) == set(range(1, VERSION))

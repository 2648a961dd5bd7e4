"""Parts of tables as Parquet bytes, and schema versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raysurf.errors import RaysurfError, StoreError
from raysurf.store.schemas import VERSION

KEY = b"raysurf.version"
NEWER = f"version {VERSION} or older (it was written by a newer raysurf: update this one)"


def require_no_newer(version: int, uri: str, path: str) -> None:
    """Refuse what a newer raysurf has written.

    Raises:
        StoreError: If it is of a newer version than this raysurf knows.
    """
    if version > VERSION:
        raise StoreError(uri, f"{path} of version {version}", NEWER)


def migrated(rows: pa.Table, table: str, version: int) -> pa.Table:
    """The rows of a file, as this version writes them."""
    for number in range(version, VERSION):
        rows = MIGRATIONS[number](rows, table)
    return rows


def _values_of_trials(rows: pa.Table, table: str) -> pa.Table:
    """Version 1 had trials that said ``value`` alone; they have it in ``values`` as well."""
    if table != "trials":
        return rows
    values = [
        [value] if several is None and value is not None else several
        for several, value in zip(rows["values"].to_pylist(), rows["value"].to_pylist(), strict=True)
    ]
    index = rows.schema.get_field_index("values")
    return rows.set_column(index, rows.schema.field(index), pa.array(values, rows.schema.field(index).type))


# By the version that they migrate from, to the next. Version 2 listed more of compacted files.
MIGRATIONS: dict[int, Callable[[pa.Table, str], pa.Table]] = {1: _values_of_trials, 2: lambda rows, table: rows}
assert set(MIGRATIONS) == set(range(1, VERSION))


# Beside the searched values of a population's trial: those of the generations before it, oldest first.
LINEAGE = "lineage"
# What a choice of whole jobs is called, whose path is empty.
WHOLE = "job"
OURS = (
    "a Parquet file that raysurf wrote (run its sweep again: what was cut short is done anew; anything else is to be "
    "removed first, with jobs/RUN/outcome.json of its run)"
)


def encode_part(rows: Sequence[Mapping[str, Any]], schema: pa.Schema, uri: str, table: str) -> bytes:
    """Rows as a Parquet file.

    Args:
        rows: Values by column; nullable columns may be left out.
        schema: The table's.
        uri: The store, to be named in errors.
        table: The table's name, for the same.

    Raises:
        StoreError: If a column is unknown or missing, or a value is of another type.
    """
    known = set(schema.names)
    needed = {field.name for field in schema if not field.nullable}
    # Most rows of a part have the same columns.
    for names in {tuple(row) for row in rows}:
        if (extra := set(names) - known) or (missing := needed - set(names)):
            got = f"unknown {sorted(extra)}" if extra else f"no {sorted(missing)}"
            raise StoreError(uri, f"a row of {table} with {got}", f"columns {', '.join(schema.names)}")
    try:
        try:
            encoded = pa.Table.from_pylist(list(rows), schema=schema)
        except UnicodeEncodeError:
            encoded = pa.Table.from_pylist(_as_unicode(list(rows)), schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StoreError(uri, f"a row of {table}: {error}", "values of the table's schema") from error
    return file_of(encoded)


def _as_unicode(value: Any) -> Any:
    """Replace lone surrogates in texts by their escapes, such as ``\\udcff``."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {key: _as_unicode(inner) for key, inner in value.items()}
    return [_as_unicode(inner) for inner in value] if isinstance(value, list | tuple) else value


def file_of(table: pa.Table, **settings: Any) -> bytes:
    """A table as a Parquet file.

    It is without Arrow's own copy of its schema and without statistics, which take longest to read of a small file, and
    packed by LZ4: files are a twentieth larger than by zstd, and means over them take half the time.

    Args:
        table: Its rows.
        **settings: What a large file has otherwise; see ``pyarrow.parquet.write_table``.
    """
    sink = pa.BufferOutputStream()
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    given = {"use_dictionary": texts, "store_schema": False, "write_statistics": False, **settings}
    pq.write_table(table, sink, compression="lz4", write_page_checksum=True, **given)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def table_in(data: bytes, schema: pa.Schema, uri: str, path: str) -> pa.Table:
    """The rows of a Parquet file, in the columns of a schema.

    Args:
        data: The file.
        schema: The table's; columns that an older file lacks are null, those that a newer one has besides are dropped.
        uri: The store, to be named in errors.
        path: The file's path in it, for the same.

    Raises:
        StoreError: If it is no Parquet file, a column is of another type, or one that may not be null is missing.
    """
    try:
        # Not read_table: its scanner's threads may outlive the call and abort the process at its end (arrow#34314).
        reader = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        rows, metadata = reader.read(use_threads=False), reader.metadata.metadata
    except _UNREADABLE as error:
        raise StoreError(uri, f"{path}, which cannot be read ({error})", OURS) from error
    # Version 1 did not say so.
    version = (metadata or {}).get(KEY, b"1").decode(errors="replace")
    if not version.isdigit():
        raise StoreError(uri, f"version {version[:20]!r} in {path}", "a number, such as 1")
    require_no_newer(int(version), uri, path)
    return migrated(fitted(rows, schema, uri, path), schema.metadata[b"raysurf.table"].decode(), int(version))


def fitted(table: pa.Table, schema: pa.Schema, uri: str, path: str) -> pa.Table:
    """A table that was read from a file, in the columns of a schema; see ``table_in``."""
    columns = []
    try:
        for field in schema:
            there = field.name in table.column_names
            columns.append(table[field.name].cast(field.type) if there else pa.nulls(table.num_rows, field.type))
            if not field.nullable and columns[-1].null_count:
                raise StoreError(uri, f"{path} without values of {field.name}", OURS)
        return pa.Table.from_arrays(columns, schema=schema)
    except StoreError:
        raise
    except _UNREADABLE as error:
        raise StoreError(uri, f"{path}, which cannot be read ({error})", OURS) from error


_UNREADABLE = (pa.ArrowException, KeyError, OSError, OverflowError, ValueError)


@contextmanager
def made_of_rows(uri: str, what: str) -> Iterator[None]:
    """Turn failures on malformed rows into one ``StoreError``.

    Args:
        uri: The store.
        what: What is made of its rows, such as ``a picture``.

    Raises:
        StoreError: If values that are there cannot be used; raysurf's own errors come through as they are.
    """
    try:
        yield
    except RaysurfError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        got = f"rows of which {what} cannot be made ({type(error).__name__}: {error})"
        raise StoreError(uri, got, OURS) from error


def mapping_in(text: str, uri: str, row: str) -> dict[str, Any]:
    """The mapping that a column holds as JSON.

    Raises:
        StoreError: If it is something else.
    """
    try:
        mapping = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(uri, f"a row of {row} whose JSON cannot be read ({error})", OURS) from error
    if not isinstance(mapping, dict):
        raise StoreError(uri, f"a row of {row} with {text[:40]!r}", f"a mapping in JSON, in {OURS}")
    return mapping


def job_in(text: str, uri: str, row: str) -> dict[str, Any]:
    """The job that a column holds as JSON, its parts of the form that jobs are written in; see ``mapping_in``."""
    job = mapping_in(text, uri, row)
    if (wrong := _odd_part(job)) is not None:
        raise StoreError(uri, f"a row of {row} with an odd {wrong}", f"a job in JSON, in {OURS}")
    return job


def _odd_part(job: dict[str, Any]) -> str | None:
    for name in (key for key in (*_JOBS, *_LISTS_OF_JOBS) if key in job):
        parts = job[name] if name in _LISTS_OF_JOBS and isinstance(job[name], list) else [job[name]]
        for part in parts:
            if not isinstance(part, dict):
                return name
            if (wrong := _odd_part(part)) is not None:
                return f"{name}.{wrong}"
    is_whole = {"of", "name"} <= job.keys() if job.get("kind") == "point" else True
    if not (isinstance(job.get("kind", ""), str) and is_whole):
        return "kind"
    return next((name for name in _NUMBERS if name in job and type(job[name]) not in (int, float)), None)


_JOBS, _LISTS_OF_JOBS, _NUMBERS = ("start", "end", "along", "of"), ("weights", "draw", "noise"), ("epochs", "num_bends")


def values_in(text: str, uri: str, row: str) -> dict[str, Any]:
    """The searched values that a column holds as JSON, without those of earlier generations; see ``mapping_in``.

    A choice of whole jobs, which has an empty path, is called ``job``.
    """
    return {name or WHOLE: value for name, value in mapping_in(text, uri, row).items() if name != LINEAGE}

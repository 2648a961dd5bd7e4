"""The rows of a table for queries: as an Arrow dataset, and on a disk as a view of DuckDB's own reader of Parquet.

DuckDB reads a thousand small files in half the time that Arrow's datasets take, but refuses files that differ in their
columns; then, and on a bucket, it reads the dataset.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from raysurf.results.schemas import schema_of
from raysurf.results.table_files import PART, SUFFIX, TableFiles, groups_of, open_compacted, rows_of_parts

if TYPE_CHECKING:
    from raysurf.results.store import Store

OF_DUCKDB = {
    pa.string(): "varchar",
    pa.float64(): "double",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.timestamp("ms", tz="UTC"): "timestamptz",
}


def dataset(store: Store, files: TableFiles, skipped: Collection[str] = ()) -> ds.Dataset:
    """The rows of a table as a dataset, in its written schema.

    Args:
        store: The store.
        files: The table's.
        skipped: Parts whose own files are left out.

    Raises:
        OSError, ArrowException, StoreError: If a compacted file cannot be read.
    """
    schema, format = schema_of(files.table), ds.ParquetFileFormat()
    whole = _own(store, files, skipped)
    fragments: list[Any] = []
    memory: list[pa.Table] = []
    for file, parts in files.used.items():
        if not (unused := files.unused(file)):
            whole.append(store.full(file.path))
            continue
        fragment = format.make_fragment(store.full(file.path), store.fs)
        with store.fs.open_input_file(store.full(file.path)) as stream:
            reader, footer = open_compacted(stream, file)
            mixed = groups_of(footer, unused)
            groups = range(reader.num_row_groups)
        if clean := sorted(set(groups) - set(mixed)):
            fragments.append(fragment.subset(row_group_ids=clean))
        memory += [each.select(schema.names).cast(schema) for each in rows_of_parts(store, file, parts, mixed)]
    found = [ds.dataset(whole, schema=schema, filesystem=store.fs, format=format)]
    if fragments:
        found.append(ds.FileSystemDataset(fragments, schema, format, store.fs))
    if memory:
        found.append(ds.dataset(pa.concat_tables(memory)))
    return found[0] if len(found) == 1 else ds.dataset(found)


def view(store: Store, files: TableFiles) -> str | None:
    """The same as a query of DuckDB's; None if there are no files or they lie on a bucket."""
    if not store.is_local:
        return None
    whole = _own(store, files)
    columns = ", ".join(f"{_quoted(f.name)}::{_type(f.type)} as {_quoted(f.name)}" for f in schema_of(files.table))
    parted: list[str] = []
    for file in files.used:
        if not (unused := files.unused(file)):
            whole.append(store.full(file.path))
            continue
        names = ", ".join(map(_text, sorted(unused)))
        parted.append(f"select {columns} from {_reader([store.full(file.path)])} where {PART} not in ({names})")
    if whole:
        parted.append(f"select {columns} from {_reader(whole)}")
    return " union all ".join(parted) or None


def _own(store: Store, files: TableFiles, skipped: Collection[str] = ()) -> list[str]:
    """Own files in the file system. Listing them has refused links that lead out of the store."""
    folder = store.full(f"tables/{files.table}")
    return [f"{folder}/{part}{SUFFIX}" for part in files.own if part not in skipped]


def _reader(files: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(map(_text, files))}], hive_partitioning = false)"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _type(kind: pa.DataType) -> str:
    return f"{OF_DUCKDB[kind.value_type]}[]" if pa.types.is_list(kind) else OF_DUCKDB[kind]

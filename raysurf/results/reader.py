"""The reader of result tables for queries: Arrow data sets and DuckDB views."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from raysurf.errors import StoreError, StoreUnavailableError, StoreWarning, nearest
from raysurf.results.sql import quoted, quoted_list, quoted_name
from raysurf.store.compacted import FOLDER, PART, SUFFIX, groups_of, open_compacted, rows_of_parts
from raysurf.store.parts import OURS, table_in
from raysurf.store.schemas import SCHEMAS, schema_of
from raysurf.store.store import Store
from raysurf.store.tables import TableFiles, look_at, part_names, rows_of_part

if TYPE_CHECKING:
    import duckdb
    import pyarrow.dataset as ds


OF_DUCKDB = {
    pa.string(): "varchar",
    pa.float64(): "double",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.bool_(): "boolean",
    pa.timestamp("ms", tz="UTC"): "timestamptz",
}


def dataset(store: Store, files: TableFiles, skipped: Collection[str] = ()) -> ds.Dataset:
    """The files of a table as an Arrow dataset, in the stored schema.

    Raises:
        OSError, ArrowException, StoreError: If a compacted file cannot be read.
    """
    import pyarrow.dataset as ds

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
        memory += [rows.select(schema.names).cast(schema) for rows in rows_of_parts(store, file, parts, mixed)]
    datasets = [ds.dataset(whole, schema=schema, filesystem=store.fs, format=format)]
    if fragments:
        datasets.append(ds.FileSystemDataset(fragments, schema, format, store.fs))
    if memory:
        datasets.append(ds.dataset(pa.concat_tables(memory)))
    return datasets[0] if len(datasets) == 1 else ds.dataset(datasets)


def view(store: Store, files: TableFiles) -> str | None:
    """The files of a table as a DuckDB query; None if there are none, or the store is not local."""
    if not store.is_local:
        return None
    whole = _own(store, files)
    columns = ", ".join(
        f"{quoted_name(f.name)}::{_type(f.type)} as {quoted_name(f.name)}" for f in schema_of(files.table)
    )
    parted: list[str] = []
    for file in files.used:
        if not (unused := files.unused(file)):
            whole.append(store.full(file.path))
            continue
        unread = quoted_list(sorted(unused))
        parted.append(f"select {columns} from {_reader([store.full(file.path)])} where {PART} not in {unread}")
    if whole:
        parted.append(f"select {columns} from {_reader(whole)}")
    return " union all ".join(parted) or None


def _own(store: Store, files: TableFiles, skipped: Collection[str] = ()) -> list[str]:
    """Own files in the file system. Listing them has refused links that lead out of the store."""
    folder = store.full(f"tables/{files.table}")
    return [f"{folder}/{part}{SUFFIX}" for part in files.own if part not in skipped]


def _reader(files: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(map(quoted, files))}], hive_partitioning = false)"


def _type(kind: pa.DataType) -> str:
    return f"{OF_DUCKDB[kind.value_type]}[]" if pa.types.is_list(kind) else OF_DUCKDB[kind]


T = TypeVar("T")
UNREADABLE = (pa.ArrowException, OSError, StoreError)
# Attempts at a query whose files are compacted away while it reads them.
TRIES = 3
ONE_RUN = re.compile(r"\s*run_id\s*=\s*'(?P<run>[A-Za-z0-9_-]+)'\s*")
WITH = re.compile(r"\s*with(\s+recursive)?\s", re.IGNORECASE)


class Reader:
    """Queries over the tables of a store. Every call reads them anew, so that running sweeps show their rows so far.

    If a file cannot be read, all files of its table are checked, and the unreadable ones are left out, with a
    ``StoreWarning`` that names them.

    Args:
        store: The store.
        strict: Whether an unreadable file is an error instead.
    """

    def __init__(self, store: Store, strict: bool = False) -> None:
        self.store, self.is_strict = store, strict

    def tables(self) -> list[str]:
        """Names of the tables that have rows."""
        return [name for name in SCHEMAS if part_names(self.store, name)]

    def schema(self, name: str) -> pa.Schema:
        """The written schema of a table, with units and meanings as field metadata."""
        return schema_of(name)

    def table(self, name: str, columns: Sequence[str] | None = None, where: str | None = None) -> pa.Table:
        """The rows of a table.

        Args:
            name: Such as ``runs``.
            columns: Those to read; all if not given.
            where: A condition in SQL, such as ``scheme = 'ensemble'``.

        Returns:
            Its rows, in the stored schema; none if nothing was written yet.

        Raises:
            UnknownNameError: If there is no such table.
            StoreError: If a column does not exist, or the condition is not valid SQL.
        """
        schema = schema_of(name)
        if wrong := [column for column in columns or () if column not in schema.names]:
            near = nearest(wrong[0], schema.names)
            expected = f"one of {', '.join(schema.names)}" + (f" (did you mean {near!r}?)" if near else "")
            raise StoreError(self.store.uri, f"no column {wrong[0]!r} in {name}", expected)
        if where is None:
            return self._tolerating(name, lambda is_checked: self._read(name, columns, is_checked))
        # The most frequent condition, for which the files of other runs need not be listed.
        one = ONE_RUN.fullmatch(where) if "run_id" in schema.names else None
        if one and (rows := self._one_run(name, one["run"], columns)) is not None:
            return rows
        return self.sql(f"select {', '.join(map(quoted_name, columns or ())) or '*'} from {name} where {where}")

    def count(self, name: str) -> int:
        """The number of rows of a table."""
        return self._tolerating(name, lambda is_checked: int(self._dataset(name, is_checked).count_rows()))

    def _read(self, name: str, columns: Sequence[str] | None, is_checked: bool) -> pa.Table:
        rows: pa.Table = self._dataset(name, is_checked).to_table(columns=list(columns) if columns else None)
        for field in rows.schema:
            if not field.nullable and rows[field.name].null_count:
                raise pa.ArrowInvalid(f"no value of {field.name} in some rows")
        return rows

    def _one_run(self, name: str, run_id: str, columns: Sequence[str] | None = None) -> pa.Table | None:
        """The rows of one run from its own parts; None if no part has its name, or one cannot be read."""
        import pyarrow.compute as pc

        files = look_at(self.store, name, run=run_id)
        try:
            rows = [rows_of_part(self.store, name, part, files) for part in files.parts]
        except StoreUnavailableError:
            raise
        except StoreError:
            return None
        if not rows or not all(part.num_rows for part in rows):
            return None
        table = pa.concat_tables(rows)
        return table.filter(pc.equal(table["run_id"], run_id)).select(list(columns or table.column_names))

    def sql(self, query: str) -> pa.Table:
        """Run a query in DuckDB's SQL over all tables.

        Raises:
            StoreError: If the query fails; the message lists the tables and columns.
        """
        import duckdb

        # Listing a table's files takes time; those that the query does not name are left out.
        named = [name for name in SCHEMAS if name in query.lower()]
        mistakes = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
        if any("\ud800" <= sign <= "\udfff" for sign in query):
            raise StoreError(self.store.uri, f"SQL with bytes that are no text: {query!a}", "SQL in UTF-8")

        def read(is_checked: bool) -> pa.Table:
            connection = duckdb.connect(":memory:", config={"enable_external_access": "false"})
            try:
                for name in named:
                    connection.register(name, self._dataset(name, is_checked))
                return _answer(connection, query)
            except mistakes:
                raise
            except duckdb.Error as error:
                if is_checked or self.is_strict:
                    raise
                raise pa.ArrowInvalid(str(error)) from error
            finally:
                connection.close()

        try:
            if (answer := self._natively(query, named)) is not None:
                return answer
            return self._tolerating("a table" if len(named) != 1 else named[0], read)
        except duckdb.Error as error:
            columns = [f"{name} ({', '.join(SCHEMAS[name].names)})" for name in named]
            others = [name for name in SCHEMAS if name not in named]
            raise StoreError(self.store.uri, str(error).strip(), f"SQL over {'; '.join(columns + others)}") from error

    def _natively(self, query: str, named: Sequence[str]) -> pa.Table | None:
        """The result by DuckDB's own Parquet reader; None where it needs the Arrow datasets.

        DuckDB may read the tables' files and nothing else. As it could also write them, only SELECTs are run.
        """
        import duckdb

        if not self.store.is_local:
            return None
        connection = _database(self.store.root, os.getpid()).cursor()
        try:
            if any(statement.type != duckdb.StatementType.SELECT for statement in connection.extract_statements(query)):
                return None
            views = {name: view(self.store, look_at(self.store, name)) for name in named}
            if None in views.values():
                return None
            # Not as views, whose making reads the files' footers once more.
            known = ", ".join(f"{name} as not materialized ({text})" for name, text in views.items())
            begins = WITH.match(query)
            if begins and known:
                query = f"{begins[0]} {known}, {query[begins.end() :]}"
            elif known:
                query = f"with {known} {query}"
            return _answer(connection, query)
        except duckdb.Error:
            # The user's mistake, files of different columns, or one that cannot be read: the Arrow datasets tell.
            return None
        finally:
            connection.close()

    def _tolerating(self, name: str, read: Callable[[bool], T]) -> T:
        """Read, and if that fails read again without the files that cannot be read."""
        for is_checked in (False, True):
            for _ in range(TRIES):
                try:
                    return read(is_checked)
                except StoreUnavailableError:
                    raise
                except FileNotFoundError as error:
                    # Compacted away meanwhile, or gone for good though a list names it.
                    failure: Exception = error
                except UNREADABLE as error:
                    failure = error
                    break
            if self.is_strict:
                break
        raise self._unreadable(name, failure) from failure

    def _unreadable(self, name: str, error: Exception) -> StoreError:
        said = " ".join(str(error).split())[:300]
        return StoreError(self.store.uri, f"a file of {name} that cannot be read ({said})", OURS)

    def _dataset(self, name: str, is_checked: bool) -> ds.Dataset:
        if not is_checked:
            return dataset(self.store, look_at(self.store, name))
        files = self._readable_compacted(name)
        return dataset(self.store, files, self._unreadable_parts(files))

    def _readable_compacted(self, name: str) -> TableFiles:
        """The files of a table, as if compacted ones that cannot be read were not there."""
        files, left_out = look_at(self.store, name), set[str]()
        while True:
            for file, parts in files.used.items():
                try:
                    for _ in rows_of_parts(self.store, file, parts):
                        pass
                except UNREADABLE as error:
                    left_out.add(file.id)
                    files = look_at(self.store, name, left_out)
                    lost = len(parts - set(files.parts))
                    self._warn(f"{file.path} cannot be read ({error}); {lost} parts are in no other file")
                    break
            else:
                return files

    def _unreadable_parts(self, files: TableFiles) -> set[str]:
        schema, unreadable = schema_of(files.table), set[str]()
        for part in files.own:
            path = f"tables/{files.table}/{part}{SUFFIX}"
            try:
                table_in(self.store.get_bytes(path), schema, self.store.uri, path)
            except StoreUnavailableError:
                raise
            except StoreError as error:
                if not self.store.exists(path):
                    raise FileNotFoundError(path) from error
                unreadable.add(part)
                self._warn(f"{path} is left out: {error.got.removeprefix(f'{path}, which ').removeprefix(f'{path} ')}")
        return unreadable

    def _warn(self, text: str) -> None:
        warnings.warn(StoreWarning(f"results {self.store.uri!r}: {text}"), stacklevel=2)


def _answer(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """Rows of a query; an empty text or a comment is an error of DuckDB's."""
    import duckdb

    if (relation := connection.sql(query)) is None:
        raise duckdb.ParserException(f"{query.strip()!r} is no query")
    return relation.to_arrow_table()


@lru_cache(maxsize=4)
def _database(root: str, process: int) -> duckdb.DuckDBPyConnection:
    """A DuckDB that can read the tables of one store, and nothing else; making one takes longer than most queries.

    It is never used by a forked process. Each query has a cursor of its own, which knows only what is set globally.
    """
    import duckdb

    database = duckdb.connect(":memory:")
    database.execute("set global allowed_directories = ?", [[f"{root}/tables/", f"{root}/{FOLDER}/"]])
    # Files of running jobs are replaced all the time.
    database.execute("set global enable_external_file_cache = false")
    # For speed, where a version has it. Of footers none is used that is younger than 10 s or of another time than its
    # file; reading ahead in small files on a disk costs more than it saves.
    for setting in ("parquet_metadata_cache = true", "disable_parquet_prefetching = true", "async_threads = 0"):
        with contextlib.suppress(duckdb.CatalogException):
            database.execute(f"set global {setting}")
    database.execute("set global enable_external_access = false")
    database.execute("set global lock_configuration = true")
    return database

"""The result store: rows as one Parquet file a job and table, blobs beside them, each written whole or not at all."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from raysurf.errors import StoreError, UnknownNameError
from raysurf.results.schemas import SCHEMAS

STALE_S = 3600.0


def schema_of(table: str) -> pa.Schema:
    """The written schema of a table.

    Raises:
        UnknownNameError: If there is no such table.
    """
    if table not in SCHEMAS:
        raise UnknownNameError("table", table, SCHEMAS)
    return SCHEMAS[table]


class Store:
    """A folder, or a bucket, of result tables and blobs. Nothing is made until the first write.

    Layout: ``tables/<table>/<part>.parquet``; blobs under any other path; ``_tmp/`` for files being written.

    Args:
        uri: A path, or a URI that pyarrow opens (``file://``, ``s3://``, ``gs://``). ``address`` is the same store for
            a process in another folder.

    Raises:
        StoreError: If the address is of no known kind.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            if "://" in uri:
                self.fs, self.root = fs.FileSystem.from_uri(uri)
            else:
                self.fs, self.root = fs.LocalFileSystem(), str(Path(uri).absolute())
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise StoreError(uri, str(error), "a folder, or an address such as s3://bucket/results") from error
        self.root = self.root.rstrip("/")
        self.is_local = isinstance(self.fs, fs.LocalFileSystem)
        self.address = self.root if self.is_local else uri
        self._swept = False

    def check_writable(self) -> None:
        """Check, leaving nothing behind, that the store can be written.

        Raises:
            StoreError: If it cannot.
        """
        if not self.is_local:
            self.put_bytes(probe := f"_tmp/{uuid.uuid4().hex}", b"")
            self.delete(probe)
            return
        place = Path(self.root)
        while not place.exists():
            place = place.parent
        if not place.is_dir():
            raise StoreError(self.uri, f"{place}, which is a file", "a folder, or a place where one can be made")
        probe_file = place / f".raysurf-{uuid.uuid4().hex}"
        try:
            probe_file.touch()
            probe_file.unlink()
        except OSError as error:
            raise StoreError(self.uri, f"{error.strerror} at {place}", "a folder that can be written") from error

    def write_rows(self, table: str, part: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace a part of a table, as a whole.

        Args:
            table: Its name.
            part: The part's name; whoever writes it decides, so that a second try replaces the first.
            rows: Values by column; nullable columns may be left out.

        Raises:
            StoreError: If a column is unknown or missing, or the store cannot be written.
        """
        schema = schema_of(table)
        known = set(schema.names)
        needed = {field.name for field in schema if not field.nullable}
        for row in rows:
            if (extra := row.keys() - known) or (missing := needed - row.keys()):
                got = f"unknown {sorted(extra)}" if extra else f"no {sorted(missing)}"
                raise StoreError(self.uri, f"a row of {table} with {got}", f"columns {', '.join(schema.names)}")
        try:
            columns = [pa.array([row.get(f.name) for row in rows], f.type) for f in schema]
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise StoreError(self.uri, f"a row of {table}: {error}", "values of the table's schema") from error
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd")
        self.put_bytes(f"tables/{table}/{part}.parquet", sink.getvalue().to_pybytes())

    def read_rows(self, table: str, part: str) -> list[dict[str, Any]]:
        """The rows of a part; none if it is absent."""
        schema_of(table)
        path = f"tables/{table}/{part}.parquet"
        if not self.exists(path):
            return []
        # Not read_table: its scanner's threads may outlive the call and abort the process at its end (arrow#34314).
        part_file = pq.ParquetFile(pa.BufferReader(self.get_bytes(path)))
        rows: list[dict[str, Any]] = part_file.read(use_threads=False).to_pylist()
        return rows

    def parts(self, table: str) -> list[str]:
        """Names of the parts of a table, sorted."""
        schema_of(table)
        names = [path.rsplit("/", 1)[-1] for path in self.list(f"tables/{table}")]
        return [name.removesuffix(".parquet") for name in names if name.endswith(".parquet")]

    def parts_of(self, table: str, run_id: str) -> list[str]:
        """Names of the parts that hold a run's rows: its id, or its id, a dot and a piece's name."""
        return [part for part in self.parts(table) if part.partition(".")[0] == run_id]

    def rows_of(self, table: str, run_id: str) -> list[dict[str, Any]]:
        """A run's rows, of all its parts."""
        return [row for part in self.parts_of(table, run_id) for row in self.read_rows(table, part)]

    def put_bytes(self, path: str, data: bytes) -> None:
        """Write a blob; a reader sees all of it or what was there before, also if the writer is killed.

        Raises:
            StoreError: If it cannot be written.
        """
        target = self._full(path)
        try:
            if not self.is_local:
                with self.fs.open_output_stream(target) as stream:
                    stream.write(data)
                return
            temporary = Path(self.root, "_tmp", uuid.uuid4().hex)
            temporary.parent.mkdir(parents=True, exist_ok=True)
            self._sweep(temporary.parent)
            temporary.write_bytes(data)
            try:
                os.replace(temporary, target)
            except FileNotFoundError:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary, target)
        except OSError as error:
            raise StoreError(self.uri, f"{error} while writing {path}", "a store that can be written") from error

    def get_bytes(self, path: str) -> bytes:
        """A blob.

        Raises:
            StoreError: If it is absent or cannot be read.
        """
        try:
            with self.fs.open_input_file(self._full(path)) as stream:
                return bytes(stream.read())
        except OSError as error:
            raise StoreError(self.uri, f"no {path} ({error})", "a file that an earlier run wrote") from error

    def exists(self, path: str) -> bool:
        """Whether a blob is there."""
        return bool(self.fs.get_file_info(self._full(path)).type == fs.FileType.File)

    def delete(self, path: str) -> None:
        """Remove a blob, if it is there."""
        try:
            self.fs.delete_file(self._full(path))
        except FileNotFoundError:
            return
        except OSError as error:
            if self.exists(path):
                raise StoreError(self.uri, f"{error} while removing {path}", "a store that can be written") from error

    def list(self, prefix: str = "") -> list[str]:
        """Paths of all blobs under a folder, relative to the root, sorted."""
        base = self._full(prefix) if prefix else self.root
        found = self.fs.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=True))
        return sorted(info.path[len(self.root) + 1 :] for info in found if info.type == fs.FileType.File)

    def put_json(self, path: str, value: Any) -> None:
        """Write a value as JSON; see ``put_bytes``."""
        self.put_bytes(path, json.dumps(value).encode())

    def get_json(self, path: str) -> Any:
        """Read a JSON value.

        Raises:
            StoreError: If it is absent or no JSON.
        """
        try:
            return json.loads(self.get_bytes(path))
        except ValueError as error:
            raise StoreError(self.uri, f"{path}: {error}", "JSON that an earlier run wrote") from error

    def _full(self, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
            raise StoreError(self.uri, f"the path {path!r}", "a path within the store")
        return f"{self.root}/{'/'.join(parts)}"

    def _sweep(self, folder: Path) -> None:
        """Once, remove what killed writers left behind an hour or more ago."""
        if self._swept:
            return
        self._swept = True
        for entry in os.scandir(folder):
            try:
                if time.time() - entry.stat().st_mtime > STALE_S:
                    os.unlink(entry.path)
            except OSError:
                continue

"""The result store: files on a disk or bucket, each written whole or not at all."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyarrow import fs

from raysurf.errors import StoreError
from raysurf.store.filesystem import Bucket, Disk, Files, address_of, open_address
from raysurf.store.retry import Retry, Retrying, one_line


class Store(Retrying):
    """A folder, or a bucket, of files. Nothing is made until the first write.

    Layout: ``tables/<table>/<part>.parquet``; other files under any other path, of which ``claims/`` says who works on
    what; ``_tmp/`` for files being written. A link that leads out of the folder is refused wherever it is met.

    Args:
        uri: A path, also one from ``~``, or a URI that pyarrow opens (``file://``, ``s3://``, ``gs://``). ``address``
            is the same store for a process in another folder.
        known: Whether the store is known to be there. It is waited for then from the start, else only after it has
            answered once, so that a wrong address is told at once.
        retry: How long it is waited for.
        tell: Given the one line that says that it is being waited for.

    Raises:
        StoreError: If the address is of no known kind, or holds a key; from every method, if the store refuses.
        StoreUnavailableError: From every method, if the store is full, or does not answer for longer than is waited.
    """

    def __init__(
        self,
        uri: str | os.PathLike[str],
        *,
        known: bool = False,
        retry: Retry | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.fs, self.root = open_address(address_of(uri))
        self.is_local = isinstance(self.fs, fs.LocalFileSystem)
        self.address = self.root if self.is_local else address_of(uri)
        files: Files = Disk(self.root, known) if self.is_local else Bucket(self.fs, self.root)
        super().__init__(files, address_of(uri), retry or Retry(), tell, known)

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        return self.version(path) is not None

    def get_bytes(self, path: str) -> bytes:
        """Read a file.

        Raises:
            StoreError: If it is absent.
        """
        if (data := self.bytes_at(path)) is None:
            raise StoreError(self.uri, f"no {path}", "a file that an earlier run wrote")
        return data

    def put_json(self, path: str, value: Any) -> None:
        """Write a value as JSON; see ``put_bytes``."""
        self.put_bytes(path, json.dumps(value).encode())

    def get_json(self, path: str) -> Any:
        """Read a JSON value.

        Raises:
            StoreError: If it is absent or no JSON.
        """
        data = self.get_bytes(path)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise StoreError(self.uri, f"{path}: {error}", "JSON that an earlier run wrote") from error

    def now_ns(self) -> int:
        """The time by the clock that gives files theirs, in nanoseconds since 1970; it may be another machine's.

        Raises:
            StoreError: If the store cannot be written, which is not waited for.
        """
        path = self.full(f"_tmp/{uuid.uuid4().hex}")
        try:
            with self.fs.open_output_stream(path):
                pass
            time_ns: int = self.fs.get_file_info(path).mtime_ns
            self.fs.delete_file(path)
        except OSError as error:
            got = f"{one_line(error)} while asking for its clock"
            raise StoreError(self.uri, got, "a store that can be written") from error
        return time_ns

    def check_writable(self) -> None:
        """Check, leaving nothing behind, that the store can be written.

        Raises:
            StoreError: If it cannot.
        """
        if not self.is_local:
            probe = f"_tmp/{uuid.uuid4().hex}"
            try:
                self.files.put_bytes(probe, b"")
                self.files.delete(probe)
            except OSError as error:
                raise StoreError(self.uri, one_line(error), "a bucket that is there and can be written") from error
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

"""The result store: files on a disk or bucket, each written whole or not at all."""

from __future__ import annotations

import copy
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pyarrow import fs

from raysurf.errors import StoreError
from raysurf.store.filesystem import Bucket, Disk, Files, Version, address_of, open_address
from raysurf.store.retry import Retry, Retrying, one_line


class Store:
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
        self.uri = address_of(uri)
        self.fs, self.root = open_address(self.uri)
        self.is_local = isinstance(self.fs, fs.LocalFileSystem)
        self.address = self.root if self.is_local else self.uri
        files: Files = Disk(self.root, known) if self.is_local else Bucket(self.fs, self.root)
        self.files = Retrying(files, self.uri, retry or Retry(), tell, known)

    def silent(self, limit_s: float) -> Self:
        """The same store, waited for in silence and for another time."""
        found = copy.copy(self)
        found.files = self.files.silent(limit_s)
        return found

    def make(self) -> None:
        """Make the folder. That it is absent later is an outage, in this process and where the store is ``known``."""
        self.files.make()

    def check_writable(self) -> None:
        """Check, leaving nothing behind, that the store can be written.

        Raises:
            StoreError: If it cannot.
        """
        if not self.is_local:
            probe = f"_tmp/{uuid.uuid4().hex}"
            try:
                self.files.files.write(probe, b"")
                self.files.files.delete(probe)
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

    def put_bytes(self, path: str, data: bytes) -> None:
        """Write a file; a reader sees all of it or what was there before, also if the writer is killed."""
        self.files.write(self._checked(path), data)

    def get_bytes(self, path: str) -> bytes:
        """Read a file.

        Raises:
            StoreError: If it is absent.
        """
        if (data := self.bytes_at(path)) is None:
            raise StoreError(self.uri, f"no {path}", "a file that an earlier run wrote")
        return data

    def bytes_at(self, path: str) -> bytes | None:
        """Read a file; None if it is absent."""
        return self.files.read(self._checked(path))

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

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        return self.version(path) is not None

    def version(self, path: str) -> Version | None:
        """The version of a file; None if it is absent."""
        return self.files.version(self._checked(path))

    def is_whole(self, path: str) -> bool:
        """Whether a file on a disk is there and not truncated; of a bucket, where none ever is, always."""
        return self.files.is_whole(self._checked(path))

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        self.files.delete(self._checked(path))

    def delete_folder(self, path: str) -> None:
        """Remove a folder and everything in it, as far as that goes at once."""
        self.files.delete_folder(self._checked(path))

    def list(self, folder: str = "") -> list[str]:
        """Paths of all files under a folder, relative to the root, sorted."""
        return sorted(self.files.list(self._checked(folder) if folder else ""))

    def has_files(self, folder: str) -> bool:
        """Whether there is a file somewhere under a folder; of a folder on a disk, without looking at all of them."""
        return self.files.has_files(self._checked(folder))

    def versions(self, folder: str, begins: str = "") -> dict[str, Version]:
        """Versions of the files right in a folder whose names begin so, by name."""
        return self.files.versions(self._checked(folder), begins)

    def full(self, path: str) -> str:
        """Where a file is in the file system.

        Raises:
            StoreError: If its path leads out of the store.
        """
        return self.files.full(self._checked(path))

    def _checked(self, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or "//" in path or ".." in parts or "\\" in path or "\0" in path:
            raise StoreError(self.uri, f"the path {path!r}", "a path within the store")
        return "/".join(parts)

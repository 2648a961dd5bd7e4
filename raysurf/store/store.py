"""The result store: files on a disk or bucket, each written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pyarrow import fs

from raysurf.errors import StoreError, StoreUnavailableError
from raysurf.store.filesystem import (
    AT_ONCE,
    COME_BACK,
    MAKE_ROOM,
    Patience,
    address_of,
    files_under,
    is_full,
    may_pass,
    open_address,
    require_inside,
    version_of,
    versions_in,
)
from raysurf.store.truncated import torn_file

STALE_S = 3600.0

T = TypeVar("T")
# The version of a file: bytes, nanoseconds since 1970, and on a disk its inode, else 0.
Version = tuple[int, int, int]


class Store:
    """A folder, or a bucket, of result tables and blobs. Nothing is made until the first write.

    Layout: ``tables/<table>/<part>.parquet``; blobs under any other path, of which ``claims/`` says who is at work on
    what; ``_tmp/`` for files being written.

    Args:
        uri: A path, also one from ``~``, or a URI that pyarrow opens (``file://``, ``s3://``, ``gs://``). ``address``
            is the same store for a process in another folder.
        known: Whether the store is known to be there. It is waited for then from the start, else only after it has
            answered once, so that a wrong address is told at once.
        patience: How long it is waited for.
        tell: Given the one line that says that it is being waited for.

    A link that leads out of the folder is refused wherever it is met.

    Raises:
        StoreError: If the address is of no known kind, or holds a key.
        StoreUnavailableError: From every method, if the store is full, or does not answer for longer than is waited.
    """

    def __init__(
        self,
        uri: str | os.PathLike[str],
        *,
        known: bool = False,
        patience: Patience | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.uri, self.tell = address_of(uri), tell
        self.fs, self.root = open_address(self.uri)
        self.is_local = isinstance(self.fs, fs.LocalFileSystem)
        self.address = self.root if self.is_local else self.uri
        self.patience = patience or Patience()
        self._answered = known
        self._swept, self._root_seen = False, known

    def make(self) -> None:
        """Make the folder. That it is absent later is an outage, in this process and where the store is ``known``."""
        if self.is_local:
            self._ask("making the folder", lambda: os.makedirs(self.root, exist_ok=True))
            self._root_seen = True

    def check_writable(self) -> None:
        """Check, leaving nothing behind, that the store can be written.

        Raises:
            StoreError: If it cannot.
        """
        if not self.is_local:
            probe = f"_tmp/{uuid.uuid4().hex}"
            try:
                self._put(self.full(probe), b"")
                self.fs.delete_file(self.full(probe))
            except OSError as error:
                raise StoreError(self.uri, _said(error), "a bucket that is there and can be written") from error
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
        """Write a blob; a reader sees all of it or what was there before, also if the writer is killed.

        Raises:
            StoreError: If it cannot be written.
        """
        target = self.full(path)
        self._ask(f"writing {path}", lambda: self._put(target, data))

    def _put(self, target: str, data: bytes) -> None:
        if not self.is_local:
            with self.fs.open_output_stream(target) as stream:
                stream.write(data)
            return
        temporary = Path(self.root, "_tmp", uuid.uuid4().hex)
        if not temporary.parent.is_dir():
            self._require_root()
            temporary.parent.mkdir(parents=True, exist_ok=True)
        self._root_seen = True
        try:
            self._sweep(temporary)
            temporary.write_bytes(data)
            try:
                os.replace(temporary, target)
            except FileNotFoundError:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary, target)
        except OSError:
            # On a full disk a left-over would keep the room that the next try needs.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    def get_bytes(self, path: str) -> bytes:
        """A blob.

        Raises:
            StoreError: If it is absent or cannot be read.
        """
        if (data := self.bytes_at(path)) is None:
            raise StoreError(self.uri, f"no {path}", "a file that an earlier run wrote")
        return data

    def bytes_at(self, path: str) -> bytes | None:
        """A blob; None if it is absent."""
        target = self.full(path)

        def read() -> bytes | None:
            try:
                with self.fs.open_input_file(target) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                self._require_root()
                return None

        return self._ask(f"reading {path}", read)

    def exists(self, path: str) -> bool:
        """Whether a blob is there."""
        target = self.full(path)

        def look() -> bool:
            found = self.fs.get_file_info(target).type == fs.FileType.File
            if not found:
                self._require_root()
            return bool(found)

        return self._ask(f"looking for {path}", look)

    def is_whole(self, path: str) -> bool:
        """Whether a blob of a folder is there and not truncated; of a bucket, where none ever is, always."""
        target = Path(self.full(path))

        def look() -> bool:
            if torn := torn_file(target):
                self._require_root()
            return not torn

        return not self.is_local or self._ask(f"looking at {path}", look)

    def delete(self, path: str) -> None:
        """Remove a blob, if it is there."""
        target = self.full(path)

        def remove() -> None:
            try:
                self.fs.delete_file(target)
            except OSError:
                if self.fs.get_file_info(target).type == fs.FileType.File:
                    raise

        self._ask(f"removing {path}", remove)

    def delete_folder(self, path: str) -> None:
        """Remove a folder and everything in it, as far as that goes at once."""
        target = self.full(path)
        if self.is_local:
            shutil.rmtree(target, ignore_errors=True)
            return
        with contextlib.suppress(OSError):
            self.fs.delete_dir(target)

    def list(self, prefix: str = "") -> list[str]:
        """Paths of all blobs under a folder, relative to the root, sorted."""
        base = self.full(prefix) if prefix else self.root

        def look() -> list[str]:
            if self.is_local:
                self._require_root()
                return [path[len(self.root) + 1 :] for path in files_under(self.root, base)]
            found = self.fs.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=True))
            return [info.path[len(self.root) + 1 :] for info in found if info.type == fs.FileType.File]

        return sorted(self._ask(f"listing {prefix or 'it'}", look))

    def has_files(self, folder: str) -> bool:
        """Whether there is a file somewhere under a folder; of a folder on a disk, without looking at all of them."""
        if not self.is_local:
            return bool(self.list(folder))
        base = self.full(folder)
        return self._ask(f"listing {folder}", lambda: next(files_under(self.root, base), None) is not None)

    def versions(self, folder: str, begins: str = "") -> dict[str, Version]:
        """Versions of the files right in a folder whose names begin so, by name."""
        base = self.full(folder)

        def look() -> dict[str, Version]:
            if self.is_local:
                self._require_root()
                return versions_in(self.root, base, begins)
            found = self.fs.get_file_info(fs.FileSelector(base, allow_not_found=True))
            files = (each for each in found if each.is_file and each.base_name.startswith(begins))
            return {each.base_name: (each.size, each.mtime_ns, 0) for each in files}

        return self._ask(f"listing {folder}", look)

    def version(self, path: str) -> Version | None:
        """The version of a file; None if there is none."""
        full = self.full(path)

        def look() -> Version | None:
            if self.is_local:
                with contextlib.suppress(FileNotFoundError):
                    return version_of(full)
                return None
            found = self.fs.get_file_info(full)
            return (found.size, found.mtime_ns, 0) if found.is_file else None

        return self._ask(f"looking at {path}", look)

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
        except StoreError:
            raise
        except (ValueError, RecursionError) as error:
            raise StoreError(self.uri, f"{path}: {error}", "JSON that an earlier run wrote") from error

    def full(self, path: str) -> str:
        """Where a blob is in the file system.

        Raises:
            StoreError: If its path leads out of the store.
        """
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or "//" in path or ".." in parts or "\\" in path or "\0" in path:
            raise StoreError(self.uri, f"the path {path!r}", "a path within the store")
        full = self.root
        for part in parts:
            full = f"{full}/{part}"
            if self.is_local:
                require_inside(self.root, full)
        return full

    def _require_root(self) -> None:
        """A folder that was there and is gone, as when a shared disk is unmounted, is waited for, not made again."""
        if self.is_local and self._root_seen and not os.path.isdir(self.root):
            raise OSError(errno.ESTALE, "the folder is gone, or on no disk that this machine sees", self.root)

    def _ask(self, doing: str, act: Callable[[], T]) -> T:
        """Do something with the store, waiting for it if it was there before.

        Raises:
            StoreUnavailableError: If it is full, or was waited for in vain.
            StoreError: If it refuses.
        """
        patience = self.patience if self._answered else AT_ONCE

        def tell(error: OSError) -> None:
            self.tell(f"the results in {self.uri} do not answer ({_said(error)}); waiting for them")

        try:
            found = patience.wait_for(act, tell)
        except OSError as error:
            if is_full(error):
                raise StoreUnavailableError(
                    self.uri, f"no space left while {doing}{self._room()}", MAKE_ROOM
                ) from error
            if self._answered and may_pass(error):
                got = f"{_said(error)} for {patience.limit_s:g} s while {doing}"
                raise StoreUnavailableError(self.uri, got, COME_BACK) from error
            raise StoreError(
                self.uri, f"{_said(error)} while {doing}", "a store that can be read and written"
            ) from error
        self._answered = True
        return found

    def _room(self) -> str:
        try:
            disk = shutil.disk_usage(self.root)
        except OSError:
            return ""
        return f" ({disk.free / 2**20:.0f} of {disk.total / 2**20:.0f} MiB free)"

    def _sweep(self, temporary: Path) -> None:
        """Once, remove temporary files older than an hour, measured by the file system's own clock."""
        if self._swept:
            return
        temporary.touch()
        now = temporary.stat().st_mtime
        self._swept = True
        for entry in os.scandir(temporary.parent):
            try:
                if now - entry.stat().st_mtime > STALE_S:
                    os.unlink(entry.path)
            except OSError:
                continue


def _said(error: OSError) -> str:
    """An error in one line, without the SDK's request headers."""
    text = error.strerror or str(error)
    return " ".join(text.split())[:300]

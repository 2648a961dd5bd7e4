"""File systems of a store: addresses, and the two places that files can be at, a disk and a bucket."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from raysurf.errors import StoreError
from raysurf.store.truncated import is_whole_file

# The version of a file: bytes, nanoseconds since 1970, and on a disk its inode, else 0.
Version = tuple[int, int, int]
# A temporary file that is older has lost its writer.
STALE_S = 3600.0

A_STORE = "a folder, or an address such as s3://bucket/results"
SECRETS = ("key", "secret", "token", "password")
KEYLESS = "an address without keys; put them where the cloud's own tools look, such as $AWS_ACCESS_KEY_ID"


def address_of(given: str | os.PathLike[str]) -> str:
    """A store's address as a text, with ``~`` expanded.

    Raises:
        StoreError: If it is empty, no text, or the home is not known.
    """
    uri = os.fspath(given)
    if not isinstance(uri, str) or not uri.strip():
        raise StoreError(str(given), "no address", A_STORE)
    if not uri.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in uri):
        raise StoreError(ascii(uri)[1:-1], "bytes that are no text in it", A_STORE)
    if uri.startswith("~") and (uri := os.path.expanduser(uri)).startswith("~"):
        raise StoreError(uri, "a home that is not known", f"{A_STORE} (a folder that is called ~ is ./~)")
    return uri


def results_option(uri: str) -> str:
    """The ``--results`` option of a printed command, quoted for the shell; empty for the default store."""
    return "" if uri == "results" else f" --results {shlex.quote(uri)}"


def open_address(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a store, and the store's folder in it, without a slash at its end.

    Raises:
        StoreError: If the address is of no known kind, leads upwards, or holds a key: it would stand in tables and
            logs, since they name the command and the store.
    """
    try:
        if "://" not in uri:
            return fs.LocalFileSystem(), _rooted(uri, str(Path(uri).absolute()))
        parts = urlsplit(uri)
        if parts.password is not None or (parts.scheme == "s3" and parts.username is not None):
            raise StoreError(f"{parts.scheme}://***@{parts.hostname or ''}{parts.path}", "a key in it", KEYLESS)
        if any(word in name.lower() for name, _ in parse_qsl(parts.query) for word in SECRETS):
            raise StoreError(f"{parts.scheme}://{parts.netloc}{parts.path}", "a key in it", KEYLESS)
        if ".." in unquote(parts.path).replace("\\", "/").split("/") or ".." in parts.netloc.split("/"):
            raise StoreError(uri, "'..' in it", "an address that does not lead upwards, such as s3://bucket/results")
        system, root = fs.FileSystem.from_uri(uri)
        if parts.scheme == "s3":
            # It puts a small file by one request instead of three; an older pyarrow knows no such option.
            with contextlib.suppress(pa.ArrowInvalid):
                system, root = fs.FileSystem.from_uri(f"{uri}{'&' if parts.query else '?'}allow_delayed_open=true")
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(uri, str(error), A_STORE) from error
    if not root.strip("/") and parts.scheme != "file":
        raise StoreError(uri, "no bucket in it", "an address such as s3://bucket/results")
    return system, _rooted(uri, root)


def _rooted(uri: str, root: str) -> str:
    if "\0" in root:
        raise StoreError(uri, "a NUL character in it", A_STORE)
    return root.rstrip("/")


def checked(root: str, path: str) -> list[str]:
    """The parts of a path that leads not out of a store."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "//" in path or ".." in parts or "\\" in path or "\0" in path:
        raise StoreError(root, f"the path {path!r}", "a path within the store")
    return list(parts)


class Disk:
    """Files on a disk. A folder that was there and is gone, as when it is unmounted, is waited for, not made again.

    Args:
        root: The folder, which may be a link itself.
        known: Whether it is known to be there.
    """

    def __init__(self, root: str, known: bool = False) -> None:
        self.root = root
        self._root_seen, self._is_swept = known, False

    def full(self, path: str) -> str:
        full = self.root
        for part in checked(self.root, path):
            full = f"{full}/{part}"
            self._require_inside(full)
        return full

    def make(self) -> None:
        os.makedirs(self.root, exist_ok=True)
        self._root_seen = True

    def bytes_at(self, path: str) -> bytes | None:
        try:
            return Path(self.full(path)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            self._require_root()
            return None

    def put_bytes(self, path: str, data: bytes) -> None:
        target, temporary = self.full(path), f"{self.root}/_tmp/{uuid.uuid4().hex}"
        if not os.path.isdir(f"{self.root}/_tmp"):
            self._require_root()
            os.makedirs(f"{self.root}/_tmp", exist_ok=True)
        self._root_seen = True
        if not self._is_swept:
            self._sweep(temporary)
        replace_file(target, data, temporary)

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self.full(path))

    def delete_folder(self, path: str) -> None:
        shutil.rmtree(self.full(path), ignore_errors=True)

    def version(self, path: str) -> Version | None:
        try:
            status = os.stat(self.full(path))
        except (FileNotFoundError, NotADirectoryError):
            self._require_root()
            return None
        return _version(status) if stat.S_ISREG(status.st_mode) else None

    def versions(self, folder: str, begins: str = "") -> dict[str, Version]:
        self._require_root()
        versions = {}
        try:
            for entry in os.scandir(self.full(folder)):
                if not entry.name.startswith(begins):
                    continue
                if entry.is_symlink():
                    self._require_inside(entry.path)
                # A file that another process removes meanwhile is none.
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file():
                        versions[entry.name] = _version(entry.stat())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return versions

    def list(self, folder: str) -> Iterable[str]:
        self._require_root()
        return [path[len(self.root) + 1 :] for path in self._walk(folder)]

    def has_files(self, folder: str) -> bool:
        return next(self._walk(folder), None) is not None

    def is_whole(self, path: str) -> bool:
        is_whole = is_whole_file(Path(self.full(path)))
        if not is_whole:
            self._require_root()
        return is_whole

    def disk_usage(self) -> tuple[int, int, int] | None:
        try:
            return shutil.disk_usage(self.root)
        except OSError:
            return None

    def _walk(self, folder: str) -> Iterator[str]:
        """Every file under a folder; links to folders are not followed."""

        def check(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise error

        for inside, _, files in os.walk(self.full(folder) if folder else self.root, onerror=check):
            for name in files:
                self._require_inside(path := f"{inside}/{name}")
                yield path

    def _require_inside(self, path: str) -> None:
        if os.path.islink(path) and not os.path.realpath(path).startswith(os.path.realpath(self.root) + "/"):
            got = f"{path[len(self.root) + 1 :]}, a link to {os.path.realpath(path)}"
            raise StoreError(self.root, got, "files and folders of the store's own (remove the link)")

    def _require_root(self) -> None:
        if self._root_seen and not os.path.isdir(self.root):
            raise OSError(errno.ESTALE, "the folder is gone, or on no disk that this machine sees", self.root)

    def _sweep(self, temporary: str) -> None:
        """Remove temporary files older than an hour, by the file system's own clock."""
        with open(temporary, "wb"):
            pass
        now = os.stat(temporary).st_mtime
        self._is_swept = True
        for entry in os.scandir(os.path.dirname(temporary)):
            with contextlib.suppress(OSError):
                if now - entry.stat().st_mtime > STALE_S:
                    os.unlink(entry.path)


class Bucket:
    """Objects of a bucket, which are put as wholes."""

    def __init__(self, system: fs.FileSystem, root: str) -> None:
        self.fs, self.root = system, root

    def full(self, path: str) -> str:
        return "/".join([self.root, *checked(self.root, path)])

    def make(self) -> None:
        pass

    def bytes_at(self, path: str) -> bytes | None:
        try:
            with self.fs.open_input_file(self.full(path)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def put_bytes(self, path: str, data: bytes) -> None:
        with self.fs.open_output_stream(self.full(path)) as stream:
            stream.write(data)

    def delete(self, path: str) -> None:
        try:
            self.fs.delete_file(self.full(path))
        except OSError:
            if self.version(path) is not None:
                raise

    def delete_folder(self, path: str) -> None:
        with contextlib.suppress(OSError):
            self.fs.delete_dir(self.full(path))

    def version(self, path: str) -> Version | None:
        info = self.fs.get_file_info(self.full(path))
        return (info.size, info.mtime_ns, 0) if info.is_file else None

    def versions(self, folder: str, begins: str = "") -> dict[str, Version]:
        infos = self.fs.get_file_info(fs.FileSelector(self.full(folder), allow_not_found=True))
        files = (info for info in infos if info.is_file and info.base_name.startswith(begins))
        return {info.base_name: (info.size, info.mtime_ns, 0) for info in files}

    def list(self, folder: str) -> Iterable[str]:
        base = self.full(folder) if folder else self.root
        infos = self.fs.get_file_info(fs.FileSelector(base, allow_not_found=True, recursive=True))
        return [info.path[len(self.root) + 1 :] for info in infos if info.is_file]

    def has_files(self, folder: str) -> bool:
        return bool(self.list(folder))

    def is_whole(self, path: str) -> bool:
        return True

    def disk_usage(self) -> None:
        return None


# The files of a store, by paths in it, as ``Store`` has them; methods raise an ``OSError`` if it is away.
Files = Disk | Bucket


def replace_file(target: str | os.PathLike[str], data: bytes, aside: str | None = None) -> None:
    """Write a file aside and rename it, so that a reader sees all of it or what was there before.

    Args:
        target: The file.
        data: Its content.
        aside: A path on the same disk, where nothing is left; beside the file if not given.
    """
    folder, name = os.path.split(os.fspath(target))
    aside = aside or os.path.join(folder, f".{name}.{uuid.uuid4().hex}")
    try:
        Path(aside).write_bytes(data)
        try:
            os.replace(aside, target)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            os.replace(aside, target)
    finally:
        # On a full disk a left-over would keep the room that the next try needs.
        with contextlib.suppress(OSError):
            os.unlink(aside)


def version_of(path: str) -> Version:
    """The version of a file on a disk."""
    return _version(os.stat(path))


def _version(status: os.stat_result) -> Version:
    return status.st_size, status.st_mtime_ns, status.st_ino

"""File systems of a store: addresses, retries, and links that lead out of it."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from raysurf.errors import StoreError

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

    Args:
        uri: A path, or a URI that pyarrow opens.

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
        system, root = _from_uri(uri, parts.scheme, bool(parts.query))
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(uri, str(error), A_STORE) from error
    if not root.strip("/") and parts.scheme != "file":
        raise StoreError(uri, "no bucket in it", "an address such as s3://bucket/results")
    return system, _rooted(uri, root)


def _from_uri(uri: str, scheme: str, has_options: bool) -> tuple[fs.FileSystem, str]:
    """pyarrow's file system of a URI; of S3 one that puts a small file by one request instead of three."""
    found: tuple[fs.FileSystem, str]
    if scheme == "s3":
        # An older pyarrow knows no such option; what else is wrong with the address is told below.
        with contextlib.suppress(pa.ArrowInvalid):
            found = fs.FileSystem.from_uri(f"{uri}{'&' if has_options else '?'}allow_delayed_open=true")
            return found
    found = fs.FileSystem.from_uri(uri)
    return found


def _rooted(uri: str, root: str) -> str:
    if "\0" in root:
        raise StoreError(uri, "a NUL character in it", A_STORE)
    return root.rstrip("/")


def require_inside(root: str, path: str) -> None:
    """Refuse a link that leads out of a store.

    Args:
        root: The store's folder, which may be a link itself.
        path: A file or folder in it.

    Raises:
        StoreError: If the path is a link to something outside.
    """
    if os.path.islink(path) and not os.path.realpath(path).startswith(os.path.realpath(root) + "/"):
        got = f"{path[len(root) + 1 :]}, a link to {os.path.realpath(path)}"
        raise StoreError(root, got, "files and folders of the store's own (remove the link)")


def files_under(root: str, folder: str) -> Iterator[str]:
    """Every file under a folder of a store; links to folders are not followed.

    Raises:
        StoreError: If a file is a link that leads out of the store.
        OSError: If a folder cannot be read; one that is absent has no files.
    """
    for inside, _, files in os.walk(folder, onerror=_raise_unless_absent):
        for name in files:
            require_inside(root, path := f"{inside}/{name}")
            yield path


def versions_in(root: str, folder: str, begins: str = "") -> dict[str, tuple[int, int, int]]:
    """Size, time in nanoseconds and inode of the files right in a folder of a store whose names begin so, by name.

    Raises:
        StoreError: If a file is a link that leads out of the store.
        OSError: If the folder cannot be read; one that is absent has no files.
    """
    found = {}
    try:
        for entry in os.scandir(folder):
            if not entry.name.startswith(begins):
                continue
            if entry.is_symlink():
                require_inside(root, entry.path)
            if entry.is_file():
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    # Removed since it was listed, as by another process.
                    continue
                found[entry.name] = (status.st_size, status.st_mtime_ns, status.st_ino)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def version_of(path: str) -> tuple[int, int, int]:
    """Size, time in nanoseconds and inode of a file.

    Raises:
        OSError: If it cannot be looked at.
    """
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ino


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


T = TypeVar("T")

FULL = (errno.ENOSPC, errno.EDQUOT)
HOPELESS = (errno.EFBIG, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.EXDEV)
# How pyarrow's S3 and GCS name what no waiting mends; the numbers are HTTP's.
REFUSED = (
    "NO_SUCH_BUCKET",
    "NO_SUCH_KEY",
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
    "MISSING_AUTHENTICATION_TOKEN",
    "INVALID_PARAMETER_VALUE",
    "PERMANENT_REDIRECT",
    *(f"HTTP status {code}" for code in (301, 400, 401, 403, 404, 405)),
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
)
AGAIN = "run the same command again; what is finished is kept"
MAKE_ROOM = f"room for it: free some space, or move the store to a larger disk, then {AGAIN}"
COME_BACK = f"a store that answers; when it does, {AGAIN}"
# Told when waiting has taken this long; shorter hiccups are nobody's business.
TOLD_AFTER_S = 1.0
# Apart from every generator that training draws from.
_jitter = random.Random()


def is_full(error: OSError) -> bool:
    """Whether the disk is full, or the user's part of it."""
    return error.errno in FULL


def may_pass(error: OSError) -> bool:
    """Whether trying again may help, as with a server or a shared disk that is away for a while.

    Everything may but what is known not to: a missing file, a full disk, a name that cannot be, a refusal of S3 or GCS.
    """
    if isinstance(error, FileNotFoundError | FileExistsError | IsADirectoryError | NotADirectoryError):
        return False
    return error.errno not in (*FULL, *HOPELESS) and not any(word in str(error) for word in REFUSED)


@dataclass(frozen=True)
class Patience:
    """How long a store is waited for.

    Args:
        limit_s: Seconds from the first failure to giving up; 0 gives up at once.
        first_s: The first pause; each is twice the one before, and a fifth longer or shorter by chance, so that many
            workers do not come back all together.
        longest_s: The longest pause.
    """

    limit_s: float = 60.0
    first_s: float = 0.1
    longest_s: float = 5.0

    def wait_for(self, act: Callable[[], T], tell: Callable[[OSError], None]) -> T:
        """Do something until it succeeds.

        Args:
            act: What is done; it must be harmless to do it again.
            tell: Told once why it is being waited, if that takes more than a second.

        Raises:
            OSError: The last one, if it cannot pass or the limit is over.
        """
        began, pause, told = time.monotonic(), self.first_s, False
        while True:
            try:
                return act()
            except OSError as error:
                waited = time.monotonic() - began
                if not may_pass(error) or waited >= self.limit_s:
                    raise
                if not told and waited + pause > TOLD_AFTER_S:
                    told = True
                    tell(error)
            time.sleep(min(pause * _jitter.uniform(0.8, 1.2), max(0.0, self.limit_s - waited)))
            pause = min(2 * pause, self.longest_s)


AT_ONCE = Patience(0.0)

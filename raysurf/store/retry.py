"""Retry: a wrapper round the files of a store, with the same protocol, that waits while they cannot be reached."""

from __future__ import annotations

import copy
import errno
import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self, TypeVar

from raysurf.errors import StoreError, StoreUnavailableError
from raysurf.store.filesystem import Files, Version

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


def backoff(first_s: float, longest_s: float) -> Iterator[float]:
    """Pauses in seconds: each twice the one before, and a fifth longer or shorter by chance, so that many spread."""
    for number in itertools.count():
        yield min(first_s * 2.0 ** min(number, 30), longest_s) * _jitter.uniform(0.8, 1.2)


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


def one_line(error: OSError) -> str:
    """An error in one line, without the SDK's request headers."""
    return " ".join((error.strerror or str(error)).split())[:300]


@dataclass(frozen=True)
class Retry:
    """Retry policy: seconds from the first failure to giving up, 0 for at once, and the first and longest pause."""

    limit_s: float = 60.0
    first_s: float = 0.1
    longest_s: float = 5.0


class Retrying:
    """Files that are waited for if they have answered before; a wrong address is told at once.

    Args:
        files: What is wrapped.
        uri: The store, to be named in errors.
        retry: How long is waited.
        tell: Given a line if it takes more than a second.
        known: Whether the files are known to be there, and so waited for from the start.

    Raises:
        StoreUnavailableError: From every method, if there is no space left, or they were waited for in vain.
        StoreError: If they refuse.
    """

    def __init__(self, files: Files, uri: str, retry: Retry, tell: Callable[[str], None], known: bool) -> None:
        self.files, self.uri, self.retry, self.tell = files, uri, retry, tell
        self._has_answered = known

    def silent(self, limit_s: float) -> Self:
        """The same, waited for in silence and for another time."""
        silent = copy.copy(self)
        silent.retry, silent.tell = Retry(limit_s), lambda text: None
        return silent

    def full(self, path: str) -> str:
        """Where a file is in the file system; a path that leads out of the store is refused."""
        return self.files.full(path)

    def make(self) -> None:
        """Make the folder. That it is absent later is an outage, in this process and where the store is ``known``."""
        self._ask("making the folder", self.files.make)

    def put_bytes(self, path: str, data: bytes) -> None:
        """Write a file; a reader sees all of it or what was there before, also if the writer is killed."""
        self._ask(f"writing {path}", lambda: self.files.put_bytes(path, data))

    def bytes_at(self, path: str) -> bytes | None:
        """Read a file; None if it is absent."""
        return self._ask(f"reading {path}", lambda: self.files.bytes_at(path))

    def version(self, path: str) -> Version | None:
        """The version of a file; None if it is absent."""
        return self._ask(f"looking at {path}", lambda: self.files.version(path))

    def versions(self, folder: str, begins: str = "") -> dict[str, Version]:
        """Versions of the files right in a folder whose names begin so, by name."""
        return self._ask(f"listing {folder}", lambda: self.files.versions(folder, begins))

    def list(self, folder: str = "") -> list[str]:
        """Paths of all files under a folder, relative to the root, sorted."""
        return self._ask(f"listing {folder or 'it'}", lambda: sorted(self.files.list(folder)))

    def has_files(self, folder: str) -> bool:
        """Whether there is a file somewhere under a folder; on a disk without looking at all of them."""
        return self._ask(f"listing {folder}", lambda: self.files.has_files(folder))

    def is_whole(self, path: str) -> bool:
        """Whether a file on a disk is there and not truncated; of a bucket, where none ever is, always."""
        return self._ask(f"looking at {path}", lambda: self.files.is_whole(path))

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        self._ask(f"removing {path}", lambda: self.files.delete(path))

    def delete_folder(self, path: str) -> None:
        """Remove a folder and everything in it, as far as that goes at once."""
        self._ask(f"removing {path}", lambda: self.files.delete_folder(path))

    def _ask(self, doing: str, act: Callable[[], T]) -> T:
        limit_s, is_told = self.retry.limit_s if self._has_answered else 0.0, False
        began = time.monotonic()
        for pause in backoff(self.retry.first_s, self.retry.longest_s):
            try:
                answer = act()
                self._has_answered = True
                return answer
            except OSError as error:
                waited = time.monotonic() - began
                if not may_pass(error) or waited >= limit_s:
                    raise self._failure(error, doing) from error
                if not is_told and waited + pause > TOLD_AFTER_S:
                    is_told = True
                    self.tell(f"the results in {self.uri} do not answer ({one_line(error)}); waiting for them")
            time.sleep(min(pause, max(0.0, limit_s - waited)))
        raise AssertionError("pauses never end")

    def _failure(self, error: OSError, doing: str) -> StoreError:
        if is_full(error):
            room = ""
            if (disk := self.files.disk_usage()) is not None:
                room = f" ({disk[2] / 2**20:.0f} of {disk[0] / 2**20:.0f} MiB free)"
            return StoreUnavailableError(self.uri, f"no space left while {doing}{room}", MAKE_ROOM)
        if self._has_answered and may_pass(error):
            got = f"{one_line(error)} for {self.retry.limit_s:g} s while {doing}"
            return StoreUnavailableError(self.uri, got, COME_BACK)
        return StoreError(self.uri, f"{one_line(error)} while {doing}", "a store that can be read and written")

"""A store whose file system fails for a while."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from pyarrow import fs

from raysurf.store.filesystem import Bucket
from raysurf.store.retry import Retry
from raysurf.store.store import Store


class Shaky(fs.FSSpecHandler):
    """A file system on a disk, every call to which fails for a while."""

    def __init__(self) -> None:
        super().__init__(LocalFileSystem(auto_mkdir=True))
        self.away_until = 0.0
        self.error = OSError(errno.ETIMEDOUT, "the server does not answer")

    def away(self, seconds: float) -> None:
        """Be away from now on for so many seconds."""
        self.away_until = time.monotonic() + seconds

    def _call(self) -> None:
        if time.monotonic() < self.away_until:
            raise self.error

    def get_file_info(self, paths: Any) -> Any:
        self._call()
        return super().get_file_info(paths)

    def get_file_info_selector(self, selector: Any) -> Any:
        self._call()
        return super().get_file_info_selector(selector)

    def open_input_file(self, path: str) -> Any:
        self._call()
        return super().open_input_file(path)

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        self._call()
        return super().open_output_stream(path, metadata)

    def delete_file(self, path: str) -> None:
        self._call()
        super().delete_file(path)


def remote(folder: Path, retry: Retry, **more: Any) -> tuple[Store, Shaky, list[str]]:
    """A store on such a file system, and what it says."""
    shaky, said = Shaky(), list[str]()
    store = Store(str(folder), retry=retry, tell=said.append, **more)
    store.fs, store.is_local = fs.PyFileSystem(shaky), False
    store.files = Bucket(store.fs, store.root)
    return store, shaky, said

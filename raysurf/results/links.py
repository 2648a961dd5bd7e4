"""Keeping a store in a folder within the folder: links that lead out of it are refused."""

from __future__ import annotations

import os
from collections.abc import Iterator

from raysurf.errors import StoreError


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


def marks_in(root: str, folder: str, begins: str = "") -> dict[str, tuple[int, int, int]]:
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


def mark_of(path: str) -> tuple[int, int, int]:
    """Size, time in nanoseconds and inode of a file.

    Raises:
        OSError: If it cannot be looked at.
    """
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ino


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error

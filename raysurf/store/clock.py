"""The clock by which a store gives its files their times; it may be another than this machine's."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from raysurf.errors import StoreError

if TYPE_CHECKING:
    from raysurf.store.store import Store


def now_ns(store: Store) -> int:
    """The store's clock, in nanoseconds since 1970, by a file that is written and removed again."""
    path = store.full(f"_tmp/{uuid.uuid4().hex}")
    try:
        with store.fs.open_output_stream(path):
            pass
        found: int = store.fs.get_file_info(path).mtime_ns
    except OSError as error:
        got = error.strerror or str(error)
        raise StoreError(store.uri, f"{got} while asking for its clock", "a store that can be written") from error
    finally:
        with contextlib.suppress(OSError):
            store.fs.delete_file(path)
    return found

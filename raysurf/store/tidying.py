"""After a run: tables that have many small files are compacted, so that what comes to be read is fast to read."""

from __future__ import annotations

from collections.abc import Callable

from raysurf.errors import StoreError
from raysurf.store.compaction import compact
from raysurf.store.schemas import SCHEMAS
from raysurf.store.store import Store
from raysurf.store.tables import look_at

# Files that a query opens in less time than it takes otherwise.
MANY = 256


def tidy(store: Store, tell: Callable[[str], None], many: int = MANY) -> None:
    """Compact the tables that have many files of their own.

    Args:
        store: Whose runs have been done; others may go on. If it cannot be compacted, it is whole all the same.
        tell: Given one line if it was not.
        many: More files than these are many.
    """
    try:
        tables = [name for name in SCHEMAS if len(look_at(store, name).own) > many]
        if tables:
            compact(store, tables)
    except StoreError as error:
        tell(f"the tables are whole, but could not be compacted ({error.got}); later: raysurf compact")

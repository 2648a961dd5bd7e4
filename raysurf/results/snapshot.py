"""A snapshot of a store for many queries: each table is read once, so that all answers agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from raysurf.results.reader import Reader
from raysurf.store.store import Store

if TYPE_CHECKING:
    import pyarrow.dataset as ds

# Small tables that are read often, and kept in memory; of the others the list of files is kept.
KEPT = ("runs", "trials", "predictions", "landmarks")


class Snapshot(Reader):
    """A reader whose tables stay as they are when first read."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._known: dict[str, ds.Dataset] = {}

    def _dataset(self, name: str, is_checked: bool) -> ds.Dataset:
        import pyarrow.dataset as ds

        if name not in self._known or is_checked:
            data = super()._dataset(name, is_checked)
            self._known[name] = ds.dataset(data.to_table()) if name in KEPT else data
        return self._known[name]

    def _natively(self, query: str, named: Sequence[str]) -> pa.Table | None:
        return None

    def _one_run(self, name: str, run_id: str, columns: Sequence[str] | None = None) -> pa.Table | None:
        return None

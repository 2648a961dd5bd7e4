"""Processes that write, rewrite, remove and compact the parts of one store."""

from __future__ import annotations

import contextlib
import itertools
import random
from typing import Any

from raysurf.errors import StoreError
from raysurf.store.compaction import compact, remove_part
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support.stores import rows_of_version


def write_for_ever(root: str, name: str, counts: Any) -> None:
    """Write parts again and again; ``counts`` holds how often each was begun and how often done. Some are removed."""
    store, chance = Store(root), random.Random(name)
    for number in itertools.count():
        at = chance.randrange(len(counts) // 2)
        counts[2 * at] += 1
        part, version = f"{name}-{at}", counts[2 * at]
        if number % 17 == 0 and counts[2 * at + 1]:
            remove_part(store, "epochs", part)
        else:
            write_rows(store, "epochs", part, rows_of_version(part, version))
        counts[2 * at + 1] = version if number % 17 or not counts[2 * at + 1] else -version


def compact_for_ever(root: str, grace_s: float) -> None:
    """Compact again and again, as fast as it goes."""
    store = Store(root)
    while True:
        # Another process does it, or has done so while this one was held up.
        with contextlib.suppress(StoreError):
            compact(store, ["epochs"], grace_s=grace_s)

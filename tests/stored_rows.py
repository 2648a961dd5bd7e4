"""The rows of a store without what depends on the clock, to be compared with those of another run."""

from __future__ import annotations

import raysurf as rs

CLOCK = ("started_at", "wall_s", "device_s", "epoch_s", "point_s", "command")
TABLES = ("runs", "trials", "epochs", "predictions")


def stored_rows(uri: str, *tables: str) -> dict[str, list[str]]:
    """By table (these, or ``TABLES``) the rows of a store, in one order."""
    found = rs.results.open(uri)
    every = {table: found.table(table).to_pylist() for table in tables or TABLES}
    return {
        table: sorted(repr({k: v for k, v in row.items() if k not in CLOCK}) for row in each)
        for table, each in every.items()
    }

"""The store: files on a disk or bucket, leases, schemas, tables, compaction. It knows no job."""

from __future__ import annotations

from typing import Any

# A row of a table: values by column.
Row = dict[str, Any]

"""Rows of trials with searched values."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raysurf.results import Results, open
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from tests.support import stores

LARGE = 2**70


def write(root: Path, sweep: str, trial: int, params: dict[str, Any], **changes: Any) -> None:
    """A trial's row."""
    row = stores.trial(sweep, trial, params=json.dumps(params), run_ids=[f"sgd-{trial}"], metric="validation/nll")
    row |= {"mode": "min", "value": trial / 10, "started_at": datetime.now(UTC), **changes}
    part = re.sub(r"[^A-Za-z0-9]", "_", sweep)
    write_rows(Store(str(root)), "trials", f"{part}-{trial:06d}", [row])


def mixed(root: Path) -> Results:
    """A sweep with values of every type, a conditional one, a trial that runs and one that has failed."""
    write(root, "mixed", 1, {"lr": 0.5, "epochs": 3, "schedule": "cyclic", "schedule.cyclic.low": 0.1}, value=0.25)
    write(root, "mixed", 0, {"lr": 1, "epochs": 2, "schedule": "constant", "nesterov": True}, std=0.5)
    write(root, "mixed", 2, {"lr": 2.0, "epochs": 4, "schedule": "constant"}, state="running", value=None)
    write(root, "mixed", 3, {"lr": 2.5, "epochs": 4, "schedule": "constant"}, state="failed", value=None)
    write(root, "other", 0, {"width": LARGE, "state": "on", "lineage": [{"width": 1}]}, metric="", mode="", value=None)
    return open(str(root))

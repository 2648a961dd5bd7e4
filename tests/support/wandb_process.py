"""Runs what a test wants of W&B in a process of its own: the client reads its server's address but once."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from raysurf.results.api import open as open_results
from raysurf.store.store import Store
from raysurf.tracking.run_contents import wandb_id
from tests.support.processes import begin

COMMAND = """
from raysurf.cli.main import main
main()
"""


def command(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``raysurf`` with these variables, and none of W&B's that this process has."""
    return _run(COMMAND, environment, arguments)


def in_process(code: str, environment: Mapping[str, str], *arguments: str) -> str:
    """Run Python code with these variables, and none of W&B's that this process has; returns what it printed."""
    done = _run(code, environment, arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(code: str, environment: Mapping[str, str], arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    # No key of the user's is found, and nothing of W&B's is left behind.
    with tempfile.TemporaryDirectory(prefix="raysurf-home-", ignore_cleanup_errors=True) as home:
        child = begin(code, arguments, {**kept, "HOME": home, "NETRC": "none", **environment}, Path(home))
        child.join(300)
        said = [(Path(home) / name).read_text() for name in ("stdout", "stderr")]
    assert child.exitcode is not None, said
    return subprocess.CompletedProcess(arguments, child.exitcode, *said)


SWEEP = """
import sys
import raysurf as rs
from raysurf.cluster.events import Notice
from raysurf.cluster.listeners import WandbListener
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd

def tell(event):
    if isinstance(event, Notice):
        print(event.text)

base = tiny_sgd(seed=0)
swa = rs.SWA(start=base, epochs=2, cycle_epochs=1, schedule=rs.Constant(lr=0.05))
tree = swa.with_holes(**{"schedule.lr": rs.Float(0.01, 0.1, log=True)})
search = rs.Search(metric="validation/nll", trials=2, seed=0)
line = rs.Profile(along=rs.Line(start=base, end=swa), num_points=5)
sweep = rs.Sweep(tree, search, name="rates", baselines=(line,))
with WandbListener(Store(sys.argv[1]), "auto", tell, with_weights=True) as tracker:
    rs.run(sweep, sys.argv[1], executor="inline", listener=tracker)
print(tracker.notice)
"""


def ids(folder: Path, where: str) -> list[str]:
    rows = open_results(str(folder)).table("runs", where=where).to_pylist()
    return [wandb_id(Store(str(folder)), row["run_id"]) for row in rows]

"""Runs what a test wants of W&B in a process of its own: the client reads its server's address but once."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.processes import begin

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

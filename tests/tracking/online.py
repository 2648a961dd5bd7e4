"""Runs what a test wants of W&B in a process of its own: the client reads its server's address but once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from tests.cases import ROOT


def in_process(code: str, environment: Mapping[str, str], *arguments: str) -> str:
    """Run Python code with these variables, and none of W&B's that this process has; returns what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    home = {"HOME": arguments[0], "NETRC": "none"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=kept | home | dict(environment), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

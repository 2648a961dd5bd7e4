"""Runs what a test wants of W&B in a process of its own: the client reads its server's address but once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from tests.cases import ROOT


def command(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``raysurf`` with these variables, and none of W&B's that this process has."""
    return _run([sys.executable, "-m", "raysurf.cli.main", *arguments], environment)


def in_process(code: str, environment: Mapping[str, str], *arguments: str) -> str:
    """Run Python code with these variables, and none of W&B's that this process has; returns what it printed."""
    done = _run([sys.executable, "-c", code, *arguments], environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    # No key of the user's is found, and nothing of W&B's is left behind.
    with tempfile.TemporaryDirectory(prefix="raysurf-home-", ignore_cleanup_errors=True) as home:
        whole = {**kept, "HOME": home, "NETRC": "none", **environment}
        return subprocess.run(command, cwd=ROOT, env=whole, capture_output=True, text=True, check=False, timeout=300)

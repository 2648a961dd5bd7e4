"""``raysurf`` as a user types it: in this process, or in one of its own where that is what a test is about."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from raysurf.cli import main
from tests.support.cases import ROOT


def raysurf(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, without its end: exit code, stdout and stderr as ``main`` makes them."""
    command, before = ["raysurf", *arguments], Path.cwd()
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    os.chdir(cwd)
    try:
        with patch.object(sys, "argv", command), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main._run()
    finally:
        os.chdir(before)
    said = []
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(command, code, *said)


def raysurf_process(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process that has no W&B service of this one's."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_SERVICE")}
    command = [sys.executable, "-m", "raysurf.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=alone, check=False)

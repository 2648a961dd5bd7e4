"""``raysurf`` as a user types it: in this process, or in one of its own where that is what a test is about."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from raysurf.cli import main
from tests.support.cases import ROOT

QUICKSTART = f"{ROOT}/sweeps/quickstart.yaml"


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str


def raysurf(*arguments: str) -> Done:
    """Run a command in this process: one text as a shell would split it, several as they are."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    argv = patch.object(sys, "argv", _words(arguments))
    with argv, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main._run()
    return Done(code, _text(out), _text(err))


def raysurf_process(*arguments: str, cwd: Path = ROOT) -> Done:
    """Run a command in a process that has no W&B service of this one's."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_SERVICE")}
    command = [sys.executable, "-m", "raysurf.cli.main", *_words(arguments)[1:]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=alone, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def _words(arguments: tuple[str, ...]) -> list[str]:
    return ["raysurf", *(shlex.split(arguments[0]) if len(arguments) == 1 else arguments)]


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined, no-any-return]

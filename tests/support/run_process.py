"""``raysurf run`` in a process of its own that is disturbed while it runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

PATIENCE_S = 180.0


class Run:
    """A run that has begun: its process, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log

    @property
    def said(self) -> str:
        """Everything on stdout and stderr so far."""
        return self.log.read_text()

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for something that happens while it runs."""
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f"it ended with {self.process.returncode} before: {self.said}"
            assert time.monotonic() < until, f"it did not happen: {self.said}"
            time.sleep(0.02)

    def end(self) -> int:
        """Wait for its end; gives its exit code."""
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def raysurf_run(file: Path, uri: str, *options: str, before: Sequence[str] = ()) -> Iterator[Run]:
    """Run a file, with W&B off; what is left of it at the end of the block is killed."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_SERVICE")}
    run = [sys.executable, "-m", "raysurf.cli.main", "run", str(file), "--results", uri, "--wandb", "off"]
    log = file.parent / f"said{len(list(file.parent.glob('said*')))}"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*before, *run, *options],
            cwd=file.parent,
            env=alone,
            start_new_session=True,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield Run(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

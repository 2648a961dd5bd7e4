"""Processes of their own for tests, forked from one that has imported torch: they start in no time."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.support.cases import ROOT

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["raysurf.jobs.execute", "raysurf.cluster.launch", "optuna", "matplotlib.figure"])


def forked(act: Callable[..., None], *arguments: object) -> BaseProcess:
    """A new process that does something."""
    child = FORKS.Process(target=act, args=arguments)
    child.start()
    return child


def begin(code: str, arguments: tuple[str, ...], environment: Mapping[str, str], said: Path) -> BaseProcess:
    """Run Python code in a new process.

    Args:
        code: What is run, as by ``python -c``.
        arguments: What it finds in ``sys.argv``.
        environment: All of its variables.
        said: A folder for the files ``stdout`` and ``stderr``.
    """
    return forked(_run, code, arguments, dict(environment), str(said))


def _run(code: str, arguments: tuple[str, ...], environment: dict[str, str], said: str) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        with open(f"{said}/{name}", "wb") as file:
            os.dup2(file.fileno(), number)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *arguments]
    code_of_end = 0
    try:
        exec(compile(code, "<test>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        code_of_end = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code_of_end = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code_of_end)


def until(what: Callable[[], Any]) -> Any:
    """Wait until something is so."""
    for _ in range(6000):
        if answer := what():
            return answer
        time.sleep(0.01)
    raise AssertionError("it never came to be")

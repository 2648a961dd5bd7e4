"""A failure as the tables keep it: kind, class, message and place, taken from the exception where it is caught."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from raysurf.redaction import redact

# Kinds of failure, and their names in print.
KINDS = {
    "gpu_memory": "out of memory on the GPU",
    "cpu_memory": "out of memory on the CPU",
    "lost": "the process or its node was lost",
    "time_limit": "took longer than its time limit",
    "blocked": "blocked by a failed input",
    "diverged": "diverged",
    "mistake": "an invalid request",
    "user_code": "an error in your own code",
    "bug": "a bug",
}
# Kinds that may pass on another try.
PASSING = ("gpu_memory", "cpu_memory", "lost")

PACKAGE, STDLIB = Path(__file__).parent, Path(os.__file__).parent
INSTALLED = ("site-packages", "dist-packages")
# PyTorch raises a bare RuntimeError for some of these, and the system an OSError.
GPU_MEMORY = ("CUDA out of memory", "HIP out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
CPU_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory", "low on memory")
# Kinds of classes that are Python's or Ray's, which is not imported here; ours have an ``error_kind``.
OF_CLASS = {
    "MemoryError": "cpu_memory",
    "OutOfMemoryError": "cpu_memory",
    "LocalRayletDiedError": "lost",
    "NodeDiedError": "lost",
    "ObjectLostError": "lost",
    "RayActorError": "lost",
    "WorkerCrashedError": "lost",
    "WorkerGroupError": "lost",
}


@dataclass(frozen=True)
class Failure:
    """Why a run failed.

    Args:
        kind: One of ``KINDS``.
        error: The exception's class, without its module; empty if there was none.
        message: The exception's message.
        place: ``file:line`` of the innermost frame in raysurf's or the user's code; empty if there is none.
        line: Text in one line, where it is not that of the others.
    """

    kind: str
    error: str
    message: str
    place: str = ""
    line: str = field(default="", compare=False)

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure of an exception; for a surface with failed points, that of the first.

        Secrets are masked here, since only this process knows those of its environment.
        """
        said, (place, is_ours) = redact(message_of(error)), place_of(error.__traceback__)
        classes = [cls.__name__ for cls in type(error).__mro__]
        own = cls(kind_of(classes, said, is_ours, getattr(error, "error_kind", "")), classes[0], said, place)
        if isinstance(first := getattr(error, "failure", None), Failure):
            return replace(first, place=first.place or place, line=str(own))
        return own

    @classmethod
    def blocked(cls, run_id: str, why: Failure) -> Failure:
        """The failure of a run whose input failed."""
        return cls("blocked", "", f"its input {run_id} failed: {why}")

    @classmethod
    def lost(cls, error: BaseException | None, said: str) -> Failure:
        """The failure of a worker process that was killed, or whose node is gone."""
        kind = "cpu_memory" if error is not None and kind_of([type(error).__name__], said) == "cpu_memory" else "lost"
        return cls(kind, type(error).__name__ if error else "", f"the worker process was lost: {redact(said)}")

    @property
    def columns(self) -> dict[str, Any]:
        """Its columns in ``runs`` and ``trials``."""
        return {
            "error": redact(str(self)),
            "error_kind": self.kind,
            "error_class": self.error,
            "error_message": redact(self.message),
            "error_place": self.place,
        }

    def __str__(self) -> str:
        if self.line:
            return self.line
        said = f"{self.error}: {self.message}" if self.error else self.message
        return f"{said} ({self.place})" if self.place else said


def message_of(error: BaseException) -> str:
    """An exception's message; a note if its ``__str__`` raises."""
    try:
        return str(error)
    except Exception:
        return "<its text cannot be had>"


def kind_of(classes: Iterable[str], message: str, is_ours: bool = True, own: str = "") -> str:
    """The kind of failure of an exception, one of ``KINDS``.

    Args:
        classes: Names of its classes, from its own to the root's.
        message: Its message.
        is_ours: Whether raysurf or a library raised it, rather than the user's code.
        own: Its ``error_kind``, which classes of raysurf's have; another's counts if it is one of ``KINDS``.
    """
    if any(words in message for words in GPU_MEMORY):
        return "gpu_memory"
    if any(words in message for words in CPU_MEMORY):
        return "cpu_memory"
    named = next((OF_CLASS[name] for name in classes if name in OF_CLASS), "")
    return (own if own in tuple(KINDS) else named) or ("bug" if is_ours else "user_code")


def place_of(trace: TracebackType | None) -> tuple[str, bool]:
    """``file:line`` of the innermost frame in raysurf's or the user's code, and whether raysurf or a library raised."""
    for frame, line in reversed(list(traceback.walk_tb(trace))):
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(PACKAGE):
            return f"raysurf/{file.relative_to(PACKAGE).as_posix()}:{line}", True
        if not str(file).startswith("<") and not is_installed(file):
            return f"{file}:{line}", False
    return "", True


def is_installed(path: Path) -> bool:
    """Whether a file belongs to an installed package, Python or raysurf."""
    return not {*path.parts}.isdisjoint(INSTALLED) or any(path.is_relative_to(folder) for folder in (PACKAGE, STDLIB))

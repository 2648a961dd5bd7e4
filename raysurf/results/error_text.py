"""What the text of an error says: its class and message, the line that raised it, and what kind of failure it is."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass

from raysurf.errors import message_of
from raysurf.redaction import redact

# Kinds of failure, and what each is called in print.
KINDS = {
    "gpu_memory": "out of memory on the GPU",
    "cpu_memory": "out of memory on the CPU",
    "lost": "the process or its node was lost",
    "time_limit": "took longer than its time limit",
    "blocked": "blocked by a failed input",
    "diverged": "diverged",
    "mistake": "cannot be done as it was asked for",
    "user_code": "an error in your own code",
    "bug": "a bug",
}
# What another try may do away with.
PASSING = ("gpu_memory", "cpu_memory", "lost")
BLOCKED, LOST = "its input ", "the worker process was lost: "

TRACEBACK = "Traceback (most recent call last):"
FRAME = re.compile(r'\s+File "(?P<file>.+)", line (?P<line>\d+)')
ERROR = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$", re.DOTALL)
PLACED = re.compile(r"(?P<text>.*) \((?P<file>[^\s()]+\.py):(?P<line>\d+)\)$", re.DOTALL)
FIRST_POINT = re.compile(r"the first: (?P<point>point \d+): (?P<rest>.*)$", re.DOTALL)
LIBRARY = re.compile(r"/(site|dist)-packages/|/lib/python3[\d.]*/|^<")
ROOMS = "cli|cluster|data|jobs|models|report|results|stochastic|sweep|tracking|training|weightspace"
OURS = re.compile(rf"/(?P<path>raysurf/({ROOMS})/.*)$")

MISTAKES = (
    "AverageError",
    "DataError",
    "DegenerateError",
    "OutputError",
    "PointMismatchError",
    "ResourceError",
    "SpecError",
    "StoreError",
    "UnknownNameError",
    "UnsupportedLayerError",
)
LOST_ERRORS = (
    "ActorDiedError",
    "ActorUnavailableError",
    "LocalRayletDiedError",
    "NodeDiedError",
    "ObjectLostError",
    "OwnerDiedError",
    "PreemptedError",
    "RayActorError",
    "WorkerCrashedError",
    "WorkerGroupError",
)
GPU_MEMORY = ("CUDA out of memory", "HIP out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
CPU_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory", "low on memory")


@dataclass(frozen=True)
class ErrorText:
    """An error, as far as its text tells.

    Args:
        error: The exception's class, without its module; empty if the text names none.
        message: What it says.
        place: ``file:line`` of the innermost frame in raysurf's or the user's code; empty if there is none.
        is_ours: Whether that line is raysurf's.
    """

    error: str
    message: str
    place: str = ""
    is_ours: bool = True

    @property
    def kind(self) -> str:
        """The kind of failure, one of ``KINDS``."""
        return kind_of(self.error, self.message, self.is_ours or not self.place)


def kind_of(error: str, message: str, is_ours: bool = True) -> str:
    """What kind of failure an exception is, one of ``KINDS``.

    Args:
        error: Its class, without the module.
        message: What it says.
        is_ours: Whether it came from raysurf's lines or a library's, rather than from the user's.
    """
    if message.startswith(BLOCKED):
        return "blocked"
    if any(said in message for said in GPU_MEMORY):
        return "gpu_memory"
    if error in ("MemoryError", "OutOfMemoryError") or any(said in message for said in CPU_MEMORY):
        return "cpu_memory"
    if error == "TimeLimitError":
        return "time_limit"
    if error in LOST_ERRORS or message.startswith(LOST):
        return "lost"
    if error == "DivergedError" or (error == "ArithmeticError" and message.startswith("not finite")):
        return "diverged"
    if error in MISTAKES:
        return "mistake"
    return "bug" if is_ours else "user_code"


def read(text: str) -> ErrorText:
    """Read an error: a traceback of Python's, or a line as trials have it (``Class: message (file.py:12)``).

    Of a surface whose points failed it is the first point's error that counts.
    """
    _, mark, last = text.rpartition(TRACEBACK)
    found = _of_traceback(last) if mark else _of_line(text.strip())
    if found.error == "MeasuringError" and (first := FIRST_POINT.search(found.message)):
        inner = _of_line(first["rest"].strip())
        where = inner if inner.place else found
        message = f"{inner.message} (at {first['point']})"
        return ErrorText(inner.error, message, where.place, where.is_ours)
    return found


def one_line(error: BaseException) -> str:
    """An exception as ``Class: message (file.py:12)``, the line being the innermost of raysurf's or the user's code.

    Secrets are starred, since only this process knows those of its environment.
    """
    place, _ = _place("".join(traceback.format_tb(error.__traceback__)))
    return redact(f"{type(error).__name__}: {message_of(error)}") + (f" ({place})" if place else "")


def _of_traceback(block: str) -> ErrorText:
    lines = block.strip("\n").splitlines()
    at = next((i for i, line in enumerate(lines) if line and not line[0].isspace()), len(lines))
    found = ERROR.match("\n".join(lines[at:]).strip())
    where, is_ours = _place(block)
    if found is None:
        return ErrorText("", "\n".join(lines[at:]).strip(), where, is_ours)
    return ErrorText(found["name"].rpartition(".")[2], found["message"] or "", where, is_ours)


def _place(block: str) -> tuple[str, bool]:
    """The innermost line of our or the user's code in a traceback, and whether it is ours."""
    for frame in reversed(list(FRAME.finditer(block))):
        file, line = frame["file"], frame["line"]
        if ours := OURS.search(file):
            return f"{ours['path']}:{line}", True
        if not LIBRARY.search(file):
            return f"{file}:{line}", False
    return "", True


def _of_line(text: str) -> ErrorText:
    place, is_ours = "", True
    if text.startswith((BLOCKED, LOST)):
        return ErrorText("", text)
    if placed := PLACED.match(text):
        text, place = placed["text"], f"{placed['file']}:{placed['line']}"
        is_ours = place.startswith("raysurf/")
    found = ERROR.match(text)
    if found is None or found["message"] is None or not found["name"].rpartition(".")[2][:1].isupper():
        return ErrorText("", text, place, is_ours)
    return ErrorText(found["name"].rpartition(".")[2], found["message"], place, is_ours)

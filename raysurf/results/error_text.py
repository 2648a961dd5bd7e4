"""Failures in rows of ``runs`` and ``trials``; those of older versions are parsed from the text of the error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from raysurf import errors
from raysurf.failure import KINDS, Failure, kind_of

TRACEBACK = "Traceback (most recent call last):"
FRAME = re.compile(r'\s+File "(?P<file>.+)", line (?P<line>\d+)')
ERROR = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?:: (?P<message>.*))?$", re.DOTALL)
PLACED = re.compile(r"(?P<text>.*) \((?P<file>[^\s()]+\.py):(?P<line>\d+)\)$", re.DOTALL)
FIRST_POINT = re.compile(r"the first: (?P<point>point \d+): (?P<rest>.*)$", re.DOTALL)
LIBRARY = re.compile(r"/(site|dist)-packages/|/lib/python3[\d.]*/|^<")
# The folders of those versions.
OURS = re.compile(
    r"/(?P<path>raysurf/"
    r"(cli|cluster|data|jobs|models|report|results|stochastic|sweep|tracking|training|weightspace)/.*)$"
)
# What a line begins with that has no class.
UNNAMED = {"its input ": "blocked", "the worker process was lost: ": "lost"}
# Subclasses of what ``failure.OF_CLASS`` names.
LOST = ("ActorDiedError", "ActorUnavailableError", "OwnerDiedError")


def failure_in(row: Mapping[str, Any]) -> Failure:
    """The failure of a failed row."""
    if row.get("error_kind") not in KINDS:
        return read(row["error"] or "")
    return Failure(*(row[f"error_{name}"] or "" for name in ("kind", "class", "message", "place")))


def read(text: str) -> Failure:
    """Parse the text of an error: a Python traceback, or a line as in ``trials`` (``Class: message (file.py:12)``).

    For a surface with failed points, it is the error of the first.
    """
    _, mark, last = text.rpartition(TRACEBACK)
    failure = _of_traceback(last) if mark else _of_line(text.strip())
    if failure.error == "MeasuringError" and (first := FIRST_POINT.search(failure.message)):
        inner = _of_line(first["rest"].strip())
        where = inner if inner.place else failure
        return _failure(inner.error, f"{inner.message} (at {first['point']})", where.place)
    return failure


def _failure(name: str, message: str, place: str) -> Failure:
    """A failure whose kind is that of a class by its name, of the message and of where it was raised."""
    unnamed = next((kind for begin, kind in UNNAMED.items() if message.startswith(begin)), "")
    if unnamed == "blocked":
        return Failure(unnamed, name, message, place)
    own = getattr(getattr(errors, name, None), "error_kind", "")
    if name == "ArithmeticError" and message.startswith("not finite"):
        own = errors.NotFiniteError.error_kind
    is_ours = not place or place.startswith("raysurf/")
    classes = ["RayActorError"] if name in LOST else [name]
    return Failure(kind_of(classes, message, is_ours, own or unnamed), name, message, place)


def _of_traceback(block: str) -> Failure:
    lines = block.strip("\n").splitlines()
    at = next((i for i, line in enumerate(lines) if line and not line[0].isspace()), len(lines))
    said, place = "\n".join(lines[at:]).strip(), _place(block)
    match = ERROR.match(said)
    if match is None:
        return _failure("", said, place)
    return _failure(match["name"].rpartition(".")[2], match["message"] or "", place)


def _place(block: str) -> str:
    """The innermost line of our or the user's code in a traceback."""
    for frame in reversed(list(FRAME.finditer(block))):
        if ours := OURS.search(frame["file"]):
            return f"{ours['path']}:{frame['line']}"
        if not LIBRARY.search(frame["file"]):
            return f"{frame['file']}:{frame['line']}"
    return ""


def _of_line(text: str) -> Failure:
    place = ""
    if text.startswith(tuple(UNNAMED)):
        return _failure("", text, place)
    if placed := PLACED.match(text):
        text, place = placed["text"], f"{placed['file']}:{placed['line']}"
    match = ERROR.match(text)
    if match is None or match["message"] is None or not match["name"].rpartition(".")[2][:1].isupper():
        return _failure("", text, place)
    return _failure(match["name"].rpartition(".")[2], match["message"], place)

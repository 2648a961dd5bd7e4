"""What is read out of the text of an error."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from raysurf.errors import MeasuringError
from raysurf.results.error_text import KINDS, ErrorText, kind_of, one_line, read

OURS = '  File "/opt/env/lib/python3.11/site-packages/raysurf/training/loop.py", line 166, in fit\n    fail()\n'
TORCH = '  File "/opt/env/lib/python3.11/site-packages/torch/nn/modules/linear.py", line 125, in forward\n    f(x)\n'
USERS = '  File "/home/ada/nets.py", line 12, in forward\n    x.view(3)\n'
HEAD = "Traceback (most recent call last):\n"
MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79.1 GiB\n"


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (
            f"{HEAD}{OURS}raysurf.errors.DivergedError: the loss is not finite\n",
            "diverged",
            ErrorText("DivergedError", "the loss is not finite", "raysurf/training/loop.py:166", True),
        ),
        (
            f"{HEAD}{OURS}{USERS}{TORCH}RuntimeError: shape '[3]' is invalid:\n  for input\n",
            "user_code",
            ErrorText("RuntimeError", "shape '[3]' is invalid:\n  for input", "/home/ada/nets.py:12", False),
        ),
        (
            f"{HEAD}{USERS}KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n"
            f"{HEAD}{OURS}{TORCH}AssertionError\n",
            "bug",
            ErrorText("AssertionError", "", "raysurf/training/loop.py:166", True),
        ),
        (f"{HEAD}{USERS}{TORCH}{MEMORY}", "gpu_memory", None),
        (f"{HEAD}{OURS}RuntimeError: DefaultCPUAllocator: can't allocate memory: 8 bytes\n", "cpu_memory", None),
        (f"{HEAD}{OURS}MemoryError\n", "cpu_memory", ErrorText("MemoryError", "", "raysurf/training/loop.py:166")),
        (f"{HEAD}{OURS}raysurf.errors.DataError: data 'mnist': got nothing\n", "mistake", None),
        (f"{HEAD}{OURS}ArithmeticError: not finite: test/nll\n", "diverged", None),
        (
            "KeyError: 'a: b' (/home/ada/nets.py:12)",
            "user_code",
            ErrorText("KeyError", "'a: b'", "/home/ada/nets.py:12", False),
        ),
        ("SpecError: job.lr: got 0; expected more", "mistake", ErrorText("SpecError", "job.lr: got 0; expected more")),
        (
            "OutputError: network: got 3; expected 4 (raysurf/training/logits.py:69)",
            "mistake",
            ErrorText("OutputError", "network: got 3; expected 4", "raysurf/training/logits.py:69"),
        ),
        ("the worker process was lost: The actor died.", "lost", None),
        ("its input sgd-01 failed: DivergedError: the loss", "blocked", None),
        ("WorkerGroupError: Training failed due to worker errors", "lost", None),
        ("something odd", "bug", ErrorText("", "something odd")),
        ("", "bug", ErrorText("", "")),
    ],
)
def test_class_line_and_kind_are_read(text: str, kind: str, expected: ErrorText | None) -> None:
    """Class, message and the innermost line outside libraries are found, and what kind of failure it is."""
    found = read(text)
    assert found.kind == kind
    assert found.kind in KINDS
    assert expected is None or found == expected


def test_an_exception_is_read_as_it_was_written() -> None:
    """The line of an exception, and its whole traceback, are read as the same thing."""
    try:
        raise ZeroDivisionError("no (way:3)")
    except ZeroDivisionError as error:
        whole, line = "".join(traceback.format_exception(error)), one_line(error)
    assert read(line) == read(whole)
    assert read(line).message == "no (way:3)"
    assert Path(read(line).place.rpartition(":")[0]) == Path(__file__)


def test_points_that_failed_say_why() -> None:
    """Of a surface whose points failed the first point's error counts, from a line and from a traceback."""
    first = "point 3: RuntimeError: CUDA out of memory (raysurf/training/evaluation.py:40)"
    error = MeasuringError(2, 441, first)
    expected = ErrorText("RuntimeError", "CUDA out of memory (at point 3)", "raysurf/training/evaluation.py:40")
    assert read(one_line(error)) == expected
    assert read(f"{HEAD}{OURS}raysurf.errors.MeasuringError: {error}\n") == expected
    assert expected.kind == kind_of("MeasuringError", str(error)) == "gpu_memory"

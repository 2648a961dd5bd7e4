"""What is read out of the text of an error."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from raysurf.errors import MeasuringError
from raysurf.failure import KINDS, Failure
from raysurf.results.error_text import failure_in, read

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
            ("DivergedError", "the loss is not finite", "raysurf/training/loop.py:166"),
        ),
        (
            f"{HEAD}{OURS}{USERS}{TORCH}RuntimeError: shape '[3]' is invalid:\n  for input\n",
            "user_code",
            ("RuntimeError", "shape '[3]' is invalid:\n  for input", "/home/ada/nets.py:12"),
        ),
        (
            f"{HEAD}{USERS}KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n"
            f"{HEAD}{OURS}{TORCH}AssertionError\n",
            "bug",
            ("AssertionError", "", "raysurf/training/loop.py:166"),
        ),
        (f"{HEAD}{USERS}{TORCH}{MEMORY}", "gpu_memory", None),
        (f"{HEAD}{OURS}RuntimeError: DefaultCPUAllocator: can't allocate memory: 8 bytes\n", "cpu_memory", None),
        (f"{HEAD}{OURS}MemoryError\n", "cpu_memory", ("MemoryError", "", "raysurf/training/loop.py:166")),
        (f"{HEAD}{OURS}raysurf.errors.DataError: data 'mnist': got nothing\n", "mistake", None),
        (f"{HEAD}{OURS}ArithmeticError: not finite: test/nll\n", "diverged", None),
        ("KeyError: 'a: b' (/home/ada/nets.py:12)", "user_code", ("KeyError", "'a: b'", "/home/ada/nets.py:12")),
        ("SpecError: job.lr: got 0; expected more", "mistake", ("SpecError", "job.lr: got 0; expected more")),
        (
            "OutputError: network: got 3; expected 4 (raysurf/training/logits.py:69)",
            "mistake",
            ("OutputError", "network: got 3; expected 4", "raysurf/training/logits.py:69"),
        ),
        ("the worker process was lost: The actor died.", "lost", None),
        ("its input sgd-01 failed: DivergedError: the loss", "blocked", None),
        ("WorkerGroupError: Training failed due to worker errors", "lost", None),
        ("something odd", "bug", ("", "something odd")),
        ("", "bug", ("", "")),
    ],
)
def test_class_line_and_kind_are_read(text: str, kind: str, expected: tuple[str, ...] | None) -> None:
    """Class, message and the innermost line outside libraries are found, and what kind of failure it is."""
    failure = failure_in({"error": text, "error_kind": None})
    assert failure.kind == kind
    assert failure.kind in KINDS
    assert expected is None or failure == Failure(kind, *expected)


def test_an_exception_is_read_as_it_was_written() -> None:
    """An exception, its line and its whole traceback are the same failure."""
    try:
        raise ZeroDivisionError("no (way:3)")
    except ZeroDivisionError as error:
        whole, failure = "".join(traceback.format_exception(error)), Failure.of(error)
    assert failure == read(whole) == read(str(failure))
    assert (failure.kind, failure.message) == ("user_code", "no (way:3)")
    assert Path(failure.place.rpartition(":")[0]) == Path(__file__)


def test_points_that_failed_say_why() -> None:
    """Of a surface whose points failed the first point's error counts, from a line and from a traceback."""
    place = "raysurf/training/evaluation.py:40"
    error = MeasuringError(2, 441, 3, Failure("gpu_memory", "RuntimeError", "CUDA out of memory", place))
    expected = Failure("gpu_memory", "RuntimeError", "CUDA out of memory (at point 3)", place)
    assert Failure.of(error) == expected
    assert str(Failure.of(error)) == f"MeasuringError: {error}"
    assert read(f"MeasuringError: {error}") == expected
    assert read(f"{HEAD}{OURS}raysurf.errors.MeasuringError: {error}\n") == expected

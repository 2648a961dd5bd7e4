"""What is taken from an exception where it is caught."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import ray.exceptions
import torch

from raysurf import errors
from raysurf.failure import KINDS, Failure, kind_of
from raysurf.jobs.parse import parse_job


def raised(act: Callable[[], object]) -> Failure:
    """The failure that a function ends in, as it is after it was sent to another process."""
    try:
        act()
    except Exception as error:
        failure: Failure = pickle.loads(pickle.dumps(Failure.of(error)))
        return failure
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("act", "kind", "name", "file"),
    [
        (lambda: {}["layer7"], "user_code", "KeyError", __file__),
        (lambda: json.loads("{"), "user_code", "JSONDecodeError", __file__),
        (lambda: torch.zeros(2) @ torch.zeros(3), "user_code", "RuntimeError", __file__),
        (lambda: kind_of(["A"], None), "bug", "TypeError", "raysurf/failure.py"),  # type: ignore[arg-type]
        (lambda: parse_job({"kind": "sgd"}), "mistake", "SpecError", "raysurf/jobs/parse.py"),
        (lambda: np.empty(1 << 55), "cpu_memory", "MemoryError", __file__),
        (lambda: torch.empty(1 << 55), "cpu_memory", "RuntimeError", __file__),
    ],
    ids=["own code", "library called", "PyTorch called", "bug", "mistake", "NumPy memory", "PyTorch memory"],
)
def test_class_kind_and_place_are_the_exceptions(act: Callable[[], object], kind: str, name: str, file: str) -> None:
    """The place is the innermost line that is no library's, and whose it is tells a bug from an error of the user's."""
    failure = raised(act)
    assert (failure.kind, failure.error, failure.place.rpartition(":")[0]) == (kind, name, file)
    assert failure.message
    assert str(failure).startswith(f"{name}: ") and str(failure).endswith(f" ({failure.place})")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ray.exceptions.ActorDiedError(), "lost"),
        (ray.exceptions.ActorUnavailableError("it is away", None), "lost"),
        (ray.exceptions.OwnerDiedError("00" * 28, "127.0.0.1", ""), "lost"),
        (ray.exceptions.NodeDiedError("it was drained"), "lost"),
        (ray.exceptions.WorkerCrashedError(), "lost"),
        (ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory."), "cpu_memory"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_a_lost_worker_is_of_rays_classes(error: Exception, kind: str) -> None:
    """What Ray raises for a process that is gone is one kind, by its base classes; running out of memory is another."""
    name = type(error).__name__
    assert (Failure.of(error).kind, Failure.of(error).error) == (kind, name)
    lost = Failure.lost(error, str(error))
    assert (lost.kind, lost.error) == (kind, name)
    assert lost.message.startswith("the worker process was lost: ")


def test_a_worker_killed_for_memory_has_run_out_of_it() -> None:
    """Ray tells why it killed an actor in the message of what it raises for any that died."""
    failure = Failure.lost(ray.exceptions.ActorDiedError(), "The actor died: the node was running low on memory.")
    assert (failure.kind, failure.error) == ("cpu_memory", "ActorDiedError")


class Odd(Exception):
    """An exception of the user's whose attribute is called as one of ours."""

    def __init__(self, error_kind: object) -> None:
        self.error_kind = error_kind


@pytest.mark.parametrize(("said", "kind"), [("diverged", "diverged"), (5, "user_code"), ({}, "user_code")])
def test_an_exception_of_the_users_may_say_its_kind(said: object, kind: str) -> None:
    """One of the kinds is taken as said; what is none of them does no harm."""

    def fails() -> None:
        raise Odd(said)

    assert raised(fails).kind == kind


def test_every_error_of_ours_says_its_kind() -> None:
    """Each class of ours has a kind of failure."""
    classes = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.RaysurfError)]
    assert {cls.error_kind for cls in classes} == {"mistake", "diverged", "lost", "time_limit"} < set(KINDS)
    assert Failure.of(errors.TimeLimitError(1.0, "after 2 of 3")).kind == "time_limit"


def test_the_place_in_an_installed_package_is_none_of_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module under site-packages is a library, though its folder is called as ours are."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "jobs_of_a_library.py").write_text("def fails():\n    raise OSError('no answer')\n")
    monkeypatch.syspath_prepend(folder)
    import jobs_of_a_library  # type: ignore[import-not-found]

    assert raised(jobs_of_a_library.fails).place.rpartition(":")[0] == __file__

"""Errors cross processes whole, and say what to do."""

from __future__ import annotations

import pickle

import pytest

from raysurf import errors
from raysurf.failure import Failure

EVERY = [
    errors.SpecError([errors.Fault("job.lr", "'x'", "a number", "hint", "a.yaml", 3)]),
    errors.UnknownNameError("model", "vgg61", ["vgg16", "lenet5"]),
    errors.MissingPackageError("torch", "raysurf run", ".[run]"),
    errors.PointMismatchError("a", "b"),
    errors.OutputError("outputs [2, 7]", "[2, 10]"),
    errors.AverageError("no members", "update()"),
    errors.DataError("mnist", "nothing", "files"),
    errors.StoreError("results", "a file", "a folder"),
    errors.NothingComparedError("results", "no finished run", "one"),
    errors.StoreUnavailableError("results", "a full disk", "room"),
    errors.ResourceError("4 CPUs", "2 CPUs"),
    errors.ClusterError("http://127.0.0.1:8265", "no answer", "a running cluster"),
    errors.SubmissionError("a relative path", "an absolute one"),
    errors.TrackingError("no key", "a key"),
    errors.JobFailedError("sgd-0123456789abcdef", "DivergedError: the loss is not finite", "results"),
    errors.DivergedError(2.0, 1.5, 40),
    errors.TimeLimitError(60.0, "after 3 of 9 of sgd-0123456789abcdef"),
    errors.ChangedError("sgd-0123456789abcdef", [("its data", "0123", "4567")]),
    errors.PreemptedError("in epoch 2, after step 40"),
    errors.DegenerateError("plane", "three weights on one line", "a third that is further off"),
    errors.NotFiniteError(["test/nll"]),
    errors.MeasuringError(2, 441, 3, Failure("bug", "RuntimeError", "no way", "raysurf/jobs/network.py:3")),
    errors.UnsupportedLayerError("LSTM"),
    errors.StoreWarning("tables/runs/a.parquet is left out: cut short"),
    errors.PlugWarning("left out plug 'polynomial' of curves 1.0 (raysurf.schedules)"),
]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_error_pickles(error: errors.RaysurfError) -> None:
    """An error that was pickled says the same as before."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error) != ""


def test_every_error_is_tried() -> None:
    """The list above has every class of the file."""
    classes = {cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.RaysurfError)}
    roots = {errors.RaysurfError, errors.Refusal, errors.NamedRefusal, errors.LeftOutWarning}
    assert classes - roots == {type(error) for error in EVERY}


def test_nearest_name_is_suggested() -> None:
    """An unknown name is answered with the nearest known one, a strange one with none."""
    assert "did you mean 'vgg16'?" in str(EVERY[1])
    assert "did you mean" not in str(errors.UnknownNameError("model", "zzzz", ["vgg16"]))

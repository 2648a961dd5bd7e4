"""What a program is told: values that are wrong, jobs that fail, and what a run came to."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import raysurf as rs
from raysurf.errors import JobFailedError, SpecError
from tests.support.cases import tiny_sgd


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: tiny_sgd(model=nn.Linear(2, 2)), "SGD.model: got Linear(in_features=2, out_features=2, bias=True); "),
        (lambda: tiny_sgd(model=nn.Linear(2, 2)), "or a mapping of name, options"),
        (lambda: tiny_sgd(data=3), "SGD.data: got 3; expected a name, such as digits or cifar10"),
        (lambda: tiny_sgd(momentom=0.5), "SGD.momentom: got an unknown key; expected one of seed, "),
        (lambda: tiny_sgd(momentom=0.5), "(did you mean 'momentum'?)"),
        (lambda: tiny_sgd(lr="0.1"), "SGD.lr: got '0.1'; expected a valid number"),
        (lambda: rs.SWA(start=3, epochs=1), "SWA.start: got 3; expected a mapping with kind: one of sgd"),  # type: ignore[arg-type]
        (lambda: rs.SWA(start=tiny_sgd(), lr=0.1), "SWA: got "),
        (lambda: rs.Search(metric="train/nll", trails=3), "(did you mean 'trials'?)"),  # type: ignore[call-arg]
        (lambda: rs.Constant(lr=-0.1), "Constant.lr: got -0.1; expected greater than 0"),
    ],
)
def test_wrong_values_are_told_in_our_words(make: Callable[[], Any], said: str) -> None:
    """What YAML would be told is what Python is told: what was got, what was expected, and the nearest name."""
    with pytest.raises(SpecError) as caught:
        make()
    assert said in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).faults == caught.value.faults


def test_a_job_that_fails_raises(tmp_path: Path) -> None:
    """A job that a program runs raises what went wrong, of itself or of its input, each time that it is asked for."""
    diverges = tiny_sgd(lr=1e9)
    for job in (diverges, diverges, rs.SWA(start=diverges, epochs=1, lr=0.1)):
        with pytest.raises(JobFailedError, match="DivergedError: the loss is not finite") as caught:
            rs.run(job, str(tmp_path))
        assert str(caught.value).startswith(f"{job.id} failed: ")
        assert f"raysurf why --results {tmp_path}" in str(caught.value)


def test_what_fails_of_a_sweep_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sweep with a failed trial goes on, says so on stderr unless somebody listens, and counts inputs apart."""
    job = rs.SWA(start=tiny_sgd(seed=0, epochs=1), epochs=1, lr=0.1).with_holes(lr=rs.Each((0.1, 1e9)))
    finished = rs.run(rs.Sweep(job, name="half"), str(tmp_path), executor="inline")
    assert (finished.trials, finished.inputs, finished.failed, finished.done) == (2, 1, 1, 2)
    assert "half trial 1 failed: DivergedError" in capsys.readouterr().err
    rs.run(rs.Sweep(job, name="half"), str(tmp_path), executor="inline", listener=lambda event: None)
    assert capsys.readouterr().err == ""

"""Which runs a picture shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysurf.errors import StoreError, UnknownNameError
from raysurf.report.draw import KINDS
from raysurf.report.runs import choose
from raysurf.results.api import Results
from tests.support.measured_rows import along, points, run, run_id, store, trial
from tests.support.noisy_rows import prediction


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Three profiles, of which one is of another sweep and one still runs, and a plane."""
    profiles = [run_id("profile", i) for i in (0x1A, 0x2B, 0x3C)]
    plane = run_id("plane", 1)
    runs = [run(profiles[0]), run(profiles[1], sweep="other"), run(plane), run(run_id("sgd"))]
    surface = [row for name in profiles for row in points(name, "curve", along(3, 1.0), lambda place: 1.0)]
    surface += points(plane, "plane", [{"x": 0.0, "y": 0.0}], lambda place: 1.0)
    return store(tmp_path, runs, surface, trials=[trial("live", [profiles[2], profiles[0]])])


@pytest.mark.parametrize(
    ("sweeps", "given", "numbers"),
    [
        ([], [], [0x1A, 0x2B, 0x3C]),
        (["study"], [], [0x1A]),
        (["live"], [], [0x1A, 0x3C]),
        ([], ["profile-002b"], [0x2B]),
        ([], ["002b"], [0x2B]),
        (["study"], [run_id("profile", 0x3C)], [0x1A, 0x3C]),
    ],
)
def test_choice(results: Results, sweeps: list[str], given: list[str], numbers: list[int]) -> None:
    """All of a kind by default; a sweep's own, reused and running ones; runs by the beginning of their id or digits."""
    chosen = [run.run_id for run in choose(results, KINDS["profile"].wanted, sweeps, given)]
    assert sorted(chosen) == [run_id("profile", number) for number in numbers]


def test_a_running_run_tells_what_is_known(results: Results) -> None:
    """A run without a row of ``runs`` has its kind and its sweep."""
    (running,) = choose(results, KINDS["profile"].wanted, run_ids=["003c"])
    assert (running.kind, running.sweeps, running.spec) == ("profile", ("live",), {})


@pytest.mark.parametrize(
    ("picture", "sweeps", "given", "error", "said"),
    [
        ("profile", ["stduy"], [], UnknownNameError, "one of live, other, study .did you mean 'study'"),
        (
            "profile",
            [],
            ["profile-9"],
            StoreError,
            "no measured run 'profile-9'; expected one profile run of profile-00",
        ),
        ("profile", [], ["00"], StoreError, "'00', which begins 3 runs"),
        ("profile", [], ["plane-0001"], StoreError, "plane-0001000000000000, a plane run"),
        ("plane", ["other"], [], StoreError, "no measured points of a plane run in other"),
        ("width", [], [], StoreError, "measured so far: plane, profile"),
        (
            "schemes",
            [],
            [],
            StoreError,
            "no predictions of an ensemble; expected a sweep of variational, fge or predict",
        ),
        ("schemes", [], ["sgd"], StoreError, "expected one run with predictions of an ensemble of .none yet"),
        ("toy", ["study"], [], StoreError, "no inputs of a regions run in study; .* .measured so far: nothing"),
    ],
)
def test_mistakes_name_what_there_is(
    results: Results, picture: str, sweeps: list[str], given: list[str], error: type[Exception], said: str
) -> None:
    """A name that is not there is one error that names those that are."""
    with pytest.raises(error, match=said):
        choose(results, KINDS[picture].wanted, sweeps, given)


def test_a_picture_says_which_table_its_runs_have_rows_in(tmp_path: Path) -> None:
    """Any kind of job may have an ensemble; a condition on rows leaves out runs that have none that meet it."""
    ensembles, alone = [run_id("fge"), run_id("variational")], run_id("sgd")
    predictions = [prediction(name, "ensemble", 2, 0.9, 0.3) for name in ensembles]
    predictions.append(prediction(alone, "deterministic", 1, 0.9, 0.3))
    results = store(
        tmp_path, [run(name, group=f"{name}-group") for name in [*ensembles, alone]], predictions=predictions
    )
    chosen = choose(results, KINDS["schemes"].wanted)
    assert {run.run_id for run in chosen} == set(ensembles)
    assert chosen[0].group == f"{chosen[0].run_id}-group"

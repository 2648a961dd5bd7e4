"""What runs are called in pictures."""

from __future__ import annotations

from typing import Any

import pytest

from raysurf.report.labels import differing, ends_of, labels_of, noise_name, weights_name, what_it_is
from raysurf.report.runs import MeasuredRun
from tests.support.measured_rows import OTHER, SGD, SWA, run_id
from tests.support.noisy_rows import DROPOUT, VARIANCE


def measured(
    number: int = 0, along: dict[str, Any] | None = None, kind: str = "profile", **columns: Any
) -> MeasuredRun:
    spec = {"kind": kind, **({"along": along} if along else {})}
    return MeasuredRun(run_id(kind, number), spec=spec, **columns)


@pytest.mark.parametrize(
    ("measured_run", "label"),
    [
        (measured(along={"kind": "curve"}), "bezier curve, 1 bend"),
        (measured(along={"kind": "curve", "shape": "polygonal", "num_bends": 2}), "polygonal curve, 2 bends"),
        (measured(along={"kind": "line"}), "straight line"),
        (measured(along={"kind": "path"}), "minimum-energy path"),
        (measured(along={"kind": "chain", "weights": [SGD, SWA, OTHER]}), "chain of 3"),
        (measured(kind="path"), "minimum-energy path"),
        (MeasuredRun(run_id("profile")), "profile"),
        (MeasuredRun(run_id("variational"), spec=VARIANCE), "variance network"),
        (MeasuredRun(run_id("noise"), spec={"kind": "noise", "weights": DROPOUT}), "dropout"),
        (MeasuredRun(run_id("regions"), spec={"kind": "regions", "weights": VARIANCE}), "variance network"),
        (MeasuredRun(run_id("predict"), spec={"kind": "predict", "weights": SWA}), "swa"),
        (
            MeasuredRun(
                run_id("predict"),
                spec={"kind": "predict", "weights": {"kind": "point", "of": {"kind": "curve"}, "name": "bend1"}},
            ),
            "curve bend1",
        ),
        (MeasuredRun(run_id("variational")), "variational"),
    ],
)
def test_what_a_run_is(measured_run: MeasuredRun, label: str) -> None:
    """A label comes from the job alone, with the defaults that its JSON leaves out."""
    assert what_it_is(measured_run) == label


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"arm": "deep"}, {"arm": "wide"}, ("deep", "wide")),
        ({"arm": "profile lr=1"}, {"arm": "profile lr=2"}, ("lr=1", "lr=2")),
        ({"params": {"along.lr": 0.01}}, {"params": {"along.lr": 0.02}}, ("along.lr = 0.01", "along.lr = 0.02")),
        ({"seed": 3}, {"seed": 4}, ("seed 3", "seed 4")),
        ({}, {}, (run_id("profile", 1), run_id("profile", 2))),
    ],
)
def test_alike_runs_are_told_apart(one: dict[str, Any], other: dict[str, Any], said: tuple[str, str]) -> None:
    """Labels that would coincide get the first detail that differs, and no other run's label grows."""
    curve = {"kind": "curve"}
    runs = [measured(1, curve, **one), measured(2, curve, **other), measured(3, {"kind": "line"})]
    assert list(labels_of(runs).values()) == [*(f"bezier curve, 1 bend, {text}" for text in said), "straight line"]


def test_lines_are_told_apart_by_their_ends() -> None:
    """Two straight lines say from where to where; weights that were continued have their start's seed."""
    lines = [{"kind": "line", "start": SWA, "end": end} for end in (SGD, OTHER)]
    runs = [measured(number, line, arm=str(number)) for number, line in enumerate(lines)]
    assert [label.partition(", ")[2] for label in labels_of(runs).values()] == [
        "swa seed 0 to sgd seed 0",
        "swa seed 0 to sgd seed 1",
    ]
    assert ends_of(runs[1]) == ("swa seed 0", "sgd seed 1")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (SWA, "swa seed 0"),
        (OTHER, "sgd seed 1"),
        ({"kind": "sgd"}, "sgd seed 0"),
        ({"kind": "point", "of": {"kind": "curve", "start": SGD, "end": OTHER}, "name": "bend1"}, "curve bend1"),
    ],
)
def test_weights_are_named_as_in_the_tables(spec: dict[str, Any], name: str) -> None:
    """Continued weights have their start's seed, a seed left out is 0, and a named point has its name."""
    assert weights_name(spec) == name


def test_runs_on_two_data_sets_are_told_apart_by_them() -> None:
    """Where a picture has two folders' runs, their labels say which."""
    runs = [measured(i, kind="sgd", data=f"folder {name}", seed=0) for i, name in enumerate(("cats", "dogs"))]
    assert list(labels_of(runs).values()) == ["sgd, folder cats", "sgd, folder dogs"]


def test_what_differs() -> None:
    """Values that all have are not said; those that another lacks are."""
    first, second = {"a": 1, "lr": 0.12345, "kind": "x"}, {"a": 1, "lr": 0.2}
    assert differing(first, [first, second]) == "lr = 0.123, kind = x"
    assert differing(first, [first]) == ""


@pytest.mark.parametrize(
    ("noise", "name"),
    [
        ([{"kind": "variance", "layers": "dense1"}], "variance network"),
        ([{"kind": "variance", "family": "bernoulli"}], "variance network, bernoulli"),
        ([{"kind": "dropout", "layers": "all"}], "dropout"),
        ([{"kind": "gaussian_dropout"}], "Gaussian dropout"),
        ([{"kind": "variational_dropout", "sharing": "layer"}], "variational dropout, layer"),
        ([{"kind": "variational_dropout"}], "variational dropout, weight"),
        ([{"kind": "dropout", "layers": "dense1"}, {"kind": "dropout", "layers": "dense2"}], "dropout"),
        ([{"kind": "dropout"}, {"kind": "variance"}], "dropout + variance network"),
        ([{"kind": "white_noise"}], "white noise"),
        ([], "variational"),
        (None, "variational"),
    ],
)
def test_noise_is_named_as_in_papers(noise: Any, name: str) -> None:
    """Defaults that the JSON leaves out are known, a kind of several layers is said once, an unknown one as written."""
    assert noise_name({"kind": "variational", "noise": noise}) == name

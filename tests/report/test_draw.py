"""From a store to a picture: every kind, and all pictures of a sweep or run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raysurf.errors import SpecError, UnknownNameError
from raysurf.report.draw import draw, pictures_of_run, pictures_of_sweep
from raysurf.results.api import Results
from tests.support.measured_rows import OTHER, SGD, Row, along, grid, points, rays, run, run_id, store, weights
from tests.support.noisy_rows import DROPOUT, VARIANCE, activations, inputs, prediction, schemes

LINE, CURVE, STRAY, PATH, PLANE, RAYS = (
    run_id(kind, number)
    for kind, number in (("profile", 1), ("profile", 2), ("profile", 3), ("path", 1), ("plane", 1), ("rays", 1))
)


SEEDS = [run_id("variational", number) for number in (1, 2)]
DROPPED, FEW, ACTIVE, PASSIVE, TOY = (
    run_id(kind, number) for kind, number in (("predict", 1), ("fge", 1), ("noise", 1), ("noise", 2), ("regions", 1))
)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two seeds of a variance network, dropout, an ensemble of two, activations of two networks, and a toy network."""
    runs = [
        *(
            run(name, VARIANCE | {"seed": seed}, seed=seed, model="lenet5_bn", data="mnist")
            for seed, name in enumerate(SEEDS)
        ),
        run(DROPPED, {"kind": "predict", "weights": DROPOUT}, model="lenet5_bn", data="mnist"),
        run(FEW, sweep="few"),
        run(ACTIVE, {"kind": "noise", "weights": VARIANCE, "layer": "dense1", "neurons": [43]}, group="noise-1"),
        run(PASSIVE, {"kind": "noise", "weights": DROPOUT, "layer": "dense1", "neurons": [43]}, group="noise-2"),
        run(TOY, {"kind": "regions", "weights": VARIANCE}, data="blobs"),
    ]
    predictions = [row for name in SEEDS for row in schemes(name, 0.101, 0.959, 0.993, zero_mean=0.99)]
    predictions += schemes(DROPPED, 0.99, 0.98, 0.992)
    predictions += [prediction(FEW, "ensemble", count, 0.9, 0.3, weights="members") for count in (1, 2)]
    drawn = activations(ACTIVE, 43, lambda label: (0.0, 1.0 + label))
    drawn += activations(PASSIVE, 43, lambda label: (label, 1.0))
    toy = inputs(
        TOY, lambda x, y: int(x > 0), lambda label: ((0.0, 0.0), (1.0 + label, 1.0)), examples=[{"x": 0.5, "y": 0.5}]
    )
    root = tmp_path_factory.mktemp("store")
    return store(root, runs, predictions=predictions, activations=drawn, inputs=toy)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A line, a curve and a path between the same ends, a line between others, a plane and rays."""
    ends: Row = {"start": SGD, "end": OTHER}
    runs = [
        run(LINE, {"kind": "profile", "along": {"kind": "line", **ends}}, inputs=["sgd-0", "sgd-1"]),
        run(CURVE, {"kind": "profile", "along": {"kind": "curve", **ends}}, inputs=["curve-0"]),
        run(STRAY, {"kind": "profile", "along": {"kind": "line", **ends}}, inputs=["sgd-0", "sgd-2"], sweep="other"),
        run(PATH, {"kind": "path", **ends}, inputs=["sgd-0", "sgd-1"], metrics=json.dumps({"num_pivots": 5})),
        run(PLANE),
        run(RAYS),
    ]
    surface = [
        *points(LINE, "line", along(9, 3.0), lambda place: 1 + place["t"]),
        *points(CURVE, "curve", along(9, 5.0), lambda place: 0.5),
        *points(STRAY, "line", along(9, 3.0), lambda place: 2.0),
        *points(PATH, "path", along(9, 6.0), lambda place: 0.3),
        *points(PLANE, "plane", grid([0.0, 1.0, 2.0], [0.0, 1.0, 2.0]), lambda place: 0.1 + place["x"]),
        *points(RAYS, "ray", rays("swa seed 0", 2, 2.0), lambda place: 0.1),
    ]
    return store(tmp_path_factory.mktemp("store"), runs, surface, [weights(PLANE, 0, "sgd seed 0", 1.0, 1.0)])


def test_a_path_brings_its_own_line_only(results: Results, tmp_path: Path) -> None:
    """The straight line between a path's ends is drawn, and no line between other ends."""
    draw(results, "path", str(tmp_path / "a.html"))
    text = (tmp_path / "a.html").read_text()
    assert LINE in text
    assert STRAY not in text


KINDS = {
    "plane": (
        ("cifar10 train loss with L2 (nats/sample)", "cifar10 test error (fraction)", "Planes: vgg16 on cifar10"),
        "straight line",
    ),
    "profile": (("bezier curve, 1 bend", "straight line", "worst 0.5", "sgd seed 1"), "saddle"),
    "width": (("swa seed 0 (mean of 2 rays)", "weight distance along random rays"), "saddle"),
    "path": (("minimum-energy path", "pivots", "saddle 0.3", "straight line"), "bezier"),
    "schemes": (
        (
            *("Prediction schemes: lenet5_bn on mnist", "mnist test error (fraction)", "ensemble of K samples"),
            *("control: means set to zero", "(mean and range of 2 seeds)", "variance network", "dropout"),
        ),
        "seed 0",
    ),
    "activations": (("Activations by class: vgg16 on cifar10", "variance network", "dropout", "mean ± std"), "saddle"),
    "toy": (
        ("Two-dimensional inputs: vgg16 on blobs, variance network", "(e) mean weights, test accuracy 0"),
        "saddle",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(results: Results, noisy: Results, kind: str, tmp_path: Path) -> None:
    """A picture is drawn from the store alone; the SVG's own notes of its text say what is in it."""
    said, unsaid = KINDS[kind]
    of = noisy if kind in ("schemes", "activations", "toy") else results
    draw(of, kind, str(tmp_path / "a.svg"), sweeps=["study"])
    text = (tmp_path / "a.svg").read_text()
    assert [words for words in said if f"<!-- {words}" not in text and words not in text] == []
    assert unsaid not in text


@pytest.mark.parametrize("axis", ["arc", "distance"])
def test_page_names_sweep_and_runs(results: Results, axis: str, tmp_path: Path) -> None:
    """A page's caption says where it comes from; its table has the rows of both panels; arc length is called that."""
    draw(results, "profile", str(tmp_path / "a.html"), run_ids=["0002"], axis=axis)
    text = (tmp_path / "a.html").read_text()
    assert f"from the rows of {CURVE} (study) in " in text
    assert "the 18 rows that are drawn" in text
    draw(results, "profile", str(tmp_path / "a.svg"), run_ids=["0002"], axis=axis)
    assert "<!-- arc length from the first network -->" in (tmp_path / "a.svg").read_text()


def test_suffix_is_checked_first(results: Results) -> None:
    """A wrong suffix is told before the store is read."""
    with pytest.raises(SpecError, match="ends in"):
        draw(results, "nothing", "a.jpeg")


def test_kind_that_there_is_not(results: Results) -> None:
    """A kind of picture that no registry knows is told with the nearest that there is."""
    with pytest.raises(UnknownNameError, match="did you mean 'plane'"):
        draw(results, "plains", "a.png")


def test_pictures_of_a_sweep(results: Results, tmp_path: Path) -> None:
    """One picture a kind that the sweep measured; that of profiles shows the runs that it is given."""
    written = pictures_of_sweep(results, "study", str(tmp_path / "pictures"), [CURVE, LINE])
    assert [Path(path).name for path in written] == [
        "study-profile.png",
        "study-plane.png",
        "study-width.png",
        "study-path.png",
    ]
    assert all(Path(path).stat().st_size > 10_000 for path in written)
    (alone,) = pictures_of_sweep(results, "other", str(tmp_path / "pictures"), [STRAY])
    assert Path(alone).name == "other.png"
    assert pictures_of_sweep(results, "other", str(tmp_path / "none")) == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("kind", "rows", "header"),
    [
        ("schemes", "rows that are drawn", "num_samples"),
        (
            "activations",
            "the first 1000 of the 1200 rows that are drawn (all of them: raysurf table activations)",
            "share",
        ),
        ("toy", "the 82 rows that are drawn", "output_std"),
    ],
)
def test_pages_have_the_rows_of_their_table(noisy: Results, kind: str, rows: str, header: str, tmp_path: Path) -> None:
    """The page has the columns of the table that the picture is drawn from, and says how to get at all of it."""
    draw(noisy, kind, str(tmp_path / "a.html"))
    text = (tmp_path / "a.html").read_text()
    assert rows in text
    assert f">{header}</th>" in text
    assert "validation" not in text


def test_pictures_of_a_sweep_of_noisy_networks(noisy: Results, tmp_path: Path) -> None:
    """A sweep gets every kind that it has rows for; schemes only where a run has three numbers of samples."""
    written = pictures_of_sweep(noisy, "study", str(tmp_path))
    assert [Path(path).name for path in written] == ["study-schemes.png", "study-activations.png", "study-toy.png"]
    assert pictures_of_sweep(noisy, "few", str(tmp_path)) == []
    draw(noisy, "schemes", str(tmp_path / "few.png"), sweeps=["few"])


def test_pictures_of_a_run(results: Results, noisy: Results, tmp_path: Path) -> None:
    """What a run was made to measure is drawn; what any kind of job may have is not."""
    assert pictures_of_run(results, PLANE, tmp_path) == {"plane": tmp_path / f"{PLANE}-plane.png"}
    assert pictures_of_run(noisy, SEEDS[0], tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == [f"{PLANE}-plane.png"]

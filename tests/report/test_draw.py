"""From a store to a picture: every kind, and all pictures of a sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raysurf.errors import SpecError, UnknownNameError
from raysurf.report.draw import _order, draw, pictures_of_sweep
from raysurf.report.runs import MeasuredRun
from raysurf.results.api import Results
from tests.support.measured_rows import OTHER, SGD, Row, along, grid, points, rays, run, run_id, store, weights

LINE, CURVE, STRAY, PATH, PLANE, RAYS = (
    run_id(kind, number)
    for kind, number in (("profile", 1), ("profile", 2), ("profile", 3), ("path", 1), ("plane", 1), ("rays", 1))
)


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


@pytest.mark.parametrize(
    ("kind", "said", "unsaid"),
    [
        (
            "plane",
            ("cifar10 train loss with L2 (nats/sample)", "cifar10 test error (fraction)", "Planes: vgg16 on cifar10"),
            ("straight line",),
        ),
        ("profile", ("bezier curve, 1 bend", "straight line", "worst 0.5", "sgd seed 1"), ("saddle",)),
        ("width", ("swa seed 0 (mean of 2 rays)", "weight distance along random rays"), ("saddle",)),
        ("path", ("minimum-energy path", "pivots", "saddle 0.3", "straight line"), ("bezier",)),
    ],
)
def test_every_kind(
    results: Results, kind: str, said: tuple[str, ...], unsaid: tuple[str, ...], tmp_path: Path
) -> None:
    """A picture is drawn from the store alone; the SVG's own notes of its text say what is in it."""
    draw(results, kind, str(tmp_path / "a.svg"), sweeps=["study"])
    text = (tmp_path / "a.svg").read_text()
    assert all(f"<!-- {words} -->" in text for words in said)
    assert not any(words in text for words in unsaid)


def test_a_path_brings_its_own_line_only(results: Results, tmp_path: Path) -> None:
    """The straight line between a path's ends is drawn, and no line between other ends."""
    draw(results, "path", str(tmp_path / "a.html"))
    text = (tmp_path / "a.html").read_text()
    assert LINE in text
    assert STRAY not in text


@pytest.mark.parametrize("axis", ["arc", "distance"])
def test_page_names_sweep_and_runs(results: Results, axis: str, tmp_path: Path) -> None:
    """The caption of a page says where it comes from, and its table has the rows of the two panels' splits.

    Arc length is called what it is, by its older name too.
    """
    draw(results, "profile", str(tmp_path / "a.html"), run_ids=["0002"], axis=axis)
    text = (tmp_path / "a.html").read_text()
    assert f"from the rows of {CURVE} (study) in " in text
    assert "the 18 rows that are drawn" in text
    assert "<!-- arc length from the first network -->" in text


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


def test_rows_without_a_name_come_last() -> None:
    """Columns that may be null are among those that rows are ordered by."""
    rows = [{"run_id": "a", "weights": name} for name in ("w", None, "v", None)]
    ordered = sorted(rows, key=_order([MeasuredRun("a")], ["weights"]))
    assert [row["weights"] for row in ordered] == ["v", "w", None, None]

"""Surfaces: exact ends, rows that come again, points that fail by themselves, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

import raysurf as rs
from raysurf.errors import DataError, DegenerateError, DivergedError, MeasuringError, PointMismatchError, SpecError
from raysurf.jobs.execute import execute_piece
from raysurf.jobs.measuring import MeasuringJob, along_metrics, missing_points
from raysurf.jobs.parse import parse_job
from raysurf.store.store import Store
from raysurf.store.tables import read_rows, rows_of_run
from raysurf.training.workers import Workers
from raysurf.weightspace.point import distance
from tests.support.cases import JOBS, tiny_curve, tiny_sgd
from tests.support.execution import context_of, do
from tests.support.surfaces import fragile_line, surface

SURFACES = ("profile", "chain", "plane", "rays")


def measuring(name: str) -> MeasuringJob:
    job = JOBS[name]()
    assert isinstance(job, MeasuringJob)
    return job


@pytest.mark.parametrize("batchnorm", ["reestimate", "fixed", "interpolate"])
@pytest.mark.parametrize("shape", ["polygonal", "bezier"])
def test_curve_begins_and_ends_with_its_ends(shape: str, batchnorm: str, tmp_path: Path) -> None:
    """At t = 0 and 1 the rows of a curve are those of a line between its ends, to the last bit."""
    store = Store(str(tmp_path))
    curve = tiny_curve(shape=shape, num_bends=2)
    along, straight = (
        rs.Profile(along=along, num_points=3, batchnorm=batchnorm)  # type: ignore[arg-type]
        for along in (curve, rs.Line(start=curve.start, end=curve.end))
    )
    do(along, store)
    do(straight, store)
    same = ("loss", "nll", "error", "l2", "batchnorm", "batchnorm_share")
    for point in (0, 2):
        for split in ("train", "validation", "test"):
            one, other = (surface(store, job)[point, split] for job in (along, straight))
            assert [one[k] for k in same] == [other[k] for k in same]
    middle = [surface(store, job)[1, "train"]["loss"] for job in (along, straight)]
    assert middle[0] != middle[1]


@pytest.mark.parametrize("name", SURFACES)
def test_stored_point_comes_again(name: str, tmp_path: Path) -> None:
    """Points that are measured anew, in another order and in pieces by other processes, have the rows of before."""
    job, whole, pieces = measuring(name), Store(str(tmp_path / "whole")), Store(str(tmp_path / "pieces"))
    do(job, whole)
    for needed in job.ancestors:
        do(needed, pieces)
    numbers = list(range(job.points_to_measure))
    for piece in (numbers[2:], numbers[:1]):
        execute_piece(job, pieces, Workers(), lambda at: None, piece, "test")
    assert missing_points(job, rows_of_run(pieces, "surface", job.id)) == [1]
    elsewhere = {row["point"]: row["point_s"] for row in rows_of_run(pieces, "surface", job.id)}
    assert do(job, pieces) == do(job, whole)
    assert surface(pieces, job) == surface(whole, job)
    for store, spent in ((pieces, sum(elsewhere.values())), (whole, 0.0)):
        (run,) = read_rows(store, "runs", job.id)
        assert run["device_s"] == pytest.approx(run["wall_s"] + spent)


def test_chain_goes_through_its_weights(tmp_path: Path) -> None:
    """A chain of three, measured with interpolated statistics, has each network's own loss at its place."""
    job, store = measuring("chain"), Store(str(tmp_path))
    do(job, store)
    for point, source in ((0, tiny_sgd()), (2, tiny_sgd(seed=1)), (4, tiny_sgd(seed=2))):
        own = {row["split"]: row["nll"] for row in read_rows(store, "predictions", source.id)}
        for split, nll in own.items():
            assert surface(store, job)[point, split]["nll"] == pytest.approx(nll, rel=1e-6)


def test_line_with_a_margin_keeps_its_metrics(tmp_path: Path) -> None:
    """Beyond its ends a line has more points; length and integrals are those between the ends."""
    store, line = Store(str(tmp_path)), rs.Line(start=tiny_sgd(), end=tiny_sgd(seed=1))
    inner = do(rs.Profile(along=line, num_points=3), store)
    job = rs.Profile(along=line, num_points=5, margin=0.5)
    outer = do(job, store)
    assert sorted({row["t"] for row in surface(store, job).values()}) == [-0.5, 0.0, 0.5, 1.0, 1.5]
    for name in ("length", "train/t_integral_loss", "test/arc_integral_nll", "train/barrier_loss"):
        assert outer[name] == pytest.approx(inner[name], rel=1e-6)


def test_integrals_are_over_t_and_over_length() -> None:
    """On a chain whose halves differ in length, the integral over t weighs them alike, that over length by length."""
    rows = [
        {"point": i, "split": "train", "t": t, "distance": d, "loss": v, "nll": v, "error": v}
        for i, (t, d, v) in enumerate([(0.0, 0.0, 0.0), (0.5, 9.0, 2.0), (1.0, 10.0, 4.0)])
    ]
    metrics = along_metrics(rows)
    assert metrics["train/t_integral_loss"] == pytest.approx(0.5 * 1 + 0.5 * 3)
    assert metrics["train/arc_integral_loss"] == pytest.approx((9 * 1 + 1 * 3) / 10)
    assert (metrics["length"], metrics["train/barrier_loss"], metrics["train/mean_loss"]) == (10.0, 0.0, 2.0)


def test_barriers_are_two() -> None:
    """Frankle's barrier is over the mean of the ends; Entezari's, which is ``barrier``, over the line between them."""
    rows = [
        {"point": i, "split": "test", "t": t, "distance": 4 * t, "loss": None, "nll": None, "error": v}
        for i, (t, v) in enumerate([(-0.5, 9.0), (0.0, 0.2), (0.5, 0.45), (1.0, 0.6), (1.5, 9.0)])
    ]
    metrics = along_metrics(rows)
    assert metrics["test/frankle_barrier_error"] == pytest.approx(0.6 - (0.2 + 0.6) / 2)
    assert (
        metrics["test/entezari_barrier_error"] == metrics["test/barrier_error"] == pytest.approx(0.45 - (0.2 + 0.6) / 2)
    )


def test_plane_marks_what_lies_on_it(tmp_path: Path) -> None:
    """Landmarks: the three weights exactly, then the curve from the first to the second, on the plane that it spans."""
    job, store = measuring("plane"), Store(str(tmp_path))
    do(job, store)
    marks = rows_of_run(store, "landmarks", job.id)
    ends = [row for row in marks if row["landmark"] < 3]
    length = distance(*(context_of(job, store).weights(source)[0] for source in job.sources[:2]))  # type: ignore[arg-type]
    assert [(row["x"], row["y"], row["off_plane"]) for row in ends[:2]] == [(0, 0, 0), (pytest.approx(length), 0, 0)]
    assert [row["name"] for row in ends] == ["sgd seed 0", "sgd seed 1", "curve bend1"]
    drawn = [row for row in marks if row["geometry"] == "curve"]
    assert len(drawn) == 61
    for row, end in ((drawn[0], ends[0]), (drawn[-1], ends[1])):
        assert (row["x"], row["y"]) == pytest.approx((end["x"], end["y"]), abs=1e-4)
    assert max(row["off_plane"] for row in drawn) < 1e-4 * length
    middle = drawn[30]
    assert middle["y"] == pytest.approx(ends[2]["y"] / 2, rel=1e-3)


def test_rays_are_the_same_from_every_origin(tmp_path: Path) -> None:
    """Each origin is measured once, and its rays go equally far; rows say which ray and how far."""
    job, store = measuring("rays"), Store(str(tmp_path))
    do(job, store)
    rows = [row for row in surface(store, job).values() if row["split"] == "test"]
    assert sorted((row["origin"], row["ray"] if row["ray"] is not None else -1, row["t"]) for row in rows) == [
        (origin, ray, t)
        for origin in ("sgd seed 0", "sgd seed 1")
        for ray, t in ((-1, 0.0), (0, 0.5), (0, 1.0), (1, 0.5), (1, 1.0))
    ]
    assert all(row["distance"] == pytest.approx(2.0 * row["t"]) for row in rows)


def test_path_keeps_its_ends_and_grows(tmp_path: Path) -> None:
    """A path's first and last points are its ends; points were inserted; its saddle is the worst of its rows."""
    job, store = JOBS["path"](), Store(str(tmp_path))
    assert isinstance(job, rs.Path)
    metrics = do(job, store)
    assert 4 < metrics["num_pivots"] <= 6
    rows = [row for row in surface(store, job).values() if row["split"] == "train"]
    assert len(rows) == (metrics["num_pivots"] - 1) * 3 + 1
    assert metrics["train/saddle_loss"] == max(row["loss"] for row in rows)
    assert metrics["train/saddle_nll"] == max(row["nll"] for row in rows) < metrics["train/saddle_loss"]
    line = rs.Profile(along=rs.Line(start=job.start, end=job.end), num_points=3)
    assert metrics["train/saddle_loss"] < do(line, store)["train/max_loss"]
    straight = surface(store, line)
    by_point = {row["point"]: row for row in rows}
    assert by_point[0]["loss"] == straight[0, "train"]["loss"]
    assert by_point[len(rows) - 1]["loss"] == straight[2, "train"]["loss"]


def test_share_of_the_data_for_statistics(tmp_path: Path) -> None:
    """Statistics from a share of the data give other metrics, near those of all of it; the share is recorded."""
    store, line = Store(str(tmp_path)), rs.Line(start=tiny_sgd(), end=tiny_sgd(seed=1))
    jobs = [rs.Profile(along=line, num_points=2, batchnorm_share=share) for share in (1.0, 0.5)]
    for job in jobs:
        do(job, store)
    whole, half = (surface(store, job)[0, "test"] for job in jobs)
    assert (whole["batchnorm_share"], half["batchnorm_share"]) == (1.0, 0.5)
    assert whole["nll"] != half["nll"] == pytest.approx(whole["nll"], rel=0.3)


@pytest.mark.parametrize("name", ["residual", "transformer", "group_norm"])
def test_any_network_goes_all_the_way(name: str, tmp_path: Path) -> None:
    """Networks that are named by their path are trained, joined and measured, from a ResNet to a transformer."""
    store = Store(str(tmp_path))
    model, data = rs.ModelSpec(name=f"tests.support.cases:{name}"), rs.DataSpec(name="digits", share=0.1)
    ends = [tiny_sgd(model=model, data=data, epochs=1, seed=seed) for seed in range(2)]
    curve = tiny_curve(start=ends[0], end=ends[1], epochs=1)
    metrics = do(rs.Profile(along=curve, num_points=3), store)
    assert metrics["length"] > 0
    plane = rs.Plane(weights=(*ends, rs.PointOf(of=curve, name="bend1")), grid=2, draw=(curve,))
    assert math.isfinite(do(plane, store)["test/max_loss"])
    assert {row["batchnorm"] for row in surface(store, plane).values()} == {
        "reestimate" if name == "residual" else "none"
    }


def test_failing_points_lose_no_others(tmp_path: Path) -> None:
    """A point that raises has no row and is told; one whose loss is not finite is a row that says so."""
    job, store = fragile_line(tmp_path)
    with pytest.raises(MeasuringError, match=r"1 of 11 points .* point 6: RuntimeError: out of memory, say"):
        do(job, store)
    rows = surface(store, job)
    assert {point for point, _ in rows} == set(range(11)) - {6}
    for (point, _), row in rows.items():
        assert (row["loss"] is None) == (row["failure"] is not None) == (point == 4)
    (run,) = read_rows(store, "runs", job.id)
    assert run["status"] == "failed"
    assert "out of memory" in run["error"]


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """NaN in a weights file, or in an input's weights, is told by the tensor's name."""
    job, store = fragile_line(tmp_path)
    file = tmp_path / "0.safetensors"
    file.write_bytes(save(load(file.read_bytes()) | {"linear.bias": torch.full((10,), float("nan"))}))
    with pytest.raises(DataError, match=r"NaN or infinity in linear\.bias; expected finite weights"):
        do(job, store)
    line = rs.Profile(along=rs.Line(start=tiny_sgd(), end=tiny_sgd(seed=1)), num_points=2)
    do(tiny_sgd(), store)
    path = f"jobs/{tiny_sgd().id}/weights.safetensors"
    tensors = load(store.get_bytes(path))
    name = next(iter(sorted(k for k in tensors if k.startswith("point/"))))
    store.put_bytes(path, save(tensors | {name: torch.full_like(tensors[name], float("inf"))}))
    with pytest.raises(DataError, match=f"weights of sgd-.* NaN or infinity in {name.removeprefix('point/')}"):
        do(line, store)


def test_equal_weights_span_nothing(tmp_path: Path) -> None:
    """Two files with the same weights make no line and no plane, and the job says so."""
    job, store = fragile_line(tmp_path)
    (tmp_path / "1.safetensors").write_bytes((tmp_path / "0.safetensors").read_bytes())
    with pytest.raises(DegenerateError, match="no line: got ends that are equal"):
        do(job, store)
    first, second = job.along.sources
    for trained in (
        rs.Curve(start=first, end=second, epochs=1, lr=0.1),
        rs.Path(start=first, end=second, cycles=(rs.Cycle(epochs=1, lr=0.1),)),
    ):
        with pytest.raises(DegenerateError, match=f"no {trained.kind}: got ends that are equal"):
            do(trained, store)
    third = tmp_path / "2.safetensors"
    state = load((tmp_path / "0.safetensors").read_bytes())
    third.write_bytes(save({k: v + 1 for k, v in state.items()}))
    assert isinstance(first, rs.Weights)
    other = rs.Weights(model=first.model, data=first.data, file=str(third))
    with pytest.raises(DegenerateError, match="first and second weights that are equal"):
        do(rs.Plane(weights=(first, second, other), grid=2), store)


def test_three_weights_on_a_line_are_no_plane(tmp_path: Path) -> None:
    """A bend that never left the line is told, before any point is measured."""
    store = Store(str(tmp_path))
    curve = tiny_curve(lr=1e-30)
    plane = rs.Plane(weights=(tiny_sgd(), tiny_sgd(seed=1), rs.PointOf(of=curve, name="bend1")), grid=2)
    with pytest.raises(DegenerateError, match="three weights on one line"):
        do(plane, store)
    assert rows_of_run(store, "surface", plane.id) == []


def test_diverged_curve_is_a_failed_row(tmp_path: Path) -> None:
    """A curve whose loss leaves the finite numbers stops, and its row says the last finite loss."""
    store, job = Store(str(tmp_path)), tiny_curve(lr=30.0, epochs=30, weight_decay=0.05)
    with pytest.raises(DivergedError, match="not finite at epoch"):
        do(job, store)
    (row,) = read_rows(store, "runs", job.id)
    assert row["status"] == "failed"
    assert "its last finite value was" in row["error"]


def test_free_end_is_trained_and_measured(tmp_path: Path) -> None:
    """A curve with a free end moves it, keeps the fixed one, and offers the moved end as a point."""
    store, job = Store(str(tmp_path)), tiny_curve(fix_end=False, via=tiny_sgd(seed=2))
    do(job, store)
    context = context_of(job, store)
    points = job.track(context).points
    assert job.point_names == ("bend1", "end")
    assert distance(points[0], context.weights(job.start)[0]) == 0
    assert distance(points[2], context.weights(job.end)[0]) > 0
    assert distance(job.named_point(context, "end")[0], points[2]) == 0
    assert math.isfinite(do(rs.Profile(along=job, num_points=3), store)["length"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: {"kind": "plane", "weights": [tiny_sgd().tree, tiny_sgd(seed=1).tree]}, "a plane through 2 weights"),
        (lambda: {"kind": "plane", "weights": [tiny_sgd().tree] * 3}, "two of the weights are the same job"),
        (lambda: plane_tree(grid=0), "grid.*greater than or equal to 2"),
        (lambda: plane_tree(grid=[3, 1]), "grid.*greater than or equal to 2"),
        (lambda: plane_tree(grid=[3, 3, 3]), "grid.*at most 2 items"),
        (lambda: plane_tree(margin=-1.0), "margin.*greater than or equal to 0"),
        (lambda: plane_tree(third=tiny_sgd(seed=2, model="lenet5").tree), "weights of digits_conv and lenet5"),
        (lambda: plane_tree(third={"kind": "sgdd"}), r"weights\.2\.kind: got 'sgdd'.*did you mean 'sgd'"),
        (lambda: plane_tree(third=bend("bend7")), "curve has no point 'bend7', but bend1.*did you mean 'bend1'"),
        (lambda: plane_tree(third=bend("bend1"), batchnorm="interpolate"), "no statistics of its own"),
        (
            lambda: {"kind": "rays", "weights": [bend("bend1")], "length": 1.0, "batchnorm": "fixed"},
            "no statistics of its own",
        ),
        (lambda: tiny_curve().tree | {"num_bends": 0}, "num_bends.*greater than or equal to 1"),
        (lambda: tiny_curve().tree | {"t_strata": 0}, "t_strata"),
        (lambda: {"kind": "rays", "weights": [], "length": 1.0}, "no weights; at least one"),
        (lambda: {"kind": "rays", "weights": [tiny_sgd().tree]}, r"length: got nothing"),
        (lambda: path_tree([]), "no point between the ends"),
        (lambda: path_tree([{"epochs": 1, "lr": 0.1, "insert": 0}]), "no point between the ends"),
        (lambda: path_tree([{"epochs": 1, "lr": 0.1}], lr=0.1), "rates of a path stand in its cycles"),
        (lambda: path_tree([{"epoch": 1, "lr": 0.1}]), "unknown key"),
        (lambda: {"kind": "profile", "along": tiny_curve().tree, "margin": 0.1}, "only a line goes on beyond"),
        (
            lambda: {"kind": "profile", "along": {"kind": "chain", "weights": [tiny_sgd().tree]}},
            "a chain of 1; it has two",
        ),
    ],
)
def test_bad_surfaces_are_refused(make: Callable[[], dict[str, Any]], said: str) -> None:
    """Each mistake is one clear error before anything is started."""
    with pytest.raises(SpecError, match=said):
        parse_job(make())


def plane_tree(third: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    weights = [tiny_sgd().tree, tiny_sgd(seed=1).tree, third or tiny_sgd(seed=2).tree]
    return {"kind": "plane", "weights": weights, **settings}


def path_tree(cycles: list[dict[str, Any]], **settings: Any) -> dict[str, Any]:
    return {"kind": "path", "start": tiny_sgd().tree, "end": tiny_sgd(seed=1).tree, "cycles": cycles, **settings}


def bend(name: str) -> dict[str, Any]:
    return {"kind": "point", "of": tiny_curve().tree, "name": name}


def test_points_of_another_shape_are_told(tmp_path: Path) -> None:
    """Weights whose stored tensors do not fit the network are one clear error."""
    store, line = Store(str(tmp_path)), rs.Profile(along=rs.Line(start=tiny_sgd(), end=tiny_sgd(seed=1)), num_points=2)
    for job in line.ancestors:
        do(job, store)
    path = f"jobs/{tiny_sgd(seed=1).id}/weights.safetensors"
    tensors = load(store.get_bytes(path))
    name = next(k for k in sorted(tensors) if k.startswith("point/"))
    store.put_bytes(path, save(tensors | {name: torch.zeros(1, 2, 3)}))
    with pytest.raises(PointMismatchError, match="of shape"):
        do(line, store)

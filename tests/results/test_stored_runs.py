"""What a run left behind, for one's own analysis: its weights as arrays, its job as a value."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

import raysurf as rs
from raysurf.cluster.ray_cluster import prepare
from raysurf.errors import MissingPackageError, SpecError, StoreError, UnknownNameError
from raysurf.jobs.curve import Curve
from raysurf.jobs.job import Job
from raysurf.jobs.parse import parse_job
from raysurf.results import Results, open
from raysurf.store.store import Store
from raysurf.store.tables import read_rows, write_rows
from tests.support.buffer_networks import base
from tests.support.cases import JOBS, tiny_curve, tiny_sgd
from tests.support.execution import context_of
from tests.support.failed_runs import FailedStore

prepare()
SWA = rs.SWA(start=tiny_sgd(), epochs=2, lr=0.1)
FGE = rs.FGE(start=tiny_sgd(), epochs=2, cycle_epochs=1, schedule=rs.Triangle(high=0.1, low=0.01))
SWAG = rs.SWAG(start=tiny_sgd(), epochs=2, lr=0.1, num_samples=1)
CURVE = tiny_curve(num_bends=2, fix_end=False, epochs=1)
PATH = rs.Path(start=tiny_sgd(), end=tiny_sgd(seed=1), cycles=(rs.Cycle(epochs=1, lr=0.05, insert=2),), num_between=1)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A store with a run of each kind that leaves weights."""
    torch.set_num_threads(1)
    root = str(tmp_path_factory.mktemp("weights"))
    for job in (SWA, FGE, SWAG, CURVE, PATH):
        rs.run(job, results=root)
    return open(root)


def equal(arrays: Any, tensors: Any) -> bool:
    return list(arrays) == sorted(tensors) and all(np.array_equal(arrays[k], tensors[k].numpy()) for k in arrays)


@pytest.mark.parametrize(
    ("job", "names"),
    [
        (SWA.start, ("weights",)),
        (SWA, ("weights", "last")),
        (FGE, ("member1", "member2", "average")),
        (SWAG, ("weights", "last")),
        (CURVE, ("bend1", "bend2", "end")),
        (PATH, ("pivot1", "pivot2")),
    ],
    ids=lambda value: value.kind if isinstance(value, Job) else None,
)
def test_weights_are_those_that_jobs_see(job: Job, names: tuple[str, ...], results: Results) -> None:
    """Point and buffers are what a job that starts from them gets, as arrays or tensors; other names are told."""
    context = context_of(job, Store(results.store.uri))
    for name in names:
        point, buffers = job.named_point(context, name) if name in job.point_names else context.weights(job, name)
        weights = results.weights(job.id, name)
        assert (weights.run_id, weights.name) == (job.id, name)
        assert point and equal(weights.point, point) and equal(weights.buffers, buffers)
        tensors = results.weights(job.id[:-4], name, framework="torch")
        assert all(torch.equal(tensors.point[key], value) for key, value in point.items())
    with pytest.raises(UnknownNameError, match=rf"weights of {job.id}: got 'nope'; .*{names[0]}"):
        results.weights(job.id, "nope")
    if isinstance(job, Curve):
        with pytest.raises(UnknownNameError, match="got 'weights'; expected one of bend1, bend2, end"):
            results.weights(job.id)


def test_bfloat16_is_read_as_the_same_numbers(tmp_path: Path) -> None:
    """Arrays are float32 with the values that torch reads, beside tensors of other types as they are."""
    filled, job = FailedStore(tmp_path), tiny_sgd()
    filled.run(job)
    tensors = {
        "point/w": torch.tensor([[1.0, -2.5e-39, float("inf")], [0.1, -3e38, 0.0]], dtype=torch.bfloat16),
        "point/empty": torch.zeros(0, 3, dtype=torch.bfloat16),
        "point/half": torch.tensor([0.1, 65504.0], dtype=torch.float16),
        "buffer/double": torch.tensor(0.1, dtype=torch.float64),
        "buffer/flags": torch.tensor([True, False]),
        "buffer/steps": torch.tensor(7),
    }
    filled.store.put_bytes(f"jobs/{job.id}/weights.safetensors", save(tensors))
    arrays, same = (filled.open().weights(job.id, framework=framework) for framework in ("numpy", "torch"))  # type: ignore[arg-type]
    for got, expected in ((arrays.point, same.point), (arrays.buffers, same.buffers)):
        for name, value in expected.items():
            is_bf16 = value.dtype == torch.bfloat16
            assert torch.equal(torch.from_numpy(got[name].copy()), value.float() if is_bf16 else value), name


def test_bends_have_the_buffers_of_their_curve(tmp_path: Path) -> None:
    """Buffers that a curve was trained with stand by its bends, and are no weights of their own."""
    ends = [base("rms", seed=seed) for seed in (0, 1)]
    curve = rs.Curve(start=ends[0], end=ends[1], epochs=1, lr=0.05)
    rs.run(curve, results=str(tmp_path))
    tables = open(str(tmp_path))
    assert tables.weights(curve.id, "bend1").buffers["2.steps"] == 12 + 4
    with pytest.raises(UnknownNameError, match="got 'buffer'; expected one of bend1"):
        tables.weights(curve.id, "buffer")


def test_moments_of_swag(results: Results) -> None:
    """The variance and the deviations of a Gaussian over weights have the form of its point."""
    point = results.weights(SWAG.id).point
    for name in ("variance", "deviation0"):
        spread = results.weights(SWAG.id, name)
        assert spread.buffers == {}
        assert {key: value.shape for key, value in spread.point.items()} == {k: v.shape for k, v in point.items()}
    assert all((value >= 0).all() for value in results.weights(SWAG.id, "variance").point.values())


def test_weights_that_cannot_be_read(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights, a file of something else, another framework, torch that is absent: one clear error each."""
    filled = FailedStore(tmp_path)
    job = rs.Predict(weights=tiny_sgd())
    filled.run(job)
    filled.run(tiny_sgd())
    with pytest.raises(StoreError, match=rf"no weights of {job.id} \(done\); its inputs are {tiny_sgd().id}"):
        filled.open().weights(job.id)
    for content in (b"", b"\x08\0\0\0\0\0\0\0[[[[[[[["):
        filled.store.put_bytes(f"jobs/{tiny_sgd().id}/weights.safetensors", content)
        with pytest.raises(StoreError, match=r"weights.safetensors, which cannot be read"):
            filled.open().weights(tiny_sgd().id)
    with pytest.raises(UnknownNameError, match="framework: got 'jax'; expected one of numpy, torch"):
        results.weights(SWA.id, framework="jax")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown run: got 'sgd-zz'"):
        results.weights("sgd-zz")
    with pytest.raises(StoreError, match="which 2 runs begin with"):
        results.weights("sgd")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(MissingPackageError, match="pip install 'torch'"):
        results.weights(SWA.id, framework="torch")


@pytest.mark.parametrize("name", JOBS)
def test_a_job_comes_back_from_its_row(name: str, tmp_path: Path) -> None:
    """The job of a run is the one that was run: the same value, with the same id and inputs."""
    job, filled = JOBS[name](), FailedStore(tmp_path)
    assert isinstance(job, Job)
    filled.run(job)
    again = rs.parse_job(filled.open().spec(job.id[:-2]))
    assert again == job
    assert (again.id, [ancestor.id for ancestor in again.ancestors]) == (
        job.id,
        [ancestor.id for ancestor in job.ancestors],
    )


def test_a_job_runs_elsewhere(results: Results, tmp_path: Path) -> None:
    """The stored job, run in another store, has the same metrics and the same weights."""
    elsewhere = str(tmp_path / "elsewhere")
    done = rs.run(results.spec(SWA.id), results=elsewhere)
    assert done.failed == 0
    again = open(elsewhere)
    columns = ["weights", "scheme", "split", "accuracy", "nll"]
    assert again.table("predictions", columns, f"run_id = '{SWA.id}'").equals(
        results.table("predictions", columns, f"run_id = '{SWA.id}'")
    )
    assert all(
        np.array_equal(value, results.weights(SWA.id).point[k]) for k, value in again.weights(SWA.id).point.items()
    )


def test_a_stored_job_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of somebody's own is named, not imported, and its data are not looked for; a foreign spec is told."""
    (tmp_path / "hostile_networks.py").write_text("raise SystemExit('it was imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    filled, run_id = FailedStore(tmp_path / "results"), tiny_sgd().id
    filled.run(tiny_sgd())
    (row,) = read_rows(filled.store, "runs", run_id)
    tree = json.loads(row["spec"]) | {
        "model": "hostile_networks:build",
        "data": {"name": "imagenet", "root": "/nowhere"},
    }
    write_rows(filled.store, "runs", run_id, [row | {"spec": json.dumps(tree)}])
    assert parse_job(filled.open().spec(run_id), look_up=False).model.name == "hostile_networks:build"  # type: ignore[attr-defined]
    assert "hostile_networks" not in sys.modules
    for spec in ("[]", "{"):
        write_rows(filled.store, "runs", run_id, [row | {"spec": spec}])
        with pytest.raises(StoreError, match="that raysurf wrote"):
            filled.open().spec(run_id)
    for spec in ('{"kind": "sgdd"}', '{"kind": "sgd", "epochs": "two"}'):
        write_rows(filled.store, "runs", run_id, [row | {"spec": spec}])
        with pytest.raises(SpecError, match=r"sgdd|two"):
            rs.run(filled.open().spec(run_id), results=filled.store.uri)

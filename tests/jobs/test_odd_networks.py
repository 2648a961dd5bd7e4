"""Jobs on networks whose weights, batches or outputs are not where most networks have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import raysurf as rs
from raysurf.jobs.context import Context
from raysurf.jobs.network import Network
from raysurf.results.store import Store
from raysurf.stochastic.convert import convert
from raysurf.stochastic.layers import VariationalLayer
from raysurf.training.workers import Workers
from tests import odd_networks
from tests.cases import tiny_curve, tiny_sgd
from tests.jobs.test_jobs import do


def model(name: str, **options: Any) -> rs.ModelSpec:
    return rs.ModelSpec(name=f"tests.odd_networks:{name}", options=options)


def context_of(job: Any, store: Store) -> Context:
    return Context(job, store, Workers(), lambda at: None)


def path_of(**changes: Any) -> rs.Path:
    ends = {"start": tiny_sgd(**changes), "end": tiny_sgd(seed=1, **changes)}
    return rs.Path(**ends, cycles=(rs.Cycle(epochs=1, lr=0.1, insert=2),), num_between=1, weight_decay=0.1)  # type: ignore[arg-type]


def test_frozen_weights_stay_and_do_not_decay(tmp_path: Path) -> None:
    """Paths, rays and the L2 term leave alone what is never trained, as SGD does; noisy layers of it stay frozen."""
    store = Store(str(tmp_path))
    spec = model("frozen")
    path = path_of(model=spec)
    for end in (path.start, path.end):
        do(end, store)
    do(path, store)
    start, _ = context_of(path, store).weights(path.start)
    pivots = context_of(path, store).load(path, "pivots")
    # It slides along the band, between ends that are equal here.
    assert torch.allclose(pivots["pivot1.1.weight"], start["1.weight"], atol=1e-6)
    assert not torch.equal(pivots["pivot1.3.weight"], start["3.weight"])
    net = Network(path, context_of(path, store))
    net.place(start)
    trained = sum(float(value.double().square().sum()) for name, value in start.items() if not name.startswith("1."))
    assert net.l2() == pytest.approx(0.05 * trained)
    for normalise in ("unit", "filter"):
        rays = rs.Rays(weights=(path.start,), num_rays=1, num_points=2, length=2.0, normalise=normalise)  # type: ignore[arg-type]
        edge = rays.survey(context_of(rays, store))(1)
        assert torch.equal(edge.point["1.weight"], start["1.weight"])
        moved = sum(float((edge.point[k] - start[k]).double().square().sum()) for k in start) ** 0.5
        assert moved == pytest.approx(edge.columns["distance"], rel=1e-5) and moved > 0.5
    noisy = convert(odd_networks.frozen(10, (1, 8, 8)), "1, 3", VariationalLayer)
    trainable = {name for name, value in noisy.named_parameters() if value.requires_grad}
    assert {"1.weight", "1.bias"}.isdisjoint(trainable) and {"1.log_noise", "3.weight"} <= trainable


JOBS: dict[str, Any] = {
    "sgd": lambda spec: tiny_sgd(model=spec, weight_decay=0.01),
    "adam": lambda spec: tiny_sgd(model=spec, optimiser="adam", lr=0.01),
    "swa": lambda spec: rs.SWA(start=tiny_sgd(model=spec), epochs=2, lr=0.05),
    "curve": lambda spec: tiny_curve(start=tiny_sgd(model=spec), end=tiny_sgd(model=spec, seed=1)),
    "path": lambda spec: path_of(model=spec),
}


@pytest.mark.parametrize("name", JOBS)
def test_complex_weights_are_pairs_of_real_ones(name: str, tmp_path: Path) -> None:
    """A network with complex weights has the figures and distances of the same one written in real numbers."""
    figures = []
    for real in (False, True):
        store = Store(str(tmp_path / str(real)))
        job = JOBS[name](model("complex_weights", real=real))
        for each in job.ancestors:
            do(each, store)
        found = do(job, store)
        if name in ("curve", "path"):
            line = rs.Profile(along=job if name == "curve" else rs.Line(start=job.start, end=job.end), num_points=3)
            do(line, store)
            rows = store.rows_of("surface", (line if name == "curve" else job).id)
            found["length"] = max(row["distance"] for row in rows)
        figures.append({key: value for key, value in found.items() if "error" not in key and "accuracy" not in key})
    assert figures[0] == pytest.approx(figures[1], rel=2e-3)

"""Buffers that are not batch norm: whose they are for averages, curves and surfaces, by one rule for every job."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import raysurf as rs
from raysurf.jobs.context import Progress
from raysurf.jobs.job import Job
from raysurf.jobs.network import Network
from raysurf.store.store import Store
from raysurf.store.tables import rows_of_run
from tests.support.buffer_networks import base
from tests.support.execution import context_of, do
from tests.support.surfaces import surface


def swa(name: str, **changes: object) -> rs.SWA:
    """Its average of four iterates at a rate that moves it."""
    settings: dict[str, object] = {"start": base(name), "epochs": 4, "lr": 0.2}
    return rs.SWA(**{**settings, **changes})  # type: ignore[arg-type]


def opened(job: Job, store: Store, name: str = "weights") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A job's point and buffers."""
    return context_of(job, store).weights(job, name)


def by_hand(job: Job, store: Store, point: dict[str, Tensor], buffers: dict[str, Tensor]) -> float:
    """The NLL on test of weights and buffers, with torch alone."""
    net = Network(job, context_of(job, store))
    net.model.load_state_dict({**point, **buffers})
    net.model.eval()
    data = net.data
    with torch.no_grad():
        return float(nn.functional.cross_entropy(net.model(data.normalise(data.test.images)), data.test.labels))


def recorded(job: Job, store: Store, weights: str = "average") -> set[str]:
    return {row["batchnorm"] for row in rows_of_run(store, "predictions", job.id) if row["weights"] == weights}


def test_average_has_the_last_iterates_buffers(tmp_path: Path) -> None:
    """Buffers of one's own, counters too, are the last iterate's; the metrics are torch's on the same tensors."""
    store, job = Store(str(tmp_path)), swa("rms")
    metrics = do(job, store)
    (point, buffers), (_, last) = opened(job, store), opened(job, store, "last")
    assert buffers.keys() == last.keys() == {"2.square", "2.steps"}
    assert all(torch.equal(buffers[name], last[name]) for name in last)
    assert buffers["2.steps"] == 7 * 4
    assert metrics["test/nll"] == pytest.approx(by_hand(job, store, point, last), rel=1e-5)
    assert (recorded(job, store), recorded(job, store, "last")) == ({"last"}, {"fixed"})


@pytest.mark.parametrize("kind", ["swa", "fge"])
def test_buffers_may_be_averaged(kind: str, tmp_path: Path) -> None:
    """With ``buffers: average`` they are those of torch's ``AveragedModel(use_buffers=True)`` over the same members."""
    store = Store(str(tmp_path))
    made = {
        "swa": lambda: swa("rms", epochs=2, include_start=True, buffers="average"),
        "fge": lambda: rs.FGE(start=base("rms"), epochs=2, cycle_epochs=1, lr=0.1, buffers="average"),
    }
    job = made[kind]()
    assert job.id != swa("rms", epochs=2, include_start=True).id
    do(job, store)
    net = Network(job, context_of(job, store))
    torch_s = AveragedModel(net.model, use_buffers=True)
    if kind == "fge":
        members = [opened(job, store, f"member{number}") for number in (1, 2)]
    else:
        shorter = swa("rms", epochs=1, include_start=True, buffers="average")
        do(shorter, store)
        members = [opened(base("rms"), store), opened(shorter, store, "last"), opened(job, store, "last")]
    for member in members:
        net.place(*member)
        torch_s.update_parameters(net.model)
    point, buffers = opened(job, store, "average" if kind == "fge" else "weights")
    theirs = torch_s.module.state_dict()
    for name, value in {**point, **buffers}.items():
        if value.is_floating_point():
            assert torch.allclose(value, theirs[name], atol=1e-6), name
    assert buffers["2.steps"] == members[-1][1]["2.steps"]
    assert recorded(job, store) == {"average"}


@pytest.mark.parametrize("name", ["spectral", "spectral_hook"])
def test_power_iterations_are_renewed(name: str, tmp_path: Path) -> None:
    """The average's vectors give the largest singular value of its own weights, as an SVD does."""
    store, job = Store(str(tmp_path)), swa(name)
    metrics = do(job, store)
    point, buffers = opened(job, store)
    for layer in ("0.1", "0.4"):
        weight = point[
            f"{layer}.weight_orig" if name == "spectral_hook" else f"{layer}.parametrizations.weight.original"
        ]
        at = f"{layer}.weight_" if name == "spectral_hook" else f"{layer}.parametrizations.weight.0._"
        estimate = buffers[f"{at}u"] @ weight @ buffers[f"{at}v"]
        assert float(estimate) == pytest.approx(float(torch.linalg.matrix_norm(weight, 2)), rel=1e-3)
    assert metrics["test/nll"] == pytest.approx(by_hand(job, store, point, buffers), rel=1e-5)
    assert recorded(job, store) == {"renewed"}


def test_running_instance_norm_is_reestimated(tmp_path: Path) -> None:
    """The average's statistics are the float64 means of instances' own, over the training examples."""
    store, job = Store(str(tmp_path)), swa("instance")
    do(job, store)
    point, buffers = opened(job, store)
    net = Network(job, context_of(job, store))
    images = net.data.normalise(net.data.train.images).double()
    out = nn.functional.conv2d(images, point["0.weight"].double(), point["0.bias"].double()).flatten(2)
    assert torch.allclose(buffers["1.running_mean"].double(), out.mean((0, 2)), atol=1e-5)
    assert torch.allclose(buffers["1.running_var"].double(), out.var(2).mean(0), rtol=1e-5)
    assert recorded(job, store) == {"reestimate"}


def test_frozen_batch_norm_keeps_its_statistics(tmp_path: Path) -> None:
    """What the network's own ``train`` leaves in evaluation is not re-estimated; the norm beside it is."""
    store, job = Store(str(tmp_path)), swa("frozen_norm")
    do(job, store)
    (_, buffers), (_, last) = opened(job, store), opened(job, store, "last")
    assert torch.equal(buffers["2.running_mean"], torch.full((24,), 0.3))
    assert torch.equal(buffers["2.running_var"], torch.ones(24))
    assert not torch.equal(buffers["3.running_mean"], last["3.running_mean"])


def test_buffers_may_grow(tmp_path: Path) -> None:
    """Ranges that begin empty reach averages and surfaces, are resumed and read from a file; infinite masks too."""
    store, job = Store(str(tmp_path / "r")), swa("ranges")
    metrics = do(job, store)
    (point, _), (_, last) = opened(job, store), opened(job, store, "last")
    data, linear = Network(job, context_of(job, store)).data, nn.functional.linear
    out = linear(data.normalise(data.test.images).flatten(1), point["1.weight"], point["1.bias"])
    out = (out / (last["2.high"] - last["2.low"]).clamp_min(0.1)).relu()
    nll = nn.functional.cross_entropy(linear(out, point["5.weight"], point["5.bias"]), data.test.labels)
    assert metrics["test/nll"] == pytest.approx(float(nll), rel=1e-5)
    profile = rs.Profile(along=rs.Line(start=job.start, end=job), num_points=2)
    do(profile, store)
    assert surface(store, profile)[1, "test"]["nll"] == pytest.approx(metrics["test/nll"], rel=1e-5)
    file = str(tmp_path / "r" / "jobs" / job.start.id / "weights.safetensors")
    read = do(rs.Weights(model=job.model_spec, data=job.data_spec, file=file), store)
    assert read["test/nll"] == surface(store, profile)[0, "test"]["nll"]

    def stop(at: Progress) -> None:
        raise InterruptedError

    longer = swa("ranges", epochs=5)
    with pytest.raises(InterruptedError):
        do(longer, other := Store(str(tmp_path / "other")), stop)
    assert do(longer, other) == do(longer, Store(str(tmp_path / "whole")))


def test_samples_of_swag_have_the_averages_buffers(tmp_path: Path) -> None:
    """A sample of scale zero is the average, and answers as it does."""
    store = Store(str(tmp_path))
    job = rs.SWAG(start=base("rms"), epochs=3, lr=0.2, rank=2, num_samples=2, scale=0.0)
    metrics = do(job, store)
    assert metrics["test/ensemble_nll"] == pytest.approx(metrics["test/deterministic_nll"], rel=1e-6)
    again = do(rs.Predict(weights=job, schemes=("deterministic", "ensemble"), num_samples=2), store)
    assert again["test/nll"] == pytest.approx(metrics["test/ensemble_nll"], rel=1e-6)


@pytest.mark.parametrize("name", ["rms", "spectral"])
@pytest.mark.parametrize("batchnorm", ["reestimate", "fixed", "interpolate"])
def test_places_have_the_nearest_networks_buffers(name: str, batchnorm: str, tmp_path: Path) -> None:
    """A line, a chain, a plane and rays have at trained weights the metrics of those networks alone."""
    store = Store(str(tmp_path))
    ends = [base(name), base(name, seed=1), base(name, seed=2)]
    alone = [do(end, store)["test/nll"] for end in ends]
    settings = {"batchnorm": batchnorm}
    line = rs.Profile(along=rs.Line(start=ends[0], end=ends[1]), num_points=3, **settings)  # type: ignore[arg-type]
    chain = rs.Profile(along=rs.Chain(weights=tuple(ends)), num_points=3, **settings)  # type: ignore[arg-type]
    plane = rs.Plane(weights=tuple(ends), grid=2, margin=0.0, **settings)  # type: ignore[arg-type]
    for job in (line, chain, plane):
        do(job, store)
    close = {"rel": 1e-5 if name == "rms" or batchnorm != "reestimate" else 2e-2}
    surfaces = {
        job.id: {point: row for (point, split), row in surface(store, job).items() if split == "test"}
        for job in (line, chain, plane)
    }
    along = [surfaces[line.id][0]["nll"], surfaces[line.id][2]["nll"]]
    assert along == pytest.approx(alone[:2], **close)
    assert [row["nll"] for _, row in sorted(surfaces[chain.id].items())] == pytest.approx(alone, **close)
    corner = next(row for row in surfaces[plane.id].values() if row["x"] == row["y"] == 0.0)
    assert corner["nll"] == pytest.approx(alone[0], **close)
    middle = surfaces[line.id][1]
    assert middle["batchnorm"] == {"rms": "nearest", "spectral": "renewed"}[name]
    assert middle["batchnorm_share"] is None
    if batchnorm != "interpolate":
        rays = rs.Rays(weights=(ends[0], ends[1]), num_rays=1, num_points=2, length=1.0, **settings)  # type: ignore[arg-type]
        do(rays, store)
        origins = [surface(store, rays)[number, "test"]["nll"] for number in (0, 2)]
        assert origins == pytest.approx(alone[:2], **close)


@pytest.mark.parametrize("kind", ["curve", "path"])
def test_curves_keep_their_own_buffers(kind: str, tmp_path: Path) -> None:
    """The middle of a curve has the metrics that its profile has there; bends and pivots have the trained buffers."""
    store = Store(str(tmp_path))
    ends = {"start": base("rms"), "end": base("rms", seed=1)}
    job: rs.Curve | rs.Path = (
        rs.Curve(**ends, epochs=2, lr=0.05)  # type: ignore[arg-type]
        if kind == "curve"
        else rs.Path(**ends, cycles=(rs.Cycle(epochs=1, lr=0.05, insert=1),) * 2, num_between=1)  # type: ignore[arg-type]
    )
    metrics = do(job, store)
    track = job.track(context_of(job, store))
    steps = [int(buffers["2.steps"]) for buffers in track.buffers if buffers]
    assert steps[0] == steps[-1] == 12
    passes = {"curve": 8, "path": 4 * 3 + 4 * 4}[kind]
    assert set(steps[1:-1]) == {12 + passes}
    profile = rs.Profile(along=job, num_points=3)
    do(profile, store)
    middle = surface(store, profile)[1, "test"]
    if kind == "curve":
        assert middle["nll"] == pytest.approx(metrics["test/nll"], rel=1e-6)
        assert recorded(job, store, "t=0.5") == {"nearest"}
    name = {"curve": "bend1", "path": "pivot1"}[kind]
    point, buffers = job.named_point(context_of(job, store), name)
    assert buffers["2.steps"] == 12 + passes
    predicted = do(rs.Predict(weights=rs.PointOf(of=job, name=name)), store)
    assert predicted["test/nll"] == pytest.approx(by_hand(job, store, point, buffers), rel=1e-5)

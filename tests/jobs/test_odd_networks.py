"""Jobs on networks whose weights, batches or outputs are not where most networks have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import raysurf as rs
from raysurf.errors import OutputError, UnsupportedLayerError
from raysurf.jobs.context import require_storable
from raysurf.jobs.network import Network
from raysurf.stochastic.convert import convert
from raysurf.stochastic.layers import VariationalLayer
from raysurf.store.store import Store
from raysurf.store.tables import rows_of_run
from raysurf.training import schemes
from raysurf.training.evaluation import logits_of, require_logits
from raysurf.training.workers import Workers
from tests.support import odd_networks
from tests.support.cases import tiny_curve, tiny_noise, tiny_sgd
from tests.support.execution import context_of, do


def model(name: str, **options: Any) -> rs.ModelSpec:
    return rs.ModelSpec(name=f"tests.support.odd_networks:{name}", options=options)


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
        assert torch.equal(edge.position.point["1.weight"], start["1.weight"])
        moved = sum(float((edge.position.point[k] - start[k]).double().square().sum()) for k in start) ** 0.5
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
    """A network with complex weights has the metrics and distances of the same one written in real numbers."""
    metrics = []
    for real in (False, True):
        store = Store(str(tmp_path / str(real)))
        job = JOBS[name](model("complex_weights", real=real))
        measured = do(job, store)
        if name in ("curve", "path"):
            line = rs.Profile(along=job if name == "curve" else rs.Line(start=job.start, end=job.end), num_points=3)
            do(line, store)
            rows = rows_of_run(store, "surface", (line if name == "curve" else job).id)
            measured["length"] = max(row["distance"] for row in rows)
        metrics.append({key: value for key, value in measured.items() if "error" not in key and "accuracy" not in key})
    assert metrics[0] == pytest.approx(metrics[1], rel=2e-3)


def test_weights_that_cannot_be_kept_are_told_before_training(tmp_path: Path) -> None:
    """Safetensors know no complex128, which is said before the first step; noise on complex weights is refused."""
    store, job = Store(str(tmp_path)), tiny_sgd(model=model("complex_weights", wide=True))
    with pytest.raises(OutputError, match="got real of complex128; expected numbers that can be stored"):
        do(job, store)
    assert not rows_of_run(store, "epochs", job.id)
    with pytest.raises(OutputError, match="got adjacency, a sparse_coo tensor; expected a dense one"):
        require_storable({"adjacency": torch.eye(3).to_sparse()})
    with pytest.raises(UnsupportedLayerError, match="Linear with complex weights"):
        VariationalLayer(torch.nn.Linear(3, 2, dtype=torch.complex64))


ANSWERING = {
    "sgd": lambda spec: tiny_sgd(model=spec),
    "curve": lambda spec: tiny_curve(start=tiny_sgd(model=spec), end=tiny_sgd(model=spec, seed=1)),
    "mean teacher": lambda spec: tiny_sgd(
        model=spec,
        data=rs.DataSpec(name="digits", share=0.2, labelled=40),
        objective=rs.Consistency(labelled_batch=16, noise=0.3),
    ),
    "variational": lambda spec: tiny_noise(model=spec, noise=(rs.VarianceNoise(layers="net.3"),)),
}


@pytest.mark.parametrize("name", ANSWERING)
def test_answers_in_any_form_are_their_logits(name: str, tmp_path: Path) -> None:
    """Tuples, mappings and objects with logits give the metrics of the bare logits, in training and evaluation."""
    metrics = []
    every = {"tuple": True, "dict": True, "one entry": True, "named": True} if name == "sgd" else {}
    for form, always in {"tensor": True, "dataclass": False, **every}.items():
        store = Store(str(tmp_path / form))
        job = ANSWERING[name](model("wrapped", form=form, always=always))
        metrics.append(do(job, store))
    assert all(values == metrics[0] for values in metrics)


def test_torchvisions_auxiliary_logits_are_left_out() -> None:
    """GoogLeNet and Inception in training answer with several logits, of which the network's own count."""
    from torchvision.models import GoogLeNetOutputs, InceptionOutputs

    own, aux = torch.randn(2, 7), torch.randn(2, 7)
    assert logits_of(GoogLeNetOutputs(own, aux, aux)) is own
    assert logits_of(InceptionOutputs(own, aux)) is own


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"more": -3}, r"got outputs \[2, 7\] to 2 images; expected \[2, 10\], a real number for each class"),
        ({"form": "transposed"}, r"got outputs \[10, 2\]"),
        ({"form": "unnamed dict"}, r"got a dict of aux, main; expected logits \[B, classes\], alone, as `logits`"),
    ],
)
def test_answers_that_are_no_logits_are_told_before_training(options: Any, said: str, tmp_path: Path) -> None:
    """Too few outputs, or none that can be told from others, are an error before the first step."""
    store = Store(str(tmp_path))
    job = tiny_sgd(model=model("wrapped", **options))
    with pytest.raises(OutputError, match=said):
        do(job, store)
    assert not rows_of_run(store, "epochs", job.id)


def test_asking_a_network_changes_nothing() -> None:
    """Weights, buffers, modes and torch's generator are as before, noise and batch norm notwithstanding."""
    net = convert(odd_networks.dropping(10, (1, 8, 8)), "head", lambda layer: VariationalLayer(layer))
    net.head = torch.nn.Sequential(net.head, torch.nn.BatchNorm1d(10))
    net.layer.eval()  # type: ignore[union-attr, operator]
    net.register_buffer("calls", torch.zeros(0))

    def count(module: torch.nn.Module, inputs: object) -> None:
        net.calls = torch.cat([net.calls, torch.ones(1)])  # type: ignore[list-item]

    net.register_forward_pre_hook(count)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes, state = [module.training for module in net.modules()], torch.get_rng_state()
    require_logits(net, (1, 8, 8), 10)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert modes == [module.training for module in net.modules()]
    assert torch.equal(state, torch.get_rng_state())


def test_batches_on_any_axis_have_samples_of_their_own(tmp_path: Path) -> None:
    """Noise on [places, batch, width] and on merged patches: the same answers whatever the batches."""
    store = Store(str(tmp_path))
    noise = (rs.VariationalDropout(layers="layer.linear*, patch", log_alpha=-2.0), rs.Dropout(layers="embed", p=0.1))
    job = tiny_noise(model=model("time_first"), noise=noise)
    metrics = do(job, store)
    assert metrics["test/stochastic_nll"] != metrics["test/deterministic_nll"]
    net = Network(job, context := context_of(job, store))
    net.place(*context.weights(job))
    nlls = [
        schemes.measure(net.model, net.data, net.data.test, Workers(), "ensemble", 3, 0, batch_size=size)[3].nll
        for size in (128, 50, 11)
    ]
    assert nlls == pytest.approx(3 * [nlls[0]], rel=1e-4)


@pytest.mark.parametrize("name", ["five_dimensions", "lazy"])
def test_kernels_of_five_dimensions_and_lazy_layers_train(name: str, tmp_path: Path) -> None:
    """Such networks train, are read again and made noisy."""
    store, start = Store(str(tmp_path)), tiny_sgd(model=model(name))
    plain = do(start, store)
    assert do(rs.Predict(weights=start), store)["test/accuracy"] == plain["test/accuracy"]
    layers = "flat" if name == "five_dimensions" else "0"
    quiet = rs.VariationalDropout(layers=layers, log_alpha=-12.0)
    net = Network(job := tiny_noise(model=None, data=None, start=start, noise=(quiet,)), context_of(job, store))
    job._initialise(net, context_of(job, store))
    assert net.measure("test").accuracy == plain["test/accuracy"]

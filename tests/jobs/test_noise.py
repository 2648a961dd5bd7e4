"""Jobs whose weights are noise: what they start from, what they report, and what they refuse."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import raysurf as rs
from raysurf.errors import DataError, DivergedError, SpecError, UnknownNameError, UnsupportedLayerError
from raysurf.jobs.network import Network
from raysurf.jobs.parse import parse_job
from raysurf.stochastic.layers import VarianceLayer, noisy_layers
from raysurf.store.store import Store
from raysurf.store.tables import rows_of_run
from tests.support.cases import tiny_curve, tiny_noise, tiny_sgd
from tests.support.execution import context_of, do

VARIANCE = (rs.VarianceNoise(layers="9"),)


def rows_of(store: Store, table: str, job: Any) -> list[dict[str, Any]]:
    return rows_of_run(store, table, job.id)


def weights_of(job: Any, store: Store, name: str) -> torch.Tensor:
    return context_of(job, store).weights(job)[0][name]


def initial(job: rs.Variational, store: Store) -> torch.Tensor:
    """sigma of the noisy layer before training."""
    context = context_of(job, store)
    net = Network(job, context)
    job._initialise(net, context)
    layer = noisy_layers(net.model)["9"]
    assert isinstance(layer, VarianceLayer)
    return layer.sigma.detach()


def test_variational_job_reports_its_schemes_and_bound(tmp_path: Path) -> None:
    """Three schemes, ensembles of 1, 2 and K on validation and test, the bound, and the divergence of every epoch."""
    job, store = tiny_noise(num_samples=3), Store(str(tmp_path))
    metrics = do(job, store)
    schemes = {
        (row["scheme"], row["num_samples"]) for row in rows_of(store, "predictions", job) if row["split"] == "test"
    }
    assert schemes == {("deterministic", 1), ("stochastic", 1), ("ensemble", 1), ("ensemble", 2), ("ensemble", 3)}
    assert {row["scheme"] for row in rows_of(store, "predictions", job) if row["split"] == "train"} == {
        "deterministic",
        "stochastic",
    }
    assert metrics["test/accuracy"] == metrics["test/ensemble_accuracy"]
    assert set(job.metric_names()) >= set(metrics)
    epochs = rows_of(store, "epochs", job)
    assert [row["scheme"] for row in epochs] == ["stochastic"] * 2
    assert epochs[-1]["kl"] == pytest.approx(metrics["train/kl"], rel=1e-6)
    # The bound is at most minus the divergence, and its data term is that of some 20 examples a class.
    assert -1000.0 < metrics["train/elbo"] + metrics["train/kl"] < 0.0


def test_start_weights_are_taken_and_the_start_is_left_alone(tmp_path: Path) -> None:
    """Means begin on the start's weights; with next to no noise the network answers as the start does."""
    store, start = Store(str(tmp_path)), tiny_sgd()
    plain = do(start, store)
    quiet = rs.VariationalDropout(layers="9", sharing="weight", log_alpha=-40.0)
    job = tiny_noise(model=None, data=None, start=start, noise=(quiet,), lr=1e-12, epochs=1)
    noisy = do(job, store)
    assert torch.allclose(weights_of(job, store, "9.weight"), weights_of(start, store, "9.weight"), atol=1e-6)
    # Batch norm's statistics have moved with the epoch.
    predict = rs.Predict(weights=job, batchnorm="reestimate")
    reference = do(rs.Predict(weights=start, batchnorm="reestimate"), store)
    assert do(predict, store)["test/ensemble_accuracy"] == reference["test/accuracy"]
    assert noisy["test/deterministic_accuracy"] == noisy["test/ensemble_accuracy"]
    assert plain["test/accuracy"] > 0.3


@pytest.mark.parametrize(
    "name", ["spectral_parametrised", "weight_normed", "spectral_hooked", "weight_hooked", "pruned", "tied", "twice"]
)
def test_means_begin_on_the_starts_effective_weights(name: str, tmp_path: Path) -> None:
    """With next to no noise the answers are the start's, however its layers come by their weights."""
    store = Store(str(tmp_path))
    start = tiny_sgd(model=rs.ModelSpec(name=f"tests.support.odd_networks:{name}"), epochs=4)
    plain = do(start, store)
    context = context_of(start, store)
    # A pass in training goes on with the power iteration of a spectral norm that stays.
    for layers in ("1, 3",) if name.startswith("spectral") else ("1", "3", "*"):
        quiet = rs.VariationalDropout(layers=layers, log_alpha=-12.0)
        job = tiny_noise(model=None, data=None, start=start, noise=(quiet,), lr=1e-9, epochs=1)
        noisy = do(job, store)
        assert noisy["test/deterministic_accuracy"] == plain["test/accuracy"]
        assert noisy["test/deterministic_nll"] == pytest.approx(plain["test/nll"], rel=1e-4)
        # What is stored is read into a network of the same layers.
        again = do(rs.Predict(weights=job, schemes=("deterministic",)), store)
        assert again["test/accuracy"] == plain["test/accuracy"]
    sigma = rs.SigmaFromMeans(of=start).sigma_of("1", torch.zeros(64, 64), context)
    net = Network(start, context)
    net.place(*context.weights(start))
    layer = net.model.eval()[1]  # type: ignore[index]
    with torch.no_grad():
        weight = (layer(torch.eye(64)) - layer(torch.zeros(1, 64))).T
    assert torch.allclose(sigma, weight.abs(), atol=1e-6)


def test_dropout_without_a_module_is_a_scheme_too(tmp_path: Path) -> None:
    """Samples of a network with dropout inside of its layers differ, and noise that cannot be had is warned of."""
    store, every = Store(str(tmp_path)), ("deterministic", "stochastic", "ensemble")
    for hidden in (False, True):
        model = rs.ModelSpec(name="tests.support.odd_networks:dropping", options={"hidden": hidden})
        start = tiny_sgd(model=model)
        do(start, store)
        job = rs.Predict(weights=start, schemes=every, num_samples=20)
        if hidden:
            with pytest.warns(
                UserWarning, match="noise of Dropping is in no prediction: it is drawn in training alone"
            ):
                metrics = do(job, store)
        else:
            metrics = do(job, store)
        nll = [metrics[f"test/{scheme}_nll"] for scheme in every]
        assert nll[1] > nll[0] + 0.003 and nll[1] > nll[2] + 0.003, nll


def test_a_start_of_other_noise_gives_its_means_or_says_what_it_lacks(tmp_path: Path) -> None:
    """Noise that means something else is not taken over, and a variance network leaves no means."""
    store, start = Store(str(tmp_path)), tiny_noise(epochs=1)
    do(start, store)

    def begun(**changes: Any) -> Network:
        job = tiny_noise(model=None, data=None, start=start, **changes)
        net = Network(job, context := context_of(job, store))
        job._initialise(net, context)
        return net

    def log_noise(net: Network, name: str) -> torch.Tensor:
        return dict(net.model.named_buffers()).get(name, dict(net.model.named_parameters()).get(name))  # type: ignore[return-value]

    trained = weights_of(start, store, "9.log_noise")
    assert torch.equal(log_noise(begun(), "9.log_noise"), trained)
    additive = rs.VariationalDropout(layers="9", sharing="additive", log_alpha=-7.0)
    assert log_noise(begun(noise=(additive,)), "9.log_noise").unique().tolist() == [-7.0]
    other = begun(noise=(rs.VariationalDropout(layers="11"),))
    assert torch.equal(dict(other.model.named_parameters())["9.weight"], weights_of(start, store, "9.weight"))
    start = tiny_noise(noise=(rs.GaussianDropout(layers="9", alpha=0.5),), epochs=1)
    do(start, store)
    fixed = begun(noise=(rs.GaussianDropout(layers="9", alpha=0.25),))
    assert log_noise(fixed, "9.log_noise").item() == pytest.approx(math.log(0.25))
    start = tiny_noise(noise=VARIANCE, epochs=1)
    do(start, store)
    with pytest.raises(
        DataError, match=r"no value of 9\.weight, .* there; expected a start whose noise is in the same layers"
    ):
        begun()


def test_initial_deviations_are_what_was_asked(tmp_path: Path) -> None:
    """Each kind of initial sigma has its scale; from means it is sqrt(alpha) |mean|, from noise that noise's."""
    store, start, trained = Store(str(tmp_path)), tiny_sgd(), tiny_noise()
    do(start, store)
    do(trained, store)
    fan_in = 32

    def sigma(init: Any, **changes: Any) -> torch.Tensor:
        return initial(tiny_noise(noise=VARIANCE, init=init, **changes), store)

    assert fan_in == sigma(None)[0].numel()
    uniform = sigma(rs.UniformSigma(scale=2.0))
    assert 1.9 < uniform.abs().max().item() * math.sqrt(fan_in) <= 2.0
    assert sigma(rs.ConstantSigma(sigma=0.3)).unique().tolist() == pytest.approx([0.3])
    assert sigma(rs.KaimingSigma(scale=3.0)).std().item() == pytest.approx(3.0 * math.sqrt(2 / fan_in), rel=0.05)
    means = weights_of(start, store, "9.weight")
    assert torch.allclose(sigma(rs.SigmaFromMeans(of=start, alpha=4.0)), 2.0 * means.abs())
    alpha = weights_of(trained, store, "9.log_noise").exp()
    mu = weights_of(trained, store, "9.weight")
    expected = 0.5 * (alpha * mu.square()).sqrt()
    assert torch.allclose(sigma(rs.SigmaFromNoise(of=trained, scale=0.5)), expected, atol=1e-7)
    assert torch.equal(sigma(rs.UniformSigma(), seed=1), sigma(rs.UniformSigma(), seed=1))
    assert not torch.equal(sigma(rs.UniformSigma(), seed=1), sigma(rs.UniformSigma(), seed=2))


def test_noise_says_what_the_layers_carry(tmp_path: Path) -> None:
    """SNR is one over alpha, log alpha is the trained one, shares add up, and histograms are of all examples."""
    store = Store(str(tmp_path))
    weights = tiny_noise(noise=(rs.VariationalDropout(layers="9, 11", sharing="layer", log_alpha=0.0),))
    job = rs.NoiseOf(weights=weights, layer="9", neurons=(3,), num_samples=2, num_bins=10, num_draws=50)
    metrics = do(job, store)
    first, second = rows_of(store, "layers", job)
    assert (first["layer"], second["layer"], first["num_weights"]) == ("9", "11", 2048)
    log_alpha = weights_of(weights, store, "9.log_noise").item()
    assert first["log_alpha"] == pytest.approx(log_alpha, abs=1e-5)
    assert first["snr"] == pytest.approx(math.exp(-log_alpha), rel=1e-4)
    assert first["kl_share"] + second["kl_share"] == pytest.approx(1.0)
    assert first["mmd"] == pytest.approx(first["mmd_closed"], abs=0.01)
    assert first["mmd_closed"] == pytest.approx(2 / math.e * (1 - math.exp(-first["snr"] / 2)), rel=2e-3)
    assert metrics["kl"] == pytest.approx(first["kl"] + second["kl"])
    shares: dict[int, float] = {}
    for row in rows_of(store, "activations", job):
        assert (row["neuron"], row["layer"]) == (3, "9")
        shares[row["label"]] = shares.get(row["label"], 0.0) + row["share"]
    assert shares == pytest.approx(dict.fromkeys(range(10), 1.0))
    assert sum({row["label"]: row["num_draws"] for row in rows_of(store, "activations", job)}.values()) == 1000


def test_variance_layers_have_no_signal(tmp_path: Path) -> None:
    """SNR and MMD of a variance layer are zero but for the estimate's own error, and it has no log alpha."""
    store = Store(str(tmp_path))
    job = rs.NoiseOf(weights=tiny_noise(noise=VARIANCE), num_draws=50)
    do(job, store)
    (row,) = rows_of(store, "layers", job)
    assert (row["snr"], row["mmd_closed"], row["log_alpha"], row["kl_share"]) == (0.0, 0.0, None, None)
    assert abs(row["mmd"]) < 1e-3


def test_regions_describe_the_plane(tmp_path: Path) -> None:
    """Rows of every example and node, with the moments of the bottleneck: of a variance layer the mean is its bias."""
    store = Store(str(tmp_path))
    weights = tiny_noise(
        model=rs.ModelSpec(name="toy_mlp", options={"width": 10}),
        data=rs.DataSpec(name="toy_gaussians", share=0.1),
        noise=(rs.VarianceNoise(layers="bottleneck"),),
    )
    job = rs.Regions(weights=weights, grid=4, num_samples=3)
    do(job, store)
    rows = rows_of(store, "inputs", job)
    assert {o: sum(row["origin"] == o for row in rows) for o in ("train", "test", "grid")} == {
        "train": 200,
        "test": 2000,
        "grid": 16,
    }
    bias = weights_of(weights, store, "bottleneck.bias").tolist()
    assert all(row["output_mean"] == pytest.approx(bias) and min(row["output_std"]) > 0 for row in rows)
    assert all((row["label"] is None) == (row["origin"] == "grid") for row in rows)
    examples = [row for row in rows if row["origin"] == "test"]
    centre = [sum(row[axis] for row in examples) / len(examples) for axis in ("x", "y")]
    assert centre == pytest.approx([6.5, 6.5], abs=0.2)


def test_members_of_curves_and_ensembles_are_schemes_too(tmp_path: Path) -> None:
    """FGE's members and points of a curve give an ensemble and one of them; means are no scheme of theirs."""
    store = Store(str(tmp_path))
    fge = rs.FGE(start=tiny_sgd(), epochs=6, cycle_epochs=2, schedule=rs.Triangle(high=0.05, low=0.005))
    own = do(fge, store)
    assert do(rs.Predict(weights=fge), store)["test/ensemble_accuracy"] == own["test/accuracy"]
    job = rs.Predict(weights=tiny_curve(), num_samples=3)
    do(job, store)
    rows = [row for row in rows_of(store, "predictions", job) if row["split"] == "test"]
    assert [(row["scheme"], row["num_samples"]) for row in rows] == [
        ("stochastic", 1),
        ("ensemble", 1),
        ("ensemble", 2),
        ("ensemble", 3),
    ]
    assert {row["batchnorm"] for row in rows} == {"reestimate"}


def test_planes_of_noisy_networks_are_of_their_means(tmp_path: Path) -> None:
    """Surfaces take the means of noisy weights, so that a point is measured the same each time."""
    store, job = Store(str(tmp_path)), tiny_noise()
    metrics = do(job, store)
    line = rs.Profile(along=rs.Line(start=job, end=tiny_noise(seed=1)), num_points=2, batchnorm="fixed")
    do(line, store)
    rows = [row for row in rows_of(store, "surface", line) if row["split"] == "test" and row["t"] == 0.0]
    assert rows[0]["error"] == pytest.approx(metrics["test/deterministic_error"])


@pytest.mark.parametrize(
    ("noise", "kind", "said"),
    [
        (
            rs.VarianceNoise(layers="dense*"),
            UnknownNameError,
            r"unknown layer: got 'dense\*'; expected one of 0, 4, 9, 11",
        ),
        (
            rs.VarianceNoise(layers="1"),
            UnsupportedLayerError,
            "got 1, a BatchNorm2d; expected Linear, Conv1d or Conv2d",
        ),
    ],
)
def test_layers_that_are_not_there_are_told(noise: Any, kind: type[Exception], said: str, tmp_path: Path) -> None:
    """A pattern without a match lists the layers; a layer that cannot be noisy is named. Both are failed rows."""
    job, store = tiny_noise(noise=(noise,)), Store(str(tmp_path))
    with pytest.raises(kind, match=said):
        do(job, store)
    (row,) = rows_of(store, "runs", job)
    assert row["status"] == "failed"
    assert kind.__name__ in row["error"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"noise": {"kind": "gaussian_dropout", "layers": "9", "alpha": 0.0}},
            "alpha: got 0.0; expected greater than 0",
        ),
        ({"noise": {"kind": "dropout", "layers": "9", "p": 1.0}}, "p: got 1.0; expected less than 1"),
        ({"noise": {"kind": "variational_dropout", "layers": "9", "clip": [1.0, -1.0]}}, "clip from 1 to -1; give"),
        ({"noise": {"kind": "varience", "layers": "9"}}, "did you mean 'variance'"),
        ({"init": {"kind": "constant", "sigma": -0.1}}, "sigma: got -0.1; expected greater than 0"),
        ({"init": {"kind": "constant", "sigma": 1.0, "lr": 0.1}}, "init.lr: got an unknown key; expected one of sigma"),
        ({"num_samples": 0}, "num_samples: got 0; expected greater than or equal to 1"),
        ({"noise": []}, "noise: got .*; expected .* at least 1 item"),
        ({"kl_warmup": [5, 5]}, "kl_warmup from 5 to 5; give two epochs"),
        (
            {"noise": {"kind": "dropout", "layers": "9"}, "init": {"kind": "uniform"}},
            "init is for noise of kind: variance",
        ),
        (
            {"init": {"kind": "from_means", "of": tiny_sgd().tree}},
            r"init is of digits_conv with options {'width': 4}; it must be of digits_conv with options {}",
        ),
    ],
)
def test_bad_noise_is_refused(change: dict[str, Any], said: str) -> None:
    """Each mistake of a variational job is one fault that says what was got and what was expected."""
    tree = {"kind": "variational", "model": "digits_conv", "data": "digits", "epochs": 1, "noise": None}
    tree["noise"] = {"kind": "variance", "layers": "9"}
    with pytest.raises(SpecError, match=said) as caught:
        parse_job({**tree, **change})
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: rs.Predict(weights=tiny_noise(), num_samples=0), "greater than or equal to 1"),
        (
            lambda: rs.Predict(weights=tiny_noise(noise=(rs.Dropout(layers="9"),)), schemes=("permuted",)),
            "no scheme permuted of variational weights; they can give deterministic, stochastic, ensemble",
        ),
        (lambda: rs.Predict(weights=tiny_curve(), schemes=("deterministic",)), "can give stochastic, ensemble"),
        (lambda: rs.Predict(weights=tiny_curve(), batchnorm="fixed"), "no statistics of their own"),
        (
            lambda: rs.Predict(weights=rs.FGE(start=tiny_sgd(), epochs=6, lr=0.1, cycle_epochs=2), num_samples=4),
            "num_samples 4 is more than the 3 members of fge",
        ),
        (lambda: rs.NoiseOf(weights=tiny_sgd()), "weights of sgd have no noise"),
        (lambda: rs.NoiseOf(weights=tiny_noise(), layer="9"), "layer and neurons go together"),
    ],
)
def test_schemes_that_weights_cannot_give_are_refused(make: Any, said: str) -> None:
    """What weights cannot give is refused before anything runs, with what they can."""
    with pytest.raises(ValueError, match=said):
        make()


def test_ensemble_of_a_network_without_noise_is_refused(tmp_path: Path) -> None:
    """Whether plain weights have dropout shows only in the network: a failed row names what they can give."""
    job, store = rs.Predict(weights=tiny_sgd(), schemes=("ensemble",)), Store(str(tmp_path))
    with pytest.raises(UnknownNameError, match="got 'ensemble'; expected one of deterministic"):
        do(job, store)


def test_neurons_that_are_not_there_are_told(tmp_path: Path) -> None:
    """A neuron beyond the layer's outputs, and a layer that the network lacks."""
    store = Store(str(tmp_path))
    with pytest.raises(DataError, match="neuron 64 of 9; expected one of its outputs 0 to 63"):
        do(rs.NoiseOf(weights=tiny_noise(), layer="9", neurons=(64,), num_samples=1), store)
    with pytest.raises(UnknownNameError, match="unknown layer: got '99'"):
        do(rs.NoiseOf(weights=tiny_noise(), layer="99", neurons=(0,)), store)


def test_diverged_bound_is_a_failed_row_with_its_step(tmp_path: Path) -> None:
    """A rate that throws the weights out of the finite numbers leaves a row that names epoch and step."""
    job, store = tiny_noise(lr=1e38, optimiser="sgd", epochs=3), Store(str(tmp_path))
    with pytest.raises(DivergedError, match=r"not finite at epoch \d, step \d+"):
        do(job, store)
    (row,) = rows_of(store, "runs", job)
    assert row["status"] == "failed"
    assert "step" in row["error"]
    assert json.loads(row["metrics"]) == {}

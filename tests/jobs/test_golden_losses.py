"""Golden losses: twenty steps of every kind of training on digits, equal on every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import raysurf as rs
from raysurf.jobs.job import Job
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from tests.support.execution import do

MODEL = rs.ModelSpec(name="digits_conv", options={"width": 4})
# Epochs of five steps.
DATA = rs.DataSpec(name="digits", share=0.2)
TRAINED: dict[str, Any] = {"batch_size": 40, "weight_decay": 1e-3, "evaluate_every": 4}


def sgd(**changes: Any) -> rs.SGD:
    return rs.SGD(**{"model": MODEL, "data": DATA, "epochs": 4, "lr": 0.1, **TRAINED, **changes})


def swa(**changes: Any) -> rs.SWA:
    return rs.SWA(**{"start": sgd(), "epochs": 4, "lr": 0.05, **changes})


def fge(**changes: Any) -> rs.FGE:
    return rs.FGE(start=sgd(), epochs=4, schedule=rs.Triangle(high=0.1, low=0.01), **changes)


def curve(**changes: Any) -> rs.Curve:
    return rs.Curve(start=sgd(), end=sgd(seed=1), epochs=4, lr=0.05, **changes)


def path(**changes: Any) -> rs.Path:
    cycles = (rs.Cycle(epochs=2, lr=0.1, insert=2), rs.Cycle(epochs=2, lr=0.05, insert=1))
    return rs.Path(start=sgd(), end=sgd(seed=1), cycles=cycles, num_between=2, **changes)


def noisy(noise: Any, **changes: Any) -> rs.Variational:
    start = {"model": MODEL, "data": DATA, "epochs": 4, "lr": 1e-2, "num_samples": 2, "elbo_samples": 2, **TRAINED}
    return rs.Variational(**{**start, "weight_decay": 0.0, "noise": noise, **changes})


def dropout(sharing: str, **changes: Any) -> rs.Variational:
    return noisy(rs.VariationalDropout(layers="9", sharing=sharing, log_alpha=-2.0), **changes)


def variance(**changes: Any) -> rs.Variational:
    return noisy(rs.VarianceNoise(layers="9"), **changes)


def consistent(**changes: Any) -> rs.SGD:
    objective = rs.Consistency(labelled_batch=10, ramp_up_epochs=2, noise=0.2, **changes)
    return sgd(data=rs.DataSpec(name="digits", share=0.2, labelled=40), objective=objective)


JOBS: dict[str, Callable[[], Job]] = {
    "sgd": sgd,
    "sgd nesterov": lambda: sgd(nesterov=True, lr=None, schedule=rs.Cosine(lr=0.1)),
    "sgd adam": lambda: sgd(optimiser="adam", lr=1e-2),
    "sgd augmented": lambda: sgd(data=rs.DataSpec(name="digits", share=0.2, augment="crop_flip")),
    "block float": lambda: sgd(objective=rs.BlockFloat()),
    "block float nearest": lambda: sgd(objective=rs.BlockFloat(rounding="nearest", block="tensor")),
    "mean teacher": consistent,
    "pi": lambda: consistent(method="pi"),
    "swa": swa,
    "swa cyclic": lambda: swa(lr=None, schedule=rs.Cyclic(high=0.1, low=0.01), cycle_epochs=2, members_per_cycle=2),
    "swa block float": lambda: swa(objective=rs.BlockFloat(accumulators=10)),
    "swag": lambda: rs.SWAG(start=sgd(), epochs=4, lr=0.05, rank=2, num_samples=2),
    "fge": fge,
    "curve bezier": curve,
    "curve polygonal": lambda: curve(shape="polygonal", num_bends=2, t_strata=2),
    "path": path,
    "path spring": lambda: path(spring=2.0),
    "dropout": lambda: noisy(rs.Dropout(layers="9", p=0.3)),
    "gaussian dropout": lambda: noisy(rs.GaussianDropout(layers="9", alpha=0.5)),
    "gaussian dropout by weights": lambda: noisy(rs.GaussianDropout(layers="4", alpha=0.5, local=False)),
    "variational dropout layer": lambda: dropout("layer"),
    "variational dropout neuron": lambda: dropout("neuron"),
    "variational dropout weight": lambda: dropout("weight", kl_warmup=(0, 2), samples=2, noise_rate=3.0),
    "variational dropout additive": lambda: dropout("additive"),
    "variational dropout ard": lambda: noisy(rs.VariationalDropout(layers="*", log_alpha=-2.0, prior="ard")),
    "variance": variance,
    "variance bernoulli": lambda: noisy(rs.VarianceNoise(layers="9", family="bernoulli"), init=rs.KaimingSigma()),
    "variance uniform": lambda: noisy(rs.VarianceNoise(layers="9", family="uniform", local=False)),
    "variance from means": lambda: variance(init=rs.SigmaFromMeans(of=sgd(), alpha=0.5)),
}


# Loss of training by epoch, NLL on the test split and, where there is one, the KL divergence at the end.
GOLDEN: dict[str, list[float]] = {
    "sgd": [2.24233674, 1.81591352, 1.11609216, 0.78135415, 0.901247463],
    "sgd nesterov": [2.22289784, 1.74245625, 1.13628249, 0.848451751, 1.05121964],
    "sgd adam": [2.2018579, 1.67590744, 1.15561832, 0.878151138, 1.2864851],
    "sgd augmented": [2.36890044, 2.33076706, 2.3278576, 2.30861825, 2.26461614],
    "block float": [2.24304588, 1.82957476, 1.15551833, 0.832855683, 0.948131121],
    "block float nearest": [2.2455298, 1.81689429, 1.12400179, 0.768229388, 0.924939633],
    "mean teacher": [2.2989437, 2.08832825, 1.84288329, 1.71954777, 1.91498104],
    "pi": [2.29898267, 2.09988119, 1.80201615, 1.52994525, 1.64179463],
    "swa": [0.647194196, 0.554434189, 0.378091263, 0.257525861, 0.44454435],
    "swa cyclic": [0.659641489, 0.495034121, 0.433758152, 0.319968836, 0.470371868],
    "swa block float": [0.645937507, 0.550673535, 0.375055892, 0.25968262, 0.446968235],
    "swag": [0.647194196, 0.554434189, 0.378091263, 0.257525861, 0.689736324],
    "fge": [0.661744627, 0.561640395, 0.395546545, 0.255018881, 0.528749645],
    "curve bezier": [1.36838867, 1.25864436, 0.971238376, 0.907513055, 1.52965512],
    "curve polygonal": [1.14082192, 1.22123778, 1.07328328, 0.83169483, 1.46210557],
    "path": [1.35435908, 0.932510252, 0.631857014, 0.523827548, 0.731645868],
    "path spring": [1.35273999, 0.936143818, 0.655001338, 0.564434784, 0.747965627],
    "dropout": [2.24915985, 1.95655499, 1.69356083, 1.54004559, 1.78051386],
    "gaussian dropout": [2.2259457, 1.84387791, 1.55688179, 1.34395693, 1.62704601],
    "gaussian dropout by weights": [2.26679634, 2.02063164, 1.83931248, 1.69948715, 1.92688837],
    "variational dropout layer": [2.1905125, 1.73446405, 1.4028067, 1.19203541, 1.52977316, 3021.3374],
    "variational dropout neuron": [2.19051239, 1.73446352, 1.40280603, 1.19203382, 1.52977227, 3021.34375],
    "variational dropout weight": [2.19626873, 1.73743448, 1.38173551, 1.15839427, 1.2358829, 2815.4624],
    "variational dropout additive": [2.59279793, 2.36895847, 2.31663914, 2.2083868, 2.19227217, 45.9607468],
    "variational dropout ard": [2.27952461, 2.04779919, 1.90995274, 1.78433315, 1.87143744, 3065.30518],
    "variance": [2.33678513, 2.25853931, 2.23966122, 2.17266636, 2.24117141],
    "variance bernoulli": [2.44401939, 2.50907314, 2.40568527, 2.34584961, 2.34732883],
    "variance uniform": [2.31036594, 2.36127392, 2.26477264, 2.29188324, 2.29905376],
    "variance from means": [2.31309029, 2.2347649, 2.20541756, 2.14172554, 2.21898166],
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    """Two stores, each with inputs of its own."""
    first, second = (Store(str(tmp_path_factory.mktemp(name))) for name in ("first", "second"))
    return first, second


@pytest.mark.parametrize("name", JOBS)
def test_losses_are_golden(name: str, stores: tuple[Store, Store]) -> None:
    """Twenty steps give the losses written down, and twice the same ones to the last bit."""
    first, second = (_losses(JOBS[name](), store) for store in stores)
    assert first == second
    # Other CPUs add in another order. Measured, AVX2 against SSE4: 6e-7 at most, but from the third epoch on up to 6e-5
    # with augmentation (a loss near chance) and 1e-2 with rounded weights, once a rounding falls to the other side.
    spread = 3e-2 if "block float" in name else 3e-4 if "augmented" in name else 1e-6
    assert first[:2] == pytest.approx(GOLDEN[name][:2], rel=1e-6)
    assert first[2:] == pytest.approx(GOLDEN[name][2:], rel=spread)


def _losses(job: Job, store: Store) -> list[float]:
    metrics = do(job, store)
    epochs = [row for row in read_rows(store, "epochs", job.id) if row["train_nll"] is not None]
    losses = [row["train_nll" if row["train_loss"] is None else "train_loss"] for row in epochs]
    nll = metrics["test/nll" if "test/nll" in metrics else "test/mean_nll"]
    return [*losses, nll, *filter(None, [epochs[-1]["kl"]])]

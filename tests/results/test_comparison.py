"""Comparisons: ours by hand, published figures beside them, and which runs count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raysurf.errors import StoreError, UnknownNameError
from raysurf.results.comparison.compare import SCHEMA, compare
from raysurf.results.comparison.published import DATA, NETWORKS
from raysurf.results.comparison.tables import LAYOUTS
from tests.support.noisy_runs import DROPOUT, LAYER, VARIANCE, WEIGHT, NoisyStore, schemes

Row = dict[str, Any]


@pytest.fixture
def noisy(tmp_path: Path) -> NoisyStore:
    """An empty store to fill."""
    return NoisyStore(tmp_path / "results")


def rows(noisy: NoisyStore, name: str, *sweeps: str, **where: str) -> list[Row]:
    """Rows of a comparison whose columns have the values asked for."""
    compared = noisy.open().compare(name, sweeps).to_pylist()
    return [row for row in compared if all(row[column] == value for column, value in where.items())]


def labels(noisy: NoisyStore, *sweeps: str, method: str = "layer") -> list[str]:
    """Settings on a row of the parameterizations, in order."""
    return [row["setting"] for row in rows(noisy, "parameterizations", *sweeps, method=method, figure="elbo")]


def test_means_and_spreads_are_those_by_hand(noisy: NoisyStore) -> None:
    """Mean and standard deviation (n - 1) over three seeds, in the written schema; the ensemble of most samples."""
    for seed, (elbo, deterministic, ensemble) in enumerate([(-500, 0.1, 0.98), (-600, 0.1, 0.99), (-700, 0.4, 1.0)]):
        noisy.run(LAYER, schemes(0.9, deterministic, ensemble), elbo=elbo, seed=seed)
    table = noisy.open().compare("parameterizations")
    assert table.schema.equals(SCHEMA)
    got = {row["figure"]: row for row in table.to_pylist() if row["method"] == "layer"}
    assert list(got) == ["elbo", "deterministic accuracy", "ensemble accuracy"]
    assert {name: (row["mean"], row["std"]) for name, row in got.items()} == {
        "elbo": (pytest.approx(-600), pytest.approx(100)),
        "deterministic accuracy": (pytest.approx(0.2), pytest.approx(0.03**0.5)),
        "ensemble accuracy": (pytest.approx(0.99), pytest.approx(0.01)),
    }
    assert [row["num_seeds"] for row in got.values()] == [3, 3, 3]
    assert [row["num_samples"] for row in got.values()] == [None, 1, 10]
    assert [row["unit"] for row in got.values()] == ["nats", "fraction", "fraction"]
    assert [row["published"] for row in got.values()] == [-5.9e2, 0.113, 0.992]


def test_one_seed_has_no_spread(noisy: NoisyStore) -> None:
    """A mean of one is given without a standard deviation."""
    noisy.run(VARIANCE, schemes(0.95, 0.1, 0.99))
    (row,) = rows(noisy, "schemes", method="variance", figure="stochastic accuracy")
    assert (row["mean"], row["std"], row["num_seeds"], row["published"]) == (0.95, None, 1, 0.959)


def test_rows_that_are_missing_are_there_with_the_published_figure(noisy: NoisyStore) -> None:
    """The layout is whole: a parameterization that was not run, and a figure that a run lacks, have no mean."""
    noisy.run(WEIGHT, {"deterministic": 0.8})
    table = rows(noisy, "parameterizations")
    assert [row["method"] for row in table[::3]] == ["layer", "neuron", "weight", "additive"]
    assert [(row["num_seeds"], row["group"]) for row in table if row["method"] == "layer"] == [(0, None)] * 3
    weight = {row["figure"]: (row["mean"], row["published"]) for row in table if row["method"] == "weight"}
    assert weight == {
        "elbo": (None, -6.4e4),
        "deterministic accuracy": (0.8, 0.813),
        "ensemble accuracy": (None, 0.992),
    }


def test_what_nobody_published_has_no_published_figure(noisy: NoisyStore) -> None:
    """Digits, and networks and kinds of noise that are not in print, stand below what is, without rows of print."""
    noisy.run(VARIANCE, schemes(0.9, 0.1, 0.95), model="digits_conv", data="digits")
    noisy.run(VARIANCE | {"family": "bernoulli"}, schemes(0.9, 0.1, 0.95))
    matches = rows(noisy, "schemes", figure="ensemble accuracy")
    assert [(row["data"], row["method"], row["mean"], row["published"]) for row in matches] == [
        ("mnist", "dropout", None, 0.994),
        ("mnist", "variance", None, 0.993),
        ("mnist", "variance, bernoulli", 0.95, None),
        ("digits", "variance", 0.95, None),
    ]


@pytest.mark.parametrize(
    ("noise", "name", "method"),
    [
        (LAYER, "parameterizations", "layer"),
        (WEIGHT, "parameterizations", "weight"),
        ([DROPOUT, LAYER | {"sharing": "additive"}], "parameterizations", "additive"),
        ([LAYER, WEIGHT], "parameterizations", "layer + weight"),
        (DROPOUT, "schemes", "dropout"),
        ([DROPOUT, VARIANCE], "schemes", "variance"),
        (VARIANCE | {"family": "gaussian"}, "schemes", "variance"),
        ({"kind": "gaussian_dropout"}, "schemes", "gaussian dropout"),
        (WEIGHT, "schemes", "variational dropout, weight"),
        ([], "schemes", "no noise"),
    ],
)
def test_noise_decides_the_row(noise: Row, name: str, method: str, noisy: NoisyStore) -> None:
    """A run stands on the row of its noise, defaults that its job leaves out included."""
    noisy.run(noise, schemes(0.9, 0.8, 0.95), elbo=-1.0)
    assert {row["method"] for row in rows(noisy, name) if row["num_seeds"]} == {method}


def test_every_published_figure_has_its_row_and_column() -> None:
    """What is in print is named as the layouts and our names of networks and data are, and accuracies are fractions."""
    for layout in (layout for layouts in LAYOUTS.values() for layout in layouts):
        columns = [column.name for column in layout.columns]
        for (network, data), methods in layout.published.metrics.items():
            assert network in NETWORKS.values() and data in DATA.values()
            assert list(methods) == list(layout.methods) or not layout.methods
            for published in methods.values():
                assert list(published) == [name for name in columns if name in published]
                assert list(published) == columns or not layout.methods
                assert all(0 < value < 1 for name, value in published.items() if name != "elbo")
        assert set(layout.rank) <= set(columns)


def test_settings_on_one_row_are_told_apart(noisy: NoisyStore) -> None:
    """A search's trials are one line each, named by what differs, the best last, one without the figure first."""
    for lr, elbo in ((0.1, -900.0), (0.01, -700.0), (0.001, None)):
        for seed in (0, 1):
            columns = {"params": f'{{"lr": {lr}, "epochs": 30}}', "seed": seed}
            noisy.run(LAYER, schemes(0.9, 0.1, 0.99), elbo=elbo, setting={"lr": lr}, **columns)
    assert labels(noisy) == ["lr = 0.001", "lr = 0.1", "lr = 0.01"]
    noisy.run(LAYER, schemes(0.9, 0.1, 0.99), elbo=-800.0, setting={"lr": 1e-4}, arm="variational width=20")
    assert labels(noisy)[2:] == ["variational width=20", "variational, lr = 0.01"]


def test_settings_that_only_their_jobs_tell_apart(noisy: NoisyStore) -> None:
    """Where configuration and searched values agree, other fields of the job are said, and at last the group."""
    noisy.run(LAYER, elbo=-900.0, setting={"epochs": 30, "start": {"lr": 0.1, "seed": 1}})
    noisy.run(LAYER, elbo=-800.0, setting={"epochs": 200, "start": {"lr": 0.1, "seed": 2}})
    assert labels(noisy) == ["epochs = 30", "epochs = 200"]
    noisy.run(LAYER, elbo=-700.0, setting={"epochs": 200, "start": {"lr": 0.1}}, group="variational-1")
    assert labels(noisy)[0] == "epochs = 30" and labels(noisy)[2] == "epochs = 200, variational-1"


def test_networks_are_apart_though_print_has_one_name(noisy: NoisyStore) -> None:
    """LeNet-5 with and without batch norm are rows of their own, each beside the published figures."""
    noisy.run(DROPOUT, schemes(0.9, 0.9, 0.91), model="lenet5")
    noisy.run(DROPOUT, schemes(0.9, 0.9, 0.92))
    matches = rows(noisy, "schemes", method="dropout", figure="ensemble accuracy")
    got = [(row["model"], row["setting"], row["mean"], row["published"]) for row in matches]
    assert got == [("lenet5", "", 0.91, 0.994), ("lenet5_bn", "", 0.92, 0.994)]


def test_sweeps_choose(noisy: NoisyStore) -> None:
    """A sweep has its own runs, those of its trials that another ran, and the inputs of both, by its own names."""
    mine = noisy.run(LAYER, elbo=-1.0, setting={"lr": 1}, arm="own")
    other = noisy.run(LAYER, elbo=-2.0, setting={"lr": 2}, arm="other's", sweep="earlier")
    start = noisy.run(LAYER, elbo=-3.0, setting={"lr": 3}, sweep="earlier", role="input")
    noisy.run(LAYER, elbo=-4.0, setting={"lr": 4}, sweep="earlier")
    noisy.trial("noisy", [mine, other], "shared")
    noisy.run([], kind="noise", inputs=[start])
    assert labels(noisy, "noisy") == ["input of variational", "shared, lr = 2", "shared, lr = 1"]
    assert labels(noisy, "earlier") == ["variational", "input of variational", "other's"]
    assert len(labels(noisy, "noisy", "earlier")) == len(labels(noisy)) == 4


def test_seeds_of_several_sweeps_are_replicates(noisy: NoisyStore) -> None:
    """Runs of one group count together, whichever sweep ran them."""
    noisy.run(LAYER, elbo=-1.0, seed=0)
    noisy.run(LAYER, elbo=-3.0, seed=1, sweep="more")
    (row,) = rows(noisy, "parameterizations", method="layer", figure="elbo")
    assert (row["mean"], row["std"], row["num_seeds"]) == (-2.0, pytest.approx(2**0.5), 2)


def test_failed_runs_are_left_out_and_counted(noisy: NoisyStore) -> None:
    """Only finished runs count; others are counted by status if they had a place in the table."""
    noisy.run(LAYER, elbo=-1.0)
    for status, noise in (("failed", LAYER), ("failed", WEIGHT), ("stopped", LAYER), ("failed", DROPOUT)):
        noisy.run(noise, schemes(0.1, 0.1, 0.1), elbo=-9.0, status=status)
    (comparison,) = compare(noisy.open(), "parameterizations")
    assert comparison.left_out == {"failed": 2, "stopped": 1}
    assert sum(row["num_seeds"] for row in comparison.table.to_pylist()) == 1


def test_mistakes_name_what_there_is(noisy: NoisyStore) -> None:
    """Unknown tables and sweeps get the nearest name; a store without such runs says what it has."""
    noisy.run(DROPOUT, status="failed")
    with pytest.raises(UnknownNameError, match="did you mean 'schemes'"):
        noisy.open().compare("scheme")
    with pytest.raises(UnknownNameError, match=r"unknown sweep: got 'nosy'.*did you mean 'noisy'"):
        noisy.open().compare("schemes", ["nosy"])
    with pytest.raises(StoreError, match=r"no finished variational run for schemes in noisy \(1 failed\)"):
        noisy.open().compare("schemes", ["noisy"])
    with pytest.raises(StoreError, match=r"for parameterizations; .*kinds so far: variational"):
        noisy.open().compare("parameterizations")
    noisy.run(VARIANCE, {"ensemble": 0.9})
    said = "no finished run with a place in parameterizations, of 1 variational; .*: variational with noise of kind var"
    with pytest.raises(StoreError, match=said):
        noisy.open().compare("parameterizations")

"""The comparison of budgets: which run fills which column, and what stands beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.errors import StoreError
from raysurf.jobs.job import Job
from raysurf.results.comparison.compare import SCHEMA, compare
from raysurf.results.comparison.runs import compared_runs
from tests.support.budget_runs import BudgetStore, fge, sgd, swa, weights

Row = dict[str, Any]


@pytest.fixture
def store(tmp_path: Path) -> BudgetStore:
    """An empty store to fill."""
    return BudgetStore(tmp_path / "results")


def rows(store: BudgetStore, **where: Any) -> list[Row]:
    """Rows of the comparison whose columns have the values asked for."""
    compared = store.open().compare("budgets").to_pylist()
    return [row for row in compared if all(row[column] == value for column, value in where.items())]


def ours(store: BudgetStore, **where: Any) -> list[tuple[str, str, float | None]]:
    """Setting, figure and mean of each row that we have runs of."""
    matches = [row for row in rows(store, **where) if row["group"] is not None]
    return [(row["setting"], row["figure"].removesuffix(" accuracy"), row["mean"]) for row in matches]


def test_means_and_spreads_are_those_by_hand(store: BudgetStore) -> None:
    """Mean and standard deviation (n - 1) over seeds of final weights, the whole ensemble, and the average."""
    half = sgd(until=160)
    groups: dict[str, tuple[Job, list[float]]] = {
        "sgd accuracy": (sgd(), [0.72, 0.73, 0.725]),
        "fge accuracy": (fge(half, 40), [0.74, 0.75]),
        "swa 1 accuracy": (swa(half, 40), [0.73, 0.74, 0.76, 0.77]),
        "swa 1.25 accuracy": (swa(half, 90), [0.741]),
        "swa 1.5 accuracy": (swa(half, 140), [0.75, 0.75]),
    }
    for job, accuracies in groups.values():
        store.run(job, *accuracies)
    store.run(half, 0.5, 0.5)
    table = store.open().compare("budgets")
    assert table.schema.equals(SCHEMA)
    assert [row["figure"] for row in table.to_pylist()] == list(groups)
    for row, (job, accuracies) in zip(table.to_pylist(), groups.values(), strict=True):
        number = len(accuracies)
        middle = sum(accuracies) / number
        squares = sum((accuracy - middle) ** 2 for accuracy in accuracies)
        assert row["mean"] == pytest.approx(middle)
        assert row["std"] == (pytest.approx((squares / (number - 1)) ** 0.5) if number > 1 else None)
        assert (row["num_seeds"], row["group"], row["unit"]) == (number, job.group, "fraction")
        assert (row["model"], row["data"], row["method"], row["setting"]) == ("vgg16", "cifar100", "200", "")
    assert [row["published"] for row in table.to_pylist()] == [0.7255, 0.7426, 0.7391, 0.7417, 0.7427]
    assert [row["num_samples"] for row in table.to_pylist()] == [1, 3, 1, 1, 1]


Built = Callable[[], Job]
PLACES: list[tuple[Built, str | None]] = [
    (lambda: sgd("preresnet164", epochs=150), "sgd"),
    (lambda: sgd("preresnet164", epochs=150, until=125), None),
    (lambda: sgd("preresnet164", epochs=150, until=148), "sgd"),
    (lambda: swa(sgd("preresnet164", epochs=150, until=125), 25), "swa 1"),
    (lambda: swa(sgd("preresnet164", epochs=150, until=125), 63), "swa 1.25"),
    (lambda: swa(sgd("preresnet164", epochs=150, until=125), 100), "swa 1.5"),
    (lambda: swa(swa(sgd("preresnet164", epochs=150, until=125), 25), 75), "swa 1.5"),
    (lambda: swa(sgd("preresnet164", epochs=150, until=125), 28), "swa 1"),
    (lambda: swa(sgd("preresnet164", epochs=150, until=125), 29), None),
    (lambda: swa(sgd("preresnet164", epochs=150), 150), None),
    (lambda: fge(sgd("preresnet164", epochs=150, until=110), 40), "fge"),
    (lambda: fge(sgd("preresnet164", epochs=150, until=125), 100), None),
    (weights, "sgd"),
    (lambda: swa(weights(), 5), "swa 5 epochs"),
    (lambda: swa(weights(), 10), "swa 10 epochs"),
    (lambda: swa(weights(), 7), None),
    (lambda: swa(swa(weights(), 5), 5), None),
    (lambda: fge(weights(), 5), None),
]


@pytest.mark.parametrize(("job", "figure"), PLACES)
def test_budget_decides_the_column(job: Built, figure: str | None, store: BudgetStore) -> None:
    """A run fills the column of its budget, 188 epochs of 150 that of 1.25; runs of other budgets have no place."""
    store.run(job(), 0.75)
    if figure is None:
        with pytest.raises(StoreError, match=r"no finished run with a place in budgets, of 1 \w+; .*of 1, 1.25"):
            rows(store)
    else:
        assert ours(store) == [("", figure, 0.75)]


def test_a_compared_run_knows_its_budget(store: BudgetStore) -> None:
    """Epochs spent over those of the first full schedule, as the table of runs has it; none for pretrained weights."""
    store.run(swa(sgd(epochs=150, until=125), 63), 0.7)
    store.run(swa(weights(), 5), 0.7)
    runs = compared_runs(store.open(), ("swa",))
    assert {run.run_id: run.budget for run in runs} == {
        swa(sgd(epochs=150, until=125), 63).with_seed(0).id: 188 / 150,
        swa(weights(), 5).with_seed(0).id: None,
    }


def test_stated_budgets_stand_on_one_line_of_their_stated_base(store: BudgetStore) -> None:
    """A base of 200 epochs that a schedule of 161 states, and lengths written as budgets, fill one row of the table."""
    start = sgd(epochs=161, until=160, base_epochs=200)
    for budget, accuracy in ((1.0, 0.5), (1.25, 0.6), (1.5, 0.7)):
        store.run(rs.SWA(start=start, budget=budget, lr=0.01), accuracy)
    mine = [row for row in rows(store, model="vgg16", data="cifar100") if row["mean"] is not None]
    assert [(row["method"], row["setting"], row["figure"], row["mean"]) for row in mine] == [
        ("200", "", "swa 1 accuracy", 0.5),
        ("200", "", "swa 1.25 accuracy", 0.6),
        ("200", "", "swa 1.5 accuracy", 0.7),
    ]


def test_another_base_budget_is_another_row(store: BudgetStore) -> None:
    """VGG-16 in budgets of 50 and 1000 epochs stands apart from the published figures of 200, in this order."""
    for epochs in (1000, 50):
        store.run(sgd(epochs=epochs), epochs / 2000)
    values = [(row["method"], row["mean"], row["published"]) for row in rows(store, figure="sgd accuracy")]
    assert values == [("50", 0.025, None), ("200", None, 0.7255), ("1000", 0.5, None)]


def test_settings_of_a_budget_are_told_apart(store: BudgetStore) -> None:
    """Rates of SWA are settings across the budgets, the best last; SGD's and FGE's figures are there once."""
    half = sgd(until=160)
    store.run(sgd(), 0.72, 0.73)
    store.run(fge(half, 40), 0.74)
    for lr, gain in ((0.01, 0.02), (0.05, 0.0)):
        for epochs in (40, 140) if lr == 0.01 else (40, 90, 140):
            store.run(swa(half, epochs, lr=lr), 0.5 + epochs / 1000 + gain)
    assert ours(store) == [
        ("", "sgd", pytest.approx(0.725)),
        ("", "fge", 0.74),
        ("lr = 0.05", "swa 1", 0.54),
        ("lr = 0.05", "swa 1.25", 0.59),
        ("lr = 0.05", "swa 1.5", 0.64),
        ("lr = 0.01", "swa 1", 0.56),
        ("lr = 0.01", "swa 1.5", 0.66),
    ]


def test_two_lengths_of_one_column_are_both_there(store: BudgetStore) -> None:
    """SWA of 40 and of 41 epochs, both a budget of 1, are settings of their own, not replicates."""
    half = sgd(until=160)
    for epochs in (40, 41, 90):
        store.run(swa(half, epochs), epochs / 100)
    assert {label: mean for label, figure, mean in ours(store) if figure == "swa 1"} == {
        "epochs = 40": 0.40,
        "epochs = 41": 0.41,
    }
    assert [mean for _, figure, mean in ours(store) if figure == "swa 1.25"] == [0.9]


def test_settings_of_sgd_leave_those_of_swa_alone(store: BudgetStore) -> None:
    """Two rates of SGD are two settings, beside which SWA, of one setting, needs no label."""
    for lr in (0.05, 0.1):
        store.run(sgd(lr=lr), 0.7 + lr)
    store.run(swa(sgd(until=160), 40), 0.74)
    assert sorted(ours(store)) == [
        ("", "swa 1", 0.74),
        ("lr = 0.05", "sgd", 0.75),
        ("lr = 0.1", "sgd", pytest.approx(0.8)),
    ]


def test_pretrained_weights_are_a_table_of_their_own(store: BudgetStore) -> None:
    """ImageNet's rows stand beside what was published for them, by torchvision's names with and without prefix."""
    store.run(swa(weights("torchvision.densenet161"), 10), 0.785, 0.783)
    store.run(weights("resnet152"), 0.783)
    store.run(sgd(), 0.72)
    budgets, pretrained = compare(store.open(), "budgets")
    assert {row["model"] for row in budgets.table.to_pylist()} == {"vgg16"}
    values = [(row["model"], row["mean"], row["published"]) for row in pretrained.table.to_pylist()]
    assert values == [
        ("resnet152", 0.783, 0.7831),
        ("resnet152", None, 0.7882),
        ("resnet152", None, 0.7894),
        ("torchvision.densenet161", None, 0.7765),
        ("torchvision.densenet161", None, 0.7826),
        ("torchvision.densenet161", pytest.approx(0.784), 0.7844),
    ]


def test_what_nobody_published_stands_alone(store: BudgetStore) -> None:
    """Digits, LeNet-5 and a Parquet file have our figures and no others, below networks in print."""
    for model, data in (("digits_conv", "digits"), ("lenet5", "mnist"), ("preresnet110", "parquet")):
        store.run(sgd(model, data, 20), 0.9)
    store.run(sgd("preresnet110", "cifar10", 150), 0.95)
    values = [
        (row["model"], row["data"], row["method"], row["mean"], row["published"]) for row in rows(store, num_seeds=1)
    ]
    assert values == [
        ("preresnet110", "cifar10", "150", 0.95, 0.9503),
        ("digits_conv", "digits", "20", 0.9, None),
        ("lenet5", "mnist", "20", 0.9, None),
        ("preresnet110", "parquet", "20", 0.9, None),
    ]
    assert {row["model"] for row in rows(store, num_seeds=0)} == {"preresnet110"}


def test_failed_runs_are_left_out_and_counted(store: BudgetStore) -> None:
    """Only finished runs count; failed ones are counted if they had a place in that table."""
    store.run(sgd(), 0.7)
    store.run(swa(sgd(until=160), 40), None, None, status="failed")
    store.run(swa(sgd(until=160), 10), None, status="failed")
    store.run(weights(), 0.7)
    store.run(swa(weights(), 5), None, status="stopped")
    assert [dict(table.left_out) for table in compare(store.open(), "budgets")] == [{"failed": 2}, {"stopped": 1}]

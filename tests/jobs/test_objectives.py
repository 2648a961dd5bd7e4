"""Jobs with objectives of their own: what they refuse, inherit and reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import raysurf as rs
from raysurf.errors import SpecError
from raysurf.jobs.parse import parse_job
from raysurf.store.store import Store
from raysurf.training.objectives.block_float import quantise
from raysurf.training.objectives.spec import ObjectiveSpec
from raysurf.values import kinds
from tests.support.cases import tiny_curve, tiny_sgd
from tests.support.contracts import ObjectiveContract
from tests.support.execution import context_of, do, rows

TENTH = rs.DataSpec(name="digits", share=0.1, augment="crop_flip")
SOME = rs.DataSpec(name="digits", share=0.2, labelled=40, augment="crop_flip")
LABELLED = rs.DataSpec(name="digits", labelled=100)
SGD: dict[str, Any] = {"kind": "sgd", "model": "digits_conv", "data": "digits", "epochs": 2, "lr": 0.1}
FEW: dict[str, Any] = {"data": {"name": "digits", "labelled": 100}}
CONSISTENT: dict[str, Any] = {**SGD, **FEW, "objective": {"kind": "consistency", "labelled_batch": 20}}


OBJECTIVES: dict[str, tuple[rs.CrossEntropy | rs.BlockFloat | rs.Consistency, rs.DataSpec]] = {
    "cross entropy": (rs.CrossEntropy(), TENTH),
    "block float": (rs.BlockFloat(), TENTH),
    "block float, accumulators": (rs.BlockFloat(accumulators=12), TENTH),
    **{
        method: (rs.Consistency(method=method, labelled_batch=20, noise=0.2, ramp_up_epochs=2), SOME)
        for method in ("pi", "mean_teacher")
    },
}


class TestObjectives(ObjectiveContract):
    @pytest.fixture(params=OBJECTIVES)
    def job(self, request: pytest.FixtureRequest) -> rs.SGD:
        objective, data = OBJECTIVES[request.param]
        return tiny_sgd(objective=objective, data=data)


def test_every_objective_is_tested() -> None:
    """The list above has every objective that may stand in a file."""
    assert {type(objective) for objective, _ in OBJECTIVES.values()} == set(kinds(ObjectiveSpec).values())


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({**SGD, **FEW}, "give share instead of labelled"),
        ({**SGD, "objective": {"kind": "consistency", "labelled_batch": 20}}, "data without labelled"),
        ({**CONSISTENT, "batch_size": 20}, "leaves no room in batch_size 20"),
        ({**CONSISTENT, "objective": {"kind": "consistency", "labelled_batch": 101}}, "is more than labelled 100"),
        ({**CONSISTENT, "objective": {"kind": "consistency"}}, "labelled_batch"),
        ({**SGD, "objective": {"kind": "block_float", "weights": 1}}, "greater than or equal to 2"),
        ({**SGD, "objective": {"kind": "block_float", "accumulators": 6}}, "accumulators of 6 bits under weights of 8"),
        ({**SGD, "objective": {"kind": "block_float"}, "precision": "bf16"}, "use fp32"),
        ({**SGD, "objective": {"kind": "block_float"}, "optimiser": "adam"}, "rounds the momenta of sgd"),
        ({**SGD, "objective": {"kind": "blockfloat"}}, "did you mean 'block_float'"),
        (
            {"kind": "curve", "start": CONSISTENT, "end": {**CONSISTENT, "seed": 1}, "epochs": 1, "lr": 0.1},
            "labelled: 100, which curve cannot train on",
        ),
        (
            {
                "kind": "curve",
                "start": SGD,
                "end": {**SGD, "seed": 1},
                "epochs": 1,
                "objective": {"kind": "block_float"},
            },
            "which curve has of its own",
        ),
    ],
)
def test_faults_are_told(tree: dict[str, Any], said: str) -> None:
    """What does not fit together is refused before anything is started, and the text says what does."""
    with pytest.raises(SpecError) as caught:
        parse_job(tree)
    assert said in str(caught.value)


def test_objective_comes_from_the_start() -> None:
    """Averaging a network of few bits goes on in few bits, unless another objective is stated; epochs so far count."""
    low = rs.BlockFloat(weights=4, accumulators=4)
    base = tiny_sgd(objective=low)
    assert rs.SWA(start=base, epochs=1, lr=0.1).setting("objective") == low
    plain = rs.SWA(start=base, epochs=1, lr=0.1, objective=rs.CrossEntropy())
    assert plain.setting("objective") == rs.CrossEntropy()
    assert (plain.epochs_of_objective, rs.SWA(start=base, epochs=1, lr=0.1).epochs_of_objective) == (0, 2)
    assert tiny_curve(start=base, end=tiny_sgd(seed=1, objective=low)).num_bends == 1
    assert tiny_sgd().id != base.id != tiny_sgd(objective=rs.BlockFloat()).id


def test_average_of_few_bits_has_many(tmp_path: Path) -> None:
    """A digits network trained in 8 bits learns; its iterates have 8 bits, their average has not, and is as good."""
    settings: dict[str, Any] = {"model": rs.ModelSpec(name="digits_conv"), "data": rs.DataSpec(name="digits")}
    base = tiny_sgd(**settings, epochs=6, until=4, objective=rs.BlockFloat())
    job, store = rs.SWA(start=base, epochs=3, lr=0.02), Store(str(tmp_path / "r"))
    metrics = do(job, store)
    context = context_of(job, store)
    points = {name: context.weights(job, name)[0] for name in ("weights", "last")}
    few = {k: [torch.equal(v, quantise(v, 8, "nearest", True)) for v in p.values()] for k, p in points.items()}
    assert all(few["last"])
    assert not any(few["weights"])
    (last,) = (
        row["accuracy"] for row in rows(store)["predictions"] if (row["weights"], row["split"]) == ("last", "test")
    )
    assert last > 0.9
    assert metrics["test/accuracy"] > last - 0.01


def test_unlabelled_examples_help(tmp_path: Path) -> None:
    """With 100 labels and 900 unlabelled digits, test accuracy is not below that of as many steps on the 100 alone."""
    shared: dict[str, Any] = {"model": rs.ModelSpec(name="digits_conv"), "lr": 0.1, "weight_decay": 1e-4}
    alone = rs.SGD(data=rs.DataSpec(name="digits", share=0.1), epochs=24, batch_size=25, evaluate_every=24, **shared)
    store = Store(str(tmp_path / "r"))
    few = do(alone, store)
    for method in ("pi", "mean_teacher"):
        objective = rs.Consistency(method=method, labelled_batch=25, weight=10.0, noise=0.3)
        semi = rs.SGD(data=LABELLED, epochs=8, batch_size=100, evaluate_every=8, objective=objective, **shared)
        many = do(semi, store)
        assert many["test/accuracy"] >= few["test/accuracy"], method
        trained = [row for row in rows(store)["predictions"] if row["run_id"] == semi.id and row["split"] == "train"]
        assert [row["num_examples"] for row in trained] == [100]


def test_semi_supervised_weights_go_on(tmp_path: Path) -> None:
    """Averaging and ensembles of them train on the same batches, and surfaces are measured on what has labels."""
    data = rs.DataSpec(name="digits", share=0.2, labelled=40)
    base = tiny_sgd(data=data, epochs=1, objective=rs.Consistency(labelled_batch=16))
    store = Store(str(tmp_path / "r"))
    average = rs.SWA(start=base, epochs=1, lr=0.05)
    do(rs.Profile(along=rs.Line(start=base, end=average), num_points=2), store)
    do(rs.FGE(start=base, epochs=2, cycle_epochs=2, schedule=rs.Triangle(high=0.05, low=0.01)), store)
    assert {r["num_examples"] for r in rows(store)["predictions"] if r["split"] == "train"} == {40}
    assert len([r for r in rows(store)["surface"] if r["split"] == "train"]) == 2

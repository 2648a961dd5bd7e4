"""Averaging jobs: budgets from one run, SWAG's samples, stored predictions of members."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import raysurf as rs
from raysurf.jobs.context import Progress
from raysurf.jobs.job import Job
from raysurf.jobs.parse import parse_job
from raysurf.store.store import Store
from raysurf.store.tables import read_rows
from raysurf.training.checkpoints import Place
from tests.support.cases import JOBS, tiny_sgd
from tests.support.execution import context_of, do, rows

RATES: dict[str, dict[str, object]] = {
    "constant": {"lr": 0.05},
    "cyclic": {"schedule": rs.Cyclic(high=0.08, low=0.01), "cycle_epochs": 2},
}


def of_budget(budget: float | None, **changes: object) -> rs.SWA:
    """SWA on a base of four epochs, three of which its start has spent."""
    settings: dict[str, object] = {"start": tiny_sgd(epochs=4, until=3), "budget": budget, "lr": 0.05}
    return rs.SWA(**{**settings, **changes})  # type: ignore[arg-type]


def epochs_trained(job: Job, store: Store) -> list[int]:
    """Run a job, and say which epochs were trained in its sitting."""
    seen: list[int] = []
    for needed in job.ancestors:
        do(needed, store)

    def note(at: Progress) -> None:
        seen.append(at.epoch)

    do(job, store, note)
    return seen


def test_budget_is_a_number_of_epochs() -> None:
    """A budget says what epochs say, with the same id; the base is that of the recipe, or one that is stated."""
    assert of_budget(1.5).epochs_to_train == 3
    assert of_budget(1.5).id == rs.SWA(start=tiny_sgd(epochs=4, until=3), epochs=3, lr=0.05).id
    assert of_budget(1.5).budget_spent == 1.5
    start = tiny_sgd(epochs=3, base_epochs=8)
    assert rs.FGE(start=start, budget=1.0, lr=0.1).epochs_to_train == 5
    assert rs.SWA(start=start, epochs=5, lr=0.1).budget_spent == 1.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": 0.75}, "budget 0.75 is 3 epochs .of 4 a budget., of which 3 are spent before; give more"),
        ({"epochs": 2}, "exactly one of epochs and budget"),
        ({"budget": None}, "exactly one of epochs and budget"),
        ({"cycle_epochs": 4, "budget": 1.5}, "no cycle ends within the run: .* is beyond epochs 3"),
        ({"average_from": 3, "budget": 1.5}, "no cycle ends within the run"),
        ({"average_from": 3, "cycle_steps": 1, "budget": 1.5}, "no cycle ends within the run"),
        ({"cycle_steps": 2, "cycle_epochs": 1.0}, "cycle_epochs and cycle_steps are both given"),
        ({"lr": None}, "lr or schedule is required"),
        ({"lr": -0.1}, "greater than 0"),
        ({"start": rs.Weights(model="digits_conv", data="digits", file="x.pt")}, "what a budget of one is"),  # type: ignore[arg-type]
    ],
)
def test_impossible_averages_are_refused(changes: dict[str, object], said: str) -> None:
    """Budgets, cycles and rates that cannot be are one clear error."""
    with pytest.raises(ValueError, match=said):
        of_budget(**{"budget": 1.0, **changes})  # type: ignore[arg-type]


def test_fast_swa_takes_members_within_a_cycle(tmp_path: Path) -> None:
    """Two members a cycle of two epochs are one an epoch: the same weights as one-epoch cycles at the same rates."""
    within = of_budget(1.75, cycle_epochs=2, members_per_cycle=2)
    per_cycle = of_budget(1.75, cycle_epochs=1)
    stores = [Store(str(tmp_path / job.id)) for job in (within, per_cycle)]
    for job, store in zip((within, per_cycle), stores, strict=True):
        do(job, store)
    weights = [
        store.get_bytes(f"jobs/{job.id}/weights.safetensors")
        for job, store in zip((within, per_cycle), stores, strict=True)
    ]
    assert weights[0] == weights[1]


def test_cycles_that_no_steps_fit_are_refused() -> None:
    """A cycle that never ends, or that its members do not divide, is said before training."""
    with pytest.raises(ValueError, match="cycle_steps 999 is beyond epochs 3 of 4 steps"):
        of_budget(1.5, cycle_steps=999)
    with pytest.raises(ValueError, match="members_per_cycle 2 of 3 steps a cycle; give a divisor"):
        of_budget(1.75, cycle_steps=3, members_per_cycle=2)


@pytest.mark.parametrize("rate", RATES)
def test_budgets_cost_one_run(rate: str, tmp_path: Path) -> None:
    """Budgets of 1.5, 2 and 2.5 train the epochs of the largest, and equal three runs of their own to the last bit."""
    budgets = (1.5, 2.0, 2.5)
    jobs = [of_budget(budget, **{"lr": None, **RATES[rate]}) for budget in budgets]
    together = Store(str(tmp_path / "together"))
    trained = [epoch for job in jobs for epoch in epochs_trained(job, together)]
    assert trained == [1, 2, 3, 4, 5, 6, 7]
    for job in jobs:
        alone = Store(str(tmp_path / job.id))
        assert epochs_trained(job, alone) == list(range(1, job.epochs_to_train + 1))
        for name in ("weights", "last"):
            path = f"jobs/{job.id}/{name}.safetensors"
            assert alone.get_bytes(path) == together.get_bytes(path)
        for table, expected in rows(alone).items():
            assert [row for row in rows(together)[table] if row["run_id"] == job.id] == [
                row for row in expected if row["run_id"] == job.id
            ]


def test_sgd_goes_on_from_its_own_beginning(tmp_path: Path) -> None:
    """The first part of a schedule is no work for the whole; what has ended for good keeps no state."""
    store, whole = Store(str(tmp_path)), tiny_sgd(epochs=4)
    do(tiny_sgd(epochs=4, until=3), store)
    assert epochs_trained(whole, store) == [4]
    alone = Store(str(tmp_path / "alone"))
    do(whole, alone)
    path = f"jobs/{whole.id}/weights.safetensors"
    assert alone.get_bytes(path) == store.get_bytes(path)
    assert not alone.list("trajectories")


def test_shorter_run_leaves_the_states_of_a_longer_one(tmp_path: Path) -> None:
    """What a longer run, in another process, has reached beyond the end of this one is not removed."""
    store = Store(str(tmp_path))
    longer, shorter = (context_of(of_budget(budget), store).checkpoints for budget in (2.5, 1.5))
    longer.SHARE = 1e9  # type: ignore[misc]
    for epoch in (2, 5):
        longer.save(Place(epoch), lambda: {"w": torch.zeros(1)})
    shorter.clear()
    assert [Path(path).name for path in store.list("trajectories") if path.endswith(".json")] == ["5.json"]


def test_rates_of_a_length_are_trained_anew(tmp_path: Path) -> None:
    """A schedule that depends on the length of the run shares no training between lengths."""
    schedule = rs.PlateauLinear(lr=0.05)
    short, long = (of_budget(budget, lr=None, schedule=schedule) for budget in (1.5, 2.0))
    assert short.trajectory != long.trajectory
    store = Store(str(tmp_path))
    do(short, store)
    assert epochs_trained(long, store) == [1, 2, 3, 4, 5]


def test_seed_and_settings_part_trajectories() -> None:
    """What decides the training parts trajectories; its length, and where the average is kept, do not."""
    base = of_budget(1.5)
    assert base.trajectory == of_budget(2.0).trajectory == of_budget(2.5, average_on="cpu").trajectory
    others = [base, of_budget(1.5, lr=0.1), of_budget(1.5, include_start=True), base.with_seed(3)]
    assert len({job.trajectory for job in others}) == len(others)


def test_average_on_the_cpu_is_the_same(tmp_path: Path) -> None:
    """Where the average is kept decides nothing: one id, one outcome."""
    assert of_budget(1.5).id == of_budget(1.5, average_on="cpu").id
    weights = []
    for place in ("device", "cpu"):
        store = Store(str(tmp_path / place))
        do(of_budget(1.5, average_on=place), store)
        weights.append(store.get_bytes(f"jobs/{of_budget(1.5).id}/weights.safetensors"))
    assert weights[0] == weights[1]


def test_swag_is_sampled_again_without_training(tmp_path: Path) -> None:
    """Another covariance or number of samples costs no epoch, and its average is the same."""
    low_rank, store = JOBS["swag"](), Store(str(tmp_path))
    assert isinstance(low_rank, rs.SWAG)
    diagonal = parse_job({**low_rank.tree, "covariance": "diagonal", "num_samples": 2})
    assert isinstance(diagonal, rs.SWAG)
    assert epochs_trained(low_rank, store) == [1, 2, 3, 4]
    assert epochs_trained(diagonal, store) == []
    contexts = {job.id: context_of(job, store) for job in (low_rank, diagonal)}
    means = [contexts[job.id].weights(job)[0] for job in (low_rank, diagonal)]
    assert all(torch.equal(means[0][name], value) for name, value in means[1].items())
    drawn = [next(job.draw_members(contexts[job.id], 1, 0))[0] for job in (low_rank, diagonal)]
    assert any(not torch.equal(drawn[0][name], value) for name, value in drawn[1].items())


def test_swag_predicts_by_every_scheme(tmp_path: Path) -> None:
    """The average answers as SWA's does; ensembles of one, two and three samples stand in the table."""
    job, store = JOBS["swag"](), Store(str(tmp_path))
    assert isinstance(job, rs.SWAG)
    metrics = do(job, store)
    swa = do(rs.SWA(start=tiny_sgd(), epochs=4, lr=0.05), store)
    assert metrics["test/deterministic_nll"] == swa["test/nll"]
    nlls = {
        (row["weights"], row["scheme"], row["num_samples"]): row["nll"]
        for row in read_rows(store, "predictions", job.id)
        if row["split"] == "test"
    }
    ensemble = [("samples", "ensemble", count) for count in (1, 2, 3)]
    expected = {("last", "deterministic", 1), ("average", "deterministic", 1), ("samples", "stochastic", 1), *ensemble}
    assert set(nlls) == expected
    assert nlls["samples", "ensemble", 3] == metrics["test/nll"] == metrics["test/ensemble_nll"]
    again = do(rs.Predict(weights=job, num_samples=3, schemes=("stochastic", "ensemble"), sample_seed=5), store)
    assert again["test/nll"] != metrics["test/nll"]


def test_subsets_of_members_are_compared_without_the_network(tmp_path: Path) -> None:
    """Stored predictions of all members give what the network gives; a subset of one is that member's own."""
    fge, store = JOBS["fge"](), Store(str(tmp_path))
    assert isinstance(fge, rs.FGE)
    trained = do(fge, store)
    stored = do(rs.Predict(weights=fge, members=(1, 2, 3)), store)
    run_again = do(rs.Predict(weights=fge), store)
    assert stored["test/nll"] == trained["test/nll"] == run_again["test/nll"]
    second = do(rs.Predict(weights=fge, members=(2,)), store)
    own = do(rs.Predict(weights=rs.PointOf(of=fge, name="member2")), store)
    assert second["test/nll"] == pytest.approx(own["test/nll"], rel=1e-6)
    assert second["test/accuracy"] == own["test/accuracy"]
    for wrong in ((0, 1), (4,), (1, 1)):
        with pytest.raises(ValueError, match="different numbers from 1 to 3"):
            rs.Predict(weights=fge, members=wrong)


def test_samples_have_no_statistics_to_keep() -> None:
    """Fixed statistics are those of the average alone; asking them of samples is refused."""
    with pytest.raises(ValueError, match="samples of swag, which have no statistics of their own"):
        rs.Predict(weights=JOBS["swag"](), batchnorm="fixed")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fewer than 2 members"):
        rs.SWAG(start=tiny_sgd(), epochs=1, lr=0.1)

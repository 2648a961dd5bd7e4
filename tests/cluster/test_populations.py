"""Population-based training of real networks: rows, resumption, failures, budgets."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import raysurf as rs
from raysurf.cli.summary import summarise
from raysurf.cluster import events
from raysurf.cluster.launch import plan_sweeps
from raysurf.cluster.listeners import _own_inputs
from raysurf.store.store import Store
from tests.support import sweep_runs
from tests.support.cases import tiny_sgd
from tests.support.sweep_runs import trials

SIZE, GENERATIONS = 4, 3


def sweep_of(high: float = 1.0, **settings: Any) -> rs.Sweep:
    """Four networks, trained for three epochs of which each is a generation."""
    search = {"metric": "validation/nll", "sampler": "pbt", "population": SIZE, "generations": GENERATIONS, "seed": 0}
    search |= settings.pop("search", {})
    holes = {"lr": rs.Float(0.01, high, log=True), "momentum": rs.Float(0.0, 0.95)}
    return rs.Sweep(tiny_sgd(epochs=1).with_holes(holes), rs.Search(**search), "population", **settings)  # type: ignore[arg-type]


def run(sweep: rs.Sweep, root: Path, break_after: int | None = None) -> list[int]:
    """Numbers of the trials that began; the run breaks when so many have ended."""
    begun: list[int] = []
    ended = itertools.count(1)

    def is_over(event: events.Event) -> bool:
        if isinstance(event, events.RunStarted):
            begun.append(event.number)
        return isinstance(event, events.RunEnded) and next(ended) == break_after

    if break_after is None:
        rs.run(sweep, str(root), executor="inline", listener=is_over)  # type: ignore[arg-type]
    else:
        sweep_runs.break_off(sweep, root, is_over)
    return begun


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has disturbed."""
    root = tmp_path_factory.mktemp("population")
    assert run(sweep_of(), root) == list(range(SIZE * GENERATIONS))
    return root


def test_every_generation_goes_on_from_the_one_before(unbroken: Path) -> None:
    """Each trial is one run of one epoch, which starts from a run of the generation before, and whose value it has."""
    rows, results = trials(unbroken), rs.results.open(str(unbroken))
    runs = {row["run_id"]: row for row in results.table("runs").to_pylist()}
    assert len(runs) == len(rows) == SIZE * GENERATIONS
    assert {(row["role"], row["epochs"], row["status"]) for row in runs.values()} == {("trial", 1.0, "done")}
    parents = []
    for row in rows:
        (run_id,) = row["run_ids"]
        generation = row["trial"] // SIZE
        lineage = json.loads(row["params"]).get("lineage", [])
        assert len(lineage) == generation
        assert runs[run_id]["budget"] == generation + 1
        assert json.loads(runs[run_id]["metrics"])["validation/nll"] == row["value"]
        before = rows[SIZE * (generation - 1) : SIZE * generation] if generation else []
        parent = [earlier for earlier in before if earlier["run_ids"] == runs[run_id]["inputs"]]
        assert len(parent) == min(1, generation)
        assert lineage[-1:] == [
            {k: v for k, v in json.loads(earlier["params"]).items() if k != "lineage"} for earlier in parent
        ]
        parents += [earlier["value"] for earlier in parent]
    worst = [max(row["value"] for row in rows[SIZE * g : SIZE * g + SIZE]) for g in range(GENERATIONS - 1)]
    assert not set(parents) & set(worst)


def test_study_file_has_the_values_of_each_generation(unbroken: Path) -> None:
    """Optuna reads the searched values as numbers, and a trial's lineage as an attribute."""
    path = unbroken / "studies" / "population.journal"
    study = optuna.load_study(study_name="population", storage=JournalStorage(JournalFileBackend(str(path))))
    rows = [json.loads(row["params"]) for row in trials(unbroken)]
    assert [trial.params | {"lineage": trial.user_attrs.get("lineage", [])} for trial in study.trials] == [
        {"lineage": [], **row} for row in rows
    ]
    assert [trial.value for trial in study.trials] == [row["value"] for row in trials(unbroken)]


def test_end_shows_values_by_generation(unbroken: Path) -> None:
    """The best trial's values are shown for every generation of its lineage, and its weights after each."""
    best = rs.results.open(str(unbroken)).best("population")
    text = "\n".join(summarise([sweep_of()], Store(str(unbroken)), "population.yaml", ""))
    params = json.loads(best["params"])
    rates = [values["lr"] for values in (*params.get("lineage", []), params)]
    assert f"    lr = {' → '.join(f'{rate:.4g}' for rate in rates)}, momentum = " in text
    assert text.count("\n  sgd ") == len(rates)


@pytest.mark.parametrize("break_after", [2, 4, 7])
def test_broken_run_goes_on_as_if_it_had_not_been(break_after: int, unbroken: Path, tmp_path: Path) -> None:
    """A run that ends in any generation and begins again trains what is left, and its rows are those of one run."""
    assert run(sweep_of(), tmp_path, break_after) == list(range(break_after))
    assert run(sweep_of(), tmp_path) == list(range(break_after, SIZE * GENERATIONS))
    assert trials(tmp_path) == trials(unbroken)
    assert run(sweep_of(), tmp_path) == []


def test_generations_can_be_added(unbroken: Path, tmp_path: Path) -> None:
    """More generations of a finished population train only themselves."""
    assert run(sweep_of(search={"generations": 1}), tmp_path) == list(range(SIZE))
    assert run(sweep_of(search={"generations": 2}), tmp_path) == list(range(SIZE, 2 * SIZE))
    assert trials(tmp_path) == trials(unbroken)[: 2 * SIZE]


def test_broken_run_without_a_seed_keeps_what_it_began(tmp_path: Path) -> None:
    """Without a seed too, no trial is begun twice or forgotten."""
    sweep = sweep_of(search={"seed": None})
    run(sweep, tmp_path, 6)
    before = trials(tmp_path)
    assert run(sweep, tmp_path) == list(range(6, SIZE * GENERATIONS))
    assert trials(tmp_path)[:6] == before
    assert len(rs.results.open(str(tmp_path)).table("runs")) == SIZE * GENERATIONS


def test_configurations_have_populations_of_their_own(tmp_path: Path) -> None:
    """Each setting of a factorial axis is one population, of which no member goes on from another setting's."""
    search = rs.Search(metric="validation/nll", sampler="pbt", population=2, generations=2)
    holes = {"lr": rs.Float(0.01, 1.0, log=True), "weight_decay": rs.Each((0.0, 1e-3))}
    sweep = rs.Sweep(tiny_sgd(epochs=1).with_holes(holes), search, "arms")
    run(sweep, tmp_path, 7)
    assert run(sweep, tmp_path) == [7]
    runs = {row["run_id"]: row for row in rs.results.open(str(tmp_path)).table("runs").to_pylist()}
    for row in trials(tmp_path):
        params, generation = json.loads(row["params"]), row["trial"] % 4 // 2
        assert params["weight_decay"] == ("0.0" if row["trial"] < 4 else "0.001")
        assert [values.keys() for values in params.get("lineage", [])] == [{"lr"}] * generation
        specs = [json.loads(runs[run_id]["spec"]) for run_id in (*row["run_ids"], *runs[row["run_ids"][0]]["inputs"])]
        assert {spec["weight_decay"] for spec in specs} == {float(params["weight_decay"])}


def test_diverged_members_are_replaced(tmp_path: Path) -> None:
    """Members that diverge are rows with their reason; the next generation goes on from the others."""
    run(sweep_of(high=1e9), tmp_path)
    rows = trials(tmp_path)
    failed = [row for row in rows if row["state"] == "failed"]
    assert failed
    assert any(row["trial"] < SIZE for row in failed)
    assert all("not finite" in row["error"] for row in failed)
    inputs = {run_id for row in rs.results.open(str(tmp_path)).table("runs").to_pylist() for run_id in row["inputs"]}
    assert inputs
    assert not inputs & {run_id for row in failed for run_id in row["run_ids"]}


def test_epochs_are_counted_once(tmp_path: Path) -> None:
    """Neither the plan nor a budget counts the epochs of a trial's earlier generations again."""
    (plan,) = plan_sweeps([sweep_of()], Store(str(tmp_path))).sweeps
    assert plan.left(lambda job: job.epochs_to_train) == (SIZE * GENERATIONS, SIZE * GENERATIONS)
    sweep = sweep_of(budget=rs.Budget(epochs=7))
    assert sweep_runs.run(sweep, tmp_path).notices == [
        "budget of population: 7 of 7 epochs spent; 5 of 12 trials did not begin"
    ]
    assert run(sweep_of(), tmp_path) == list(range(7, 12))


def test_seeds_have_a_lineage_each(tmp_path: Path) -> None:
    """With several seeds a trial's value is their mean, and each seed goes on from its own weights."""
    run(sweep_of(seeds=(1, 2), search={"generations": 2}), tmp_path)
    runs = {row["run_id"]: row for row in rs.results.open(str(tmp_path)).table("runs").to_pylist()}
    assert len(runs) == 2 * 2 * SIZE
    for row in trials(tmp_path):
        assert [runs[run_id]["seed"] for run_id in row["run_ids"]] == [1, 2]
        for run_id in row["run_ids"]:
            assert all(runs[needed]["seed"] == runs[run_id]["seed"] for needed in runs[run_id]["inputs"])
        values = [json.loads(runs[run_id]["metrics"])["validation/nll"] for run_id in row["run_ids"]]
        assert row["value"] == sum(values) / 2


def test_generations_are_one_training(tmp_path: Path) -> None:
    """Where rates stay and there is no momentum, generations are a longer training, but for the rounding of sums."""
    rate = {"schedule": rs.Constant(lr=0.1), "lr": None, "momentum": 0.0}
    rs.run(tiny_sgd(epochs=3, **rate), str(tmp_path), executor="inline")
    tree = tiny_sgd(epochs=1, **rate).with_holes({"schedule.lr": rs.Float(0.05, 0.2)})
    points = ({"schedule.lr": 0.1}, {"schedule.lr": 0.05})
    search = rs.Search(metric="validation/nll", sampler="pbt", population=2, generations=3, seed=0, points=points)
    run(rs.Sweep(tree, search, "same"), tmp_path)
    job = rs.Sweep(tree, search, "same").fill({"schedule.lr": 0.1, "lineage": [{"schedule.lr": 0.1}] * 2}).jobs[0]
    pair = rs.results.open(str(tmp_path)).sql(
        f"select metrics from runs where run_id = '{job.id}' or (epochs = 3 and kind = 'sgd')"
    )
    one, other = map(json.loads, pair["metrics"].to_pylist())
    assert one == pytest.approx(other, rel=1e-6)


def test_history_in_wandb_is_the_trials_own() -> None:
    """A trial follows the epochs of its own run, not those of earlier generations, which have W&B runs of their own."""
    sweep = sweep_of()
    values = {"lr": 0.1, "momentum": 0.0}
    params = {**values, "lineage": [values]}
    (job,) = sweep.fill(params).jobs
    assert _own_inputs(job, events.RunStarted(sweep, 4, "trial 4", (job,), params, "sgd", "trial")) == []


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_tune_and_inline_are_one(unbroken: Path, tmp_path: Path) -> None:
    """The same population through Tune, its members beside one another, is the one that was trained one by one."""
    assert rs.run(sweep_of(), str(tmp_path), listener=lambda event: None).failed == 0
    assert trials(tmp_path) == trials(unbroken)

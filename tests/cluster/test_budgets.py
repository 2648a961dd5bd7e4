"""Budgets of whole sweeps: kept exactly, over configurations, stops and resumptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raysurf as rs
from raysurf.cluster.searchers import ConfigurationSearcher
from raysurf.cluster.spending import Spending, Verdict, covered
from raysurf.cluster.trial_table import TrialTable
from raysurf.errors import SpecError
from raysurf.store.store import Store
from raysurf.store.tables import write_rows
from raysurf.sweep.document import load
from raysurf.sweep.plan import Configuration
from tests.support import sweep_runs
from tests.support.cases import tiny_sgd


def sweep_of(budget: rs.Budget, epochs: object = 1, **settings: Any) -> rs.Sweep:
    """Trials of one epoch."""
    job = tiny_sgd(epochs=1).with_holes(lr=rs.Float(0.01, 0.2), epochs=epochs)
    search = rs.Search(metric="validation/nll", trials=5, seed=0, batch=2)
    return rs.Sweep(job, **{"search": search, "name": "spent", "budget": budget, **settings})


def run(sweep: rs.Sweep, root: Path) -> tuple[list[int], str]:
    """The trials that began, and what the end says of the budget."""
    ran = sweep_runs.run(sweep, root)
    (notice,) = ran.notices
    return ran.begun, notice


def test_trials_and_epochs_are_kept_over_resumption(tmp_path: Path) -> None:
    """No more trials begin than are allowed, now or when the sweep is run again; a larger budget adds the rest."""
    said = "budget of spent: 3 of 3 trials spent; 2 of 5 trials did not begin"
    assert run(sweep_of(rs.Budget(trials=3)), tmp_path) == ([0, 1, 2], said)
    assert run(sweep_of(rs.Budget(trials=3)), tmp_path) == ([], said)
    said = "budget of spent: 4 of 4 epochs spent; 1 of 5 trials did not begin"
    assert run(sweep_of(rs.Budget(epochs=4)), tmp_path) == ([3], said)
    assert len(rs.results.open(str(tmp_path)).table("trials")) == 4
    assert run(sweep_of(rs.Budget(epochs=9)), tmp_path) == ([4], "budget of spent: 5 of 9 epochs spent")


def test_inputs_and_configurations_share_one_budget(tmp_path: Path) -> None:
    """Baseline and configurations draw on one budget; too little for the baseline is refused."""
    job = tiny_sgd(epochs=1).with_holes(lr=rs.Float(0.01, 0.2), momentum=rs.Each((0.0, 0.9)))
    search = rs.Search(metric="validation/nll", trials=2, seed=0)
    settings: dict[str, Any] = {"search": search, "name": "arms", "baselines": (tiny_sgd(epochs=2),)}
    sweep = rs.Sweep(job, **settings, budget=rs.Budget(epochs=5.5))
    said = "budget of arms: 5 of 5.5 epochs spent; 1 of 4 trials did not begin"
    assert run(sweep, tmp_path) == ([0, 1, 2], said)
    trained = rs.results.open(str(tmp_path)).sql("select sum(epochs) as total from runs where sweep = 'arms'")
    assert trained["total"].to_pylist() == [5]
    with pytest.raises(SpecError, match="inputs and baselines take 2; expected 2 or more"):
        rs.run(rs.Sweep(job, **settings, budget=rs.Budget(epochs=1)), str(tmp_path / "other"), executor="inline")
    assert not (tmp_path / "other").exists()


def test_what_runs_is_charged_and_what_is_left_over_given_back(tmp_path: Path) -> None:
    """Beside a running trial only what surely fits begins; a stopped one gives back what it did not use."""
    sweep = sweep_of(rs.Budget(epochs=10), epochs=6)
    store = Store(str(tmp_path))
    spending = Spending(TrialTable(store, sweep))
    first, second = (sweep.fill({"lr": lr}).jobs for lr in (0.1, 0.2))
    assert spending.may_begin(0, first) is Verdict.YES
    spending.started(0, first)
    assert spending.spent()["epochs"] == 6
    assert spending.may_begin(1, second) is Verdict.WAIT
    from raysurf.jobs.provenance import Labels, collect, describe

    row = describe(first[0], Labels("spent", "trial", "sgd", collect()), "stopped", {}, None) | {"epochs": 4.0}
    write_rows(store, "runs", first[0].id, [row])
    spending.ended(0)
    assert spending.spent()["epochs"] == 4
    assert spending.may_begin(1, second) is Verdict.YES
    spending.started(1, second)
    write_rows(store, "runs", second[0].id, [row | {"run_id": second[0].id, "epochs": 6.0, "status": "done"}])
    spending.ended(1)
    assert spending.may_begin(2, sweep.fill({"lr": 0.05}).jobs) is Verdict.NO
    write_rows(store, "runs", first[0].id, [row | {"sweep": "another"}])
    spending.settle(first)
    assert spending.spent()["epochs"] == 6


def test_hours_are_counted_by_the_clock(tmp_path: Path) -> None:
    """Device hours are those of every worker, wall hours the sweep's own; no trial begins when one is spent."""
    now = 0.0
    sweep = sweep_of(rs.Budget(device_hours=3, wall_hours=4), resources=rs.Resources(workers=2))
    store = Store(str(tmp_path))
    spending = Spending(TrialTable(store, sweep), clock=lambda: now)
    jobs = sweep.fill({"lr": 0.1}).jobs
    spending.started(0, jobs)
    now = 3600.0
    assert str(spending) == "2 of 3 device hours, 1 of 4 wall hours"
    assert spending.may_begin(1, jobs) is Verdict.YES
    now = 5400.0
    assert spending.may_begin(1, jobs) is Verdict.NO
    spending.ended(0)
    assert spending.may_begin(1, jobs) is Verdict.YES
    now = 4 * 3600.0
    assert spending.may_begin(1, jobs) is Verdict.NO


def test_hours_that_are_spent_stay_spent(tmp_path: Path) -> None:
    """When its hours are spent a sweep begins no more trials, however often it is run again."""
    budget = rs.Budget(wall_hours=1e-6)
    assert run(sweep_of(budget), tmp_path)[0] == [0]
    for _ in range(2):
        begun, said = run(sweep_of(budget), tmp_path)
        assert begun == []
        assert "4 of 5 trials did not begin" in said
    now = 0.0
    store, other = Store(str(tmp_path)), sweep_of(rs.Budget(wall_hours=1), name="other")
    spending = Spending(TrialTable(store, other), clock=lambda: now)
    spending.started(0, other.fill({"lr": 0.1}).jobs)
    now = 3600.0
    spending.ended(0)
    again = Spending(TrialTable(store, other), clock=lambda: now)
    assert again.may_begin(1, other.fill({"lr": 0.1}).jobs) is Verdict.NO
    assert str(again) == "1 of 1 wall hours"


def test_trials_that_did_not_begin_are_none() -> None:
    """What was suggested but may not begin is no trial; the configuration is over when the others have ended."""
    sweep = sweep_of(rs.Budget(trials=1))
    allowed = iter((Verdict.YES, Verdict.WAIT, Verdict.NO))
    searcher = ConfigurationSearcher(sweep, Configuration({}, 5), may_begin=lambda number: next(allowed))
    assert isinstance(searcher.suggest("a"), dict)
    assert searcher.suggest("b") is None
    assert searcher.suggest("b") == "FINISHED"
    assert not searcher.is_over
    searcher.on_trial_complete("a", {"state": "done", "values": (0.5,)})
    assert searcher.is_over
    assert list(searcher.params) == [0]
    assert searcher.suggest("b") == "FINISHED"


SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)).map(lambda span: (span[0], span[0] + span[1])))


@pytest.mark.ray
@pytest.mark.fault
@pytest.mark.usefixtures("ray_cluster")
def test_budget_is_kept_by_trials_beside_one_another(tmp_path: Path) -> None:
    """Two trials at a time: what may not fit waits, and takes what a diverged trial gives back."""
    job = tiny_sgd(epochs=3).with_holes(lr=rs.Choice((1e9, 0.1, 0.05, 0.2)))
    search = rs.Search(metric="validation/nll", sampler="grid")
    sweep = rs.Sweep(job, search, name="beside", budget=rs.Budget(epochs=7))
    ran = sweep_runs.run(sweep, tmp_path, executor="ray")
    rows = sweep_runs.trials(tmp_path)
    assert [(row["trial"], row["state"]) for row in rows] == [(0, "failed"), (1, "done"), (2, "done")]
    assert ran.notices == ["budget of beside: 7 of 7 epochs spent; 1 of 4 trials did not begin"]


@given(SPANS)
def test_time_that_overlaps_is_counted_once(spans: list[tuple[int, int]]) -> None:
    """The wall time of runs is the length of their union."""
    assert covered(spans) == len({second for start, stop in spans for second in range(start, stop)})


def test_empty_and_unknown_budgets_are_refused(tmp_path: Path) -> None:
    """A budget names what it limits; a mistake is told with its line."""
    text = "name: x\njob: {kind: sgd, model: lenet5, data: digits, epochs: 2, lr: 0.1}\n"
    for budget, said in (("{}", "without a limit"), ("{epoch: 3}", "did you mean 'epochs'"), ("{trials: 0}", ":3: ")):
        (tmp_path / "x.yaml").write_text(f"{text}budget: {budget}\n")
        with pytest.raises(SpecError, match="expected") as caught:
            load(tmp_path / "x.yaml")
        assert said in str(caught.value)
        assert ":3: budget" in str(caught.value)

"""Warm starts: what a search is told of other sweeps' trials, once and for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.cluster.trial_table import TrialTable
from raysurf.cluster.warm_start import warm_start
from raysurf.errors import SpecError
from raysurf.store.store import Store
from raysurf.store.tables import part_names
from tests.support.cases import tiny_sgd
from tests.support.searches import suggested, sweep_of
from tests.support.sweep_runs import run


def write_trials(store: Store, sweep: rs.Sweep, *rows: tuple[dict[str, Any], str, tuple[float, ...] | None]) -> None:
    """Rows of ``trials``, as a run of the sweep leaves them."""
    table = TrialTable(store, sweep)
    for number, (params, state, values) in enumerate(rows):
        table.write(number, None, params, state, values)


def constant(lr: float) -> dict[str, Any]:
    return {"cycle_epochs": 1, "schedule": "constant", "schedule.constant.lr": lr}


def test_what_fits_is_told_and_kept(tmp_path: Path) -> None:
    """Finished trials that fit are told with their values; the choice is kept when the rows are gone."""
    store = Store(str(tmp_path))
    coarse = rs.Sweep(sweep_of().job, rs.Search(metric="validation/nll", trials=9), name="coarse")
    done = [(constant(0.05), "done", (0.5,)), (constant(0.02), "done", (0.4,))]
    write_trials(store, coarse, *done, (constant(0.9), "done", (0.1,)), (constant(0.03), "failed", None))
    other = rs.Sweep(coarse.job, rs.Search(metric="train/nll", trials=9), name="other")
    write_trials(store, other, (constant(0.04), "done", (0.2,)))
    sweep = sweep_of(warm_start=["coarse", "other"])
    known = warm_start(store, sweep)
    assert known is not None
    assert [(trial.params, trial.values) for trial in known.taken] == [(params, values) for params, _, values in done]
    assert str(known) == "2 of coarse taken; left out: 1 outside the space, 1 not done, 1 of another metric"
    for path in store.list("tables/trials"):
        store.delete(path)
    assert warm_start(store, sweep) == known
    assert warm_start(store, sweep_of()) is None


def test_each_configuration_is_told_its_own(tmp_path: Path) -> None:
    """A trial of one configuration is told to it alone, a trial without one to all, and each only once."""
    store = Store(str(tmp_path))
    job = tiny_sgd().with_holes(lr=rs.Float(0.05, 0.2), momentum=rs.Each((0.0, 0.9)))
    rows = [({"lr": 0.1, "momentum": "0.0"}, "done", (0.5,)), ({"lr": 0.1}, "done", (0.4,))]
    search = rs.Search(metric="validation/nll", trials=2)
    write_trials(store, rs.Sweep(job, search, name="coarse"), *rows, rows[0])
    sweep = rs.Sweep(job, search.model_copy(update={"warm_start": ("coarse",)}), name="fine")
    known = warm_start(store, sweep)
    assert known is not None
    values = {
        params["momentum"]: [trial.values for trial in known.of_configuration(sweep, params)]
        for params in sweep.configurations
    }
    assert values == {"0.0": [(0.5,), (0.4,)], "0.9": [(0.4,)]}
    assert all(trial.params == {"lr": 0.1} for trial in known.of_configuration(sweep, {"momentum": "0.9"}))


def test_told_trials_change_what_is_suggested() -> None:
    """The sampler learns from told trials: what it suggests differs, is the same every time, and is no less of it."""
    sweep = sweep_of(trials=8)
    known_trials = [known_trial(constant(0.03 + i / 1000), i) for i in range(12)]
    suggestions = suggested(sweep, known_trials=known_trials)
    assert suggestions == suggested(sweep, known_trials=known_trials)
    assert suggestions != suggested(sweep)
    assert len(suggestions) == 8


def known_trial(params: dict[str, Any], number: int) -> Any:
    from raysurf.cluster.warm_start import KnownTrial

    return KnownTrial(params, (number / 10,), "coarse")


def test_earlier_definitions_are_learnt_from(tmp_path: Path) -> None:
    """``true`` takes the finished trials of this name's earlier definitions, theirs included; its own count in full."""
    store = Store(str(tmp_path))
    job = tiny_sgd().with_holes(lr=rs.Float(0.05, 0.2))

    def said(**search: Any) -> list[str]:
        ran = run(rs.Sweep(job, rs.Search(metric="validation/nll", trials=1, **search), name="again"), tmp_path)
        assert ran.finished.trials == 1
        return ran.notices

    assert said(seed=1) == []
    assert said(seed=2, warm_start=True) == ["warm start of again: 1 of again taken"]
    assert said(seed=2, warm_start=True) == ["warm start of again: 1 of again taken"]
    assert said(seed=3, warm_start=True) == ["warm start of again: 2 of again taken"]
    assert len(part_names(store, "trials")) == 1


def test_unknown_sources_are_refused(tmp_path: Path) -> None:
    """A sweep that is neither in the store nor earlier in the file is told with the nearest name."""
    store = Store(str(tmp_path))
    coarse = rs.Sweep(sweep_of().job, rs.Search(metric="validation/nll", trials=9), name="coarse")
    fine = sweep_of(warm_start=["corse"])
    with pytest.raises(SpecError, match="did you mean 'coarse'"):
        rs.run([coarse, fine], str(tmp_path), executor="inline")
    assert store.list() == []
    with pytest.raises(SpecError, match="tpe or gp"):
        sweep_of(warm_start=True, sampler="random")

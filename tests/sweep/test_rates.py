"""The learning rates that a file asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

import raysurf as rs
from raysurf.sweep.document import load
from raysurf.sweep.rates import EPOCH_STEPS, Chain, chains, rates_of

BASE = "{kind: sgd, model: lenet5, data: digits, epochs: 20, until: 8, lr: 0.1, seed: SEED}"


def of(folder: Path, *documents: str) -> list[Chain]:
    """The chains of a file."""
    (folder / "a.yaml").write_text("\n---\n".join(documents))
    return chains(load(folder / "a.yaml"))


def start(seed: int = 0) -> str:
    return BASE.replace("SEED", str(seed))


def test_inputs_come_before_what_goes_on_from_them(tmp_path: Path) -> None:
    """SGD up to its stop, at the rates of its whole schedule, then SWA with members at the ends of its cycles."""
    job = "kind: swa\nstart: START\nepochs: 6\ncycle_epochs: 2\naverage_from: 1\nlr: 0.05\n"
    (chain,) = of(tmp_path, job.replace("START", start()))
    assert chain.name == "sgd plateau_linear → swa constant"
    rates = rates_of(chain)
    assert rates.epochs[EPOCH_STEPS::EPOCH_STEPS] == tuple(float(epoch) for epoch in range(1, 14))
    assert set(rates.rates[: 8 * EPOCH_STEPS]) == {0.1}
    assert set(rates.rates[8 * EPOCH_STEPS :]) == {0.05}
    assert rates.members == (8 + 3, 8 + 5)
    assert rates.seams == (8,)


def test_members_of_an_ensemble_are_in_the_middle(tmp_path: Path) -> None:
    """FGE's are taken at half of every cycle that gets so far; their number is the job's own."""
    job = "{kind: fge, start: START, epochs: 7, cycle_epochs: 2, schedule: {kind: triangle, high: 0.1, low: 0.01}}"
    (chain,) = of(tmp_path, job.replace("START", start()))
    assert rates_of(chain).members == (9.0, 11.0, 13.0, 15.0)
    assert chain.jobs[-1].num_members == 4  # type: ignore[attr-defined]


def test_seeds_and_sweeps_with_the_same_rates_are_one(tmp_path: Path) -> None:
    """Two ends of a curve, and a sweep of the same training, are one chain; the curve goes on from its start."""
    curve = f"{{kind: curve, start: {start()}, end: {start(1)}, epochs: 4, lr: 0.05}}"
    profile = f"name: a\njob: {{kind: profile, along: {curve}}}"
    chains = of(tmp_path, profile, f"name: b\njob: {start(2)}", f"name: c\njob: {curve}")
    names = ["sgd plateau_linear", "sgd plateau_linear → curve plateau_linear"]
    assert sorted(chain.name for chain in chains) == names


def test_searched_values_are_drawn_at_their_bounds(tmp_path: Path) -> None:
    """Every option is a chain, and every number is one at its lowest and one at its highest."""
    job = f"""name: a
job:
  kind: swa
  start: {start()}
  epochs: 4
  schedule: !choice
    - {{kind: constant, lr: !float [0.01, 0.2]}}
    - {{kind: warm_up, epochs: 1, then: {{kind: cosine, lr: 0.1}}}}
search: {{metric: validation/nll, trials: 3}}"""
    chains = of(tmp_path, job)
    assert [chain.name.split(" → ")[-1] for chain in chains] == ["swa constant", "swa warm_up cosine", "swa constant"]
    assert {chain.params.get("schedule.constant.lr") for chain in chains} == {0.01, 0.2, None}


def test_cycles_shorter_than_an_epoch_are_seen(tmp_path: Path) -> None:
    """A cycle has enough steps to show its form, and begins at its high rate."""
    job = "{kind: swa, start: START, epochs: 2, cycle_epochs: 0.1, schedule: {kind: cyclic, high: 0.4, low: 0.01}}"
    (chain,) = of(tmp_path, job.replace("START", start()))
    rates = rates_of(chain).rates
    assert min(rates) == pytest.approx(0.01)
    assert max(rates) > 0.38


def test_a_path_has_a_stage_a_cycle(tmp_path: Path) -> None:
    """The rates of a path are those of its cycles, one after the other."""
    cycles = "[{epochs: 2, lr: 0.1, insert: 3}, {epochs: 1, lr: 0.01}]"
    chains = of(tmp_path, f"{{kind: path, start: {start()}, end: {start(1)}, cycles: {cycles}}}")
    rates = rates_of(chains[-1]).rates[8 * EPOCH_STEPS :]
    assert rates == (0.1,) * 2 * EPOCH_STEPS + (0.01,) * EPOCH_STEPS


def test_nothing_is_trained(tmp_path: Path) -> None:
    """Weights from a file have no rates."""
    assert of(tmp_path, "{kind: predict, weights: {kind: weights, file: a.pt, model: lenet5, data: digits}}") == []


def test_stages_are_what_a_job_trains() -> None:
    """The epochs of a job's stages are all that it trains, whose rates may be those of a longer schedule."""
    base = rs.SGD(model="lenet5", data="digits", epochs=20, until=8)  # type: ignore[arg-type]
    for job in (base, rs.SWA(start=base, epochs=3, lr=0.1), rs.FGE(start=base, epochs=4, lr=0.1)):
        assert sum(stage.epochs for stage in job.stages) == job.epochs_to_train
    assert base.stages[0].length == 20

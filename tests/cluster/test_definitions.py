"""What a sweep means, however it is written, and what becomes of rows under one name when it means something else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.cluster import events
from raysurf.cluster.launch import PlanRecord, plan_sweeps
from raysurf.cluster.trial_table import TrialTable
from raysurf.errors import SpecError
from raysurf.store.store import Store
from raysurf.store.tables import read_rows, write_rows
from raysurf.sweep.document import load
from tests.support.cases import tiny_sgd
from tests.support.sweep_runs import break_off, trials

FILE = """
name: one
job:
  kind: sgd
  model: digits_conv
  data: digits
  epochs: 2
  batch_size: 64
  weight_decay: !float {low: 0.1, high: 1}
  schedule: !choice
    - {kind: constant, lr: 0.1}
    - {kind: cosine, lr: 0.1, end: !float [0, 0.01]}
search: {metric: validation/nll, trials: 8, points: [{weight_decay: 0.5, schedule: cosine}], stopping: {kind: asha}}
"""


def digest_of(folder: Path, text: str) -> str:
    (folder / "x.yaml").write_text(text)
    (sweep,) = load(folder / "x.yaml")
    return sweep.digest


SAME = [
    ("  kind: sgd\n  model: digits_conv\n", "  model: digits_conv\n  kind: sgd\n"),
    ("  data: digits\n", "  data: {name: digits}\n"),
    ("  data: digits\n", "  data: {name: digits, root: /elsewhere, share: 1.0}\n"),
    ("  model: digits_conv\n", "  model: {name: digits_conv, options: {}}\n"),
    ("  epochs: 2\n", "  epochs: 2\n  seed: 0\n  momentum: 0.9\n  nesterov: false\n"),
    ("high: 1}", "high: 1.0}"),
    ("high: 1}", "high: 1, log: false}"),
    ("end: !float [0, 0.01]", "end: !float [0.0, 0.01]"),
    ("{kind: constant, lr: 0.1}", "{lr: 0.1, kind: constant}"),
    ("{weight_decay: 0.5, schedule: cosine}", "{schedule: cosine, weight_decay: 0.5}"),
    ("trials: 8", "trials: 80, mode: min, sampler: tpe, batch: 7"),
    ("metric: validation/nll", "metric: [validation/nll]"),
    ("{kind: asha}", "{kind: asha, grace_epochs: 1, reduction: 3.0}"),
    ("name: one\n", "name: two\nseeds: [0]\nbudget: {trials: 3}\nresources: {cpus: 1}\n"),
]
ANOTHER = [
    ("high: 1}", "high: 2}"),
    ("high: 1}", "high: 1, log: true}"),
    ("epochs: 2\n", "epochs: 3\n"),
    ("{kind: constant, lr: 0.1}", "{kind: constant, lr: 0.2}"),
    ("end: !float [0, 0.01]", "end: 0.01"),
    ("validation/nll", "validation/error"),
    ("trials: 8", "trials: 8, seed: 0"),
    ("trials: 8", "trials: 8, mode: max"),
    ("{kind: asha}", "{kind: asha, reduction: 4}"),
    ("weight_decay: 0.5, schedule", "weight_decay: 0.4, schedule"),
    ("name: one\n", "name: one\nseeds: [1]\n"),
]


@pytest.mark.parametrize(("old", "new"), SAME + ANOTHER)
def test_what_means_the_same_has_one_digest(old: str, new: str, tmp_path: Path) -> None:
    """Whatever changes what is tried is part of the digest; order, short forms, stated defaults and places are not."""
    assert old in FILE
    assert (digest_of(tmp_path, FILE.replace(old, new)) == digest_of(tmp_path, FILE)) is ((old, new) in SAME)


def sweep_of(tree: Any = None, num_trials: int = 3, **search: Any) -> rs.Sweep:
    """Trials of an epoch, as quick as may be."""
    holes = tree or small().with_holes(lr=rs.Float(0.05, 0.2))
    return rs.Sweep(holes, rs.Search(metric="validation/nll", trials=num_trials, **search), name="one")


def small(**changes: object) -> rs.SGD:
    return tiny_sgd(data=rs.DataSpec(name="digits", share=0.1), epochs=1, **changes)


def run(root: Path, sweep: rs.Sweep, **settings: Any) -> list[dict[str, Any]]:
    """The rows of ``trials`` after a run, without what depends on the clock."""
    record = PlanRecord(Store(str(root)), "first.yaml")
    rs.run(sweep, str(root), executor="inline", listener=record, **settings)
    return trials(root)


def test_another_definition_removes_nothing(tmp_path: Path) -> None:
    """Finished trials under one name stay when it means something else, and both plan and run say what to do."""
    before = run(tmp_path, sweep_of())
    other = sweep_of(small(momentum=0.5).with_holes(lr=rs.Float(0.05, 0.2)), num_trials=1)
    with pytest.raises(SpecError) as caught:
        plan_sweeps([other], Store(str(tmp_path)))
    said = str(caught.value)
    assert f"3 finished of definition {sweep_of().digest} (first.yaml)" in said
    assert "another name for this one" in said
    assert "warm_start: [one]" in said
    assert "--replace" in said
    plan = plan_sweeps([other], Store(str(tmp_path / "empty")))
    # As a driver that planned when the other had written nothing, and waited for it.
    from raysurf.cluster.launch import launch

    with pytest.raises(SpecError, match="3 finished of definition"):
        launch(plan, Store(str(tmp_path)), lambda event: None, executor="inline")
    assert trials(tmp_path) == before
    swapped = {key: sweep_of().job[key] for key in reversed(sweep_of().job)}
    assert run(tmp_path, sweep_of(swapped)) == before
    after = run(tmp_path, other, replace=True)
    assert [row["definition"] for row in after] == [other.digest]
    assert len(rs.results.open(str(tmp_path)).table("runs")) == 4
    assert [row["definition"] for row in run(tmp_path, sweep_of(warm_start=True))] == [
        sweep_of(warm_start=True).digest
    ] * 3


def test_failed_trials_and_larger_sweeps_are_replaced(tmp_path: Path) -> None:
    """A sweep that failed may be mended under its name, and one without a search may get more seeds and settings."""
    bad = rs.Sweep(small(lr=1e9).with_holes(momentum=rs.Each((0.0, 0.5))), name="one")
    assert [row["state"] for row in run(tmp_path, bad)] == ["failed", "failed"]

    def sweep(*momenta: float, seeds: tuple[int, ...] = (1,)) -> rs.Sweep:
        return rs.Sweep(small().with_holes(momentum=rs.Each(momenta)), name="one", seeds=seeds)

    assert [row["state"] for row in run(tmp_path, sweep(0.0, 0.5))] == ["done"] * 2
    assert len(run(tmp_path, sweep(0.0, 0.3, 0.5, seeds=(1, 2)))) == 3
    with pytest.raises(SpecError, match="3 finished of definition"):
        run(tmp_path, sweep(0.0, 0.5))


def test_stores_of_earlier_versions_go_on(tmp_path: Path) -> None:
    """Rows with the digest of an earlier version are this sweep's: they are kept, and get the new one."""
    sweep = sweep_of(seed=0, batch=2)
    whole = run(tmp_path, sweep)
    store = Store(str(tmp_path))
    _, earlier = sweep.definitions
    assert earlier != sweep.digest
    # What an earlier version suggested, with another stream of random numbers.
    store.delete("tables/trials/one-000002.parquet")
    for number, lr in ((0, 0.11), (1, 0.12)):
        job = sweep.fill({"lr": lr}).jobs[0]
        rs.run(job, str(tmp_path))
        row = {**read_rows(store, "trials", f"one-{number:06d}")[0], "definition": earlier, "run_ids": [job.id]}
        write_rows(store, "trials", f"one-{number:06d}", [{**row, "params": json.dumps({"lr": lr})}])
    after = [row for row in run(tmp_path, sweep) if row["sweep"] == "one"]
    assert [row["definition"] for row in after] == [sweep.digest] * 3
    assert [json.loads(row["params"])["lr"] for row in after[:2]] == [0.11, 0.12]
    assert after[2]["params"] not in [row["params"] for row in whole[:2]]


def test_more_trials_of_one_configuration_move_the_next(tmp_path: Path) -> None:
    """When each configuration gets more trials, those of the second keep their values under their new numbers."""

    def sweep(num_trials: int) -> rs.Sweep:
        return sweep_of(small().with_holes(lr=rs.Float(0.05, 0.2), momentum=rs.Each((0.0, 0.5))), num_trials)

    before = [(row["params"], row["value"]) for row in run(tmp_path, sweep(2))]
    after = [(row["params"], row["value"]) for row in run(tmp_path, sweep(3))]
    assert after[:2] == before[:2]
    assert after[3:5] == before[2:]
    assert [json.loads(params)["momentum"] for params, _ in after] == ["0.0"] * 3 + ["0.5"] * 3
    assert sorted(TrialTable(Store(str(tmp_path)), sweep(2)).rows) == list(range(6))


def test_more_seeds_keep_what_a_search_tried(tmp_path: Path) -> None:
    """A search that gets more seeds tries what it tried, and trains the new seeds alone; unfinished, it goes on so."""

    def sweep(*seeds: int) -> rs.Sweep:
        return dataclasses.replace(sweep_of(), seeds=seeds)

    def runs() -> int:
        return len(rs.results.open(str(tmp_path)).table("runs"))

    before = run(tmp_path, sweep(1))
    assert (runs(), plan_sweeps([sweep(2, 1)], Store(str(tmp_path))).sweeps[0].trials_done) == (3, 0)

    break_off(sweep(1, 2), tmp_path, lambda event: isinstance(event, events.RunEnded))
    after = run(tmp_path, sweep(1, 2))
    assert [row["params"] for row in after] == [row["params"] for row in before]
    assert [row["seeds"] for row in after] == [[1, 2]] * 3
    assert runs() == 6
    with pytest.raises(SpecError, match="another name"):
        run(tmp_path, sweep(1))

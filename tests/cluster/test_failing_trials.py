"""What becomes of trials that fail: retries, limits, trying again, and running only some."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

import raysurf as rs
from raysurf.cluster.launch import plan_sweeps
from raysurf.errors import SpecError
from raysurf.store.compaction import compact
from raysurf.store.store import Store
from tests.support.cases import ROOT, tiny_sgd
from tests.support.flaky import linear
from tests.support.stored_rows import table_rows
from tests.support.sweep_runs import run

COLUMNS = ["error_kind", "error_class", "error_message", "error_place"]


def test_failed_trials_are_tried_again_when_asked(tmp_path: Path) -> None:
    """A failed trial stays failed, with nothing left to train, until --retry-failed; then it alone is run."""
    mended = tmp_path / "mended"
    tree = linear(fault="bug", until=str(mended)).with_holes({"model.options.fault": rs.Each(("", "bug"))})
    sweep, root = rs.Sweep(tree, name="flaky"), tmp_path / "r"
    assert run(sweep, root).finished.failed == 1
    (group,) = rs.results.open(str(root)).failures("flaky").groups
    assert (group.what.kind, group.what.error) == ("user_code", "KeyError")
    assert group.what.place.endswith("tests/support/flaky.py:" + group.what.place.rpartition(":")[2])
    mended.touch()
    ran = run(sweep, root)
    assert (ran.finished.failed, ran.begun) == (1, [])
    plans = [plan_sweeps([sweep], Store(str(root)), retry_failed=again).sweeps[0] for again in (False, True)]
    assert [plan.left(lambda job: job.epochs_to_train) for plan in plans] == [(0, 0), (1, 1)]
    ran = run(sweep, root, retry_failed=True)
    assert (ran.finished.failed, ran.begun) == (0, [1])
    assert rs.results.open(str(root)).failures().groups == ()
    assert [row["state"] for row in table_rows(root)] == ["done", "done"]


def test_retried_trials_leave_the_search_as_it_was(tmp_path: Path) -> None:
    """Trials of a search that succeed when tried again change no other suggestion, then or in later runs."""
    mended = tmp_path / "mended"
    tree = linear(until=str(mended)).with_holes(
        {"lr": rs.Float(0.01, 0.5), "model.options.fault": rs.Choice(("", "bug"))}
    )
    search = rs.Search(metric="validation/nll", trials=16, seed=0, batch=8)
    sweep, root = rs.Sweep(tree, search, name="search"), tmp_path / "r"
    failed = run(sweep, root).finished.failed
    assert 2 <= failed <= 14
    before = [row["params"] for row in table_rows(root)]
    broken = [row["trial"] for row in table_rows(root) if row["state"] == "failed"]
    mended.touch()
    ran = run(sweep, root, retry_failed=True)
    assert (ran.finished.failed, ran.begun) == (0, broken)
    assert [row["params"] for row in table_rows(root)] == before
    assert [row["trial"] for row in table_rows(root) if row["retried"]] == broken
    for retry_failed in (False, True):
        assert run(sweep, root, retry_failed=retry_failed).begun == []
    more = rs.Sweep(tree, rs.Search(metric="validation/nll", trials=17, seed=0, batch=8), name="search")
    assert run(more, root).begun == [16]


def test_trying_again_keeps_to_the_budget(tmp_path: Path) -> None:
    """A trial of a search is tried again only if that fits the sweep's budget; if not it stays failed."""
    mended, root = tmp_path / "mended", tmp_path / "r"
    tree = linear(epochs=2, until=str(mended)).with_holes({"model.options.fault": rs.Choice(("bug", ""))})
    search = rs.Search(metric="validation/nll", sampler="grid")
    little, enough = (rs.Sweep(tree, search, name="spent", budget=rs.Budget(epochs=epochs)) for epochs in (3, 4))
    assert run(little, root).begun == [0, 1]
    mended.touch()
    assert run(little, root, retry_failed=True).begun == []
    assert [row["state"] for row in table_rows(root)] == ["failed", "done"]
    assert run(enough, root, retry_failed=True).begun == [0]
    assert [row["state"] for row in table_rows(root)] == ["done", "done"]


def two_sweeps() -> list[rs.Sweep]:
    """Averages of two networks, and networks by themselves."""
    averaged = rs.SWA(start=linear(), epochs=1, lr=0.1).with_holes({"start.lr": rs.Each((0.1, 0.15, 0.2))})
    plain = linear().with_holes(momentum=rs.Each((0.0, 0.5)))
    return [rs.Sweep(averaged, name="swa", baselines=(linear(epochs=2),)), rs.Sweep(plain, name="plain")]


@pytest.mark.parametrize(
    ("only", "trials", "num_runs"),
    [
        (["arm=start.lr=0.1"], [("swa", 0)], 2),
        (["arm=swa start.lr=0.1*"], [("swa", 0), ("swa", 1)], 4),
        (["kind=sgd"], [("plain", 0), ("plain", 1)], 3),
        (["sweep=plain", "trial=1"], [("plain", 1)], 1),
        (["trial=2", "trial=1", "kind=swa"], [("swa", 1), ("swa", 2)], 4),
    ],
)
def test_only_what_is_asked_for_is_run(
    only: list[str], trials: list[tuple[str, int]], num_runs: int, tmp_path: Path
) -> None:
    """Chosen configurations keep their numbers and get their inputs; others, and other baselines, are left."""
    run(two_sweeps(), tmp_path, only=only)
    assert sorted((row["sweep"], row["trial"]) for row in table_rows(tmp_path)) == sorted(trials)
    assert len(table_rows(tmp_path, "runs")) == num_runs
    ran = run(two_sweeps(), tmp_path)
    assert ran.finished.failed == 0
    assert len(ran.begun) == 5 - len(trials)


@pytest.mark.parametrize(
    ("only", "said"),
    [
        (
            ["arm=lr=0.3"],
            "got arm=lr=0.3; expected what fits a configuration; there are swa: swa start.lr=0.1; swa: swa",
        ),
        (["arms=x"], "got 'arms=x'; expected one of sweep=…, arm=…, kind=…, trial=… .did you mean arm=…"),
        (["trial=x"], "got 'trial=x'; expected trial= and a number"),
    ],
)
def test_what_fits_nothing_is_told(only: list[str], said: str, tmp_path: Path) -> None:
    """A choice that fits nothing is one error that lists the configurations, and nothing is written."""
    with pytest.raises(SpecError, match=said):
        run(two_sweeps(), tmp_path, only=only)
    assert not list(tmp_path.iterdir())


def test_trials_of_a_search_have_no_choice(tmp_path: Path) -> None:
    """Trials of a search cannot be chosen by number, since each follows from others; its sweep can."""
    sweep = rs.Sweep(linear().with_holes(lr=rs.Float(0.1, 0.2)), rs.Search(metric="train/nll", trials=3), name="s")
    with pytest.raises(SpecError, match="trials of the search of 's' follow from one another"):
        run(sweep, tmp_path, only=["trial=1"])


@pytest.mark.parametrize(("seeds", "begins"), [((), [0, 1, 2]), ((1, 2), [0, 1, 2])])
def test_too_many_failures_stop_the_sweep(seeds: tuple[int, ...], begins: list[int], tmp_path: Path) -> None:
    """When more than the share have failed no more begin, what runs ends, and it is said; the next sweep goes on."""
    tree = linear().with_holes({"model.options.fault": rs.Each(("", "bug", "memory", "gpu_memory", "other"))})
    failures = rs.Failures(retries=0, max_failed_share=0.3)
    sweeps = [rs.Sweep(tree, name="bad", failures=failures, seeds=seeds), rs.Sweep(linear(), name="good")]
    ran = run(sweeps, tmp_path)
    assert ran.finished.stopped == ("bad",)
    (notice,) = ran.notices
    assert "sweep bad is stopped, 2 trials do not begin: 2 of 5 trials have failed, more than" in notice
    assert [row["state"] for row in table_rows(tmp_path) if row["sweep"] == "bad"] == ["done", "failed", "failed"]
    assert [row["state"] for row in table_rows(tmp_path) if row["sweep"] == "good"] == ["done"]
    ran = run(sweeps, tmp_path)
    assert (ran.finished.stopped, ran.begun) == (("bad",), [])


@pytest.mark.parametrize(("fault", "tries"), [("memory", 2), ("gpu_memory", 2), ("bug", 1)])
def test_memory_is_tried_again_and_a_bug_is_not(fault: str, tries: int, tmp_path: Path) -> None:
    """What ran out of memory is retried as often as is allowed; an error that would come again is not."""
    log = tmp_path / "tries"
    sweep = rs.Sweep(linear(fault=fault, log=str(log), fails=1), name="s", failures=rs.Failures(retries=1))
    assert run(sweep, tmp_path / "r").finished.failed == (tries == 1)
    assert len(log.read_text().splitlines()) == tries
    never = rs.Sweep(linear(fault=fault), name="never", failures=rs.Failures(retries=1))
    run(never, tmp_path / "r")
    (group,) = rs.results.open(str(tmp_path / "r")).failures("never").groups
    assert group.what.kind == {"memory": "cpu_memory", "bug": "user_code"}.get(fault, fault)


def test_slow_trials_are_ended(tmp_path: Path) -> None:
    """A trial that takes longer than its limit fails at its next epoch, and says so; its input may take longer."""
    slow = rs.SWA(start=linear(epochs=2), epochs=100_000, lr=0.1, evaluate_every=1000)
    ran = run(rs.Sweep(slow, name="slow", failures=rs.Failures(time_limit_s=1.0)), tmp_path)
    assert ran.finished.failed == 1
    (group,) = rs.results.open(str(tmp_path)).failures().groups
    assert group.what.kind == "time_limit"
    assert "took longer than time_limit_s: 1; it was ended after" in group.what.message
    assert table_rows(tmp_path)[0]["state"] == "failed"


def test_new_seeds_and_budgets_train_only_themselves(tmp_path: Path) -> None:
    """Seeds, and budgets by !each, that are added to a finished sweep cost what is new, and touch nothing else."""

    def sweep(seeds: tuple[int, ...], *budgets: float) -> rs.Sweep:
        tree = rs.SWA(start=linear(epochs=4), budget=2, lr=0.1).with_holes(budget=rs.Each(budgets))
        return rs.Sweep(tree, name="grows", seeds=seeds)

    store = Store(str(tmp_path))
    kept: dict[str, bytes] = {}
    trained = "select run_id, count(distinct epoch_s) as n from epochs where weights = 'iterate' group by 1"
    for seeds, budgets, new in (((1,), (1.5,), 2), ((1, 2), (1.5,), 2), ((1, 2), (1.25, 1.5, 2.0), 4)):
        run(sweep(seeds, *budgets), tmp_path)
        files = {path: store.get_bytes(path) for path in store.list("tables/runs")}
        assert len(files) == len(kept) + new
        assert {path: files[path] for path in kept} == kept
        kept = files
    counts = {row["run_id"]: row["n"] for row in rs.results.open(str(tmp_path)).sql(trained).to_pylist()}
    averages = [row["run_id"] for row in table_rows(tmp_path, "runs") if row["kind"] == "swa"]
    assert sorted(counts[run_id] for run_id in averages) == [1, 1, 2, 2, 4, 4]
    epoch_s = "select count(distinct epoch_s) as n from epochs where run_id like 'swa-%' and weights = 'iterate'"
    assert rs.results.open(str(tmp_path)).sql(epoch_s)["n"].to_pylist() == [2 * 4 + 2 * 1]


def test_runs_know_their_data(tmp_path: Path) -> None:
    """Trained and measured runs have the fingerprint of the data that they saw."""
    from raysurf.data.registry import load

    line = rs.Profile(along=rs.Line(start=linear(), end=linear().with_seed(1)), num_points=3)
    run(rs.Sweep(line, name="line"), tmp_path)
    expected = load(line.data_spec).fingerprint
    assert {row["data_fingerprint"] for row in table_rows(tmp_path, "runs")} == {expected}
    assert load(rs.DataSpec(name="digits")).fingerprint != expected


def test_trials_that_make_no_job_have_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the values of every trial fit nothing, each has a row, ``why`` says why, and the command ends with 1."""
    from click.testing import CliRunner

    from raysurf.cli.main import cli

    (tmp_path / "x.yaml").write_text(NO_JOBS)
    monkeypatch.chdir(tmp_path)
    for said in ("trial 0 failed: ", "1 of 1 failed before"):
        done = CliRunner().invoke(
            cli, ["run", "x.yaml", "--wandb", "off"], standalone_mode=False, catch_exceptions=False
        )
        assert said in done.stderr
        assert "were done already" not in done.stderr
        assert done.return_value == 1
    assert [(row["state"], row["run_ids"]) for row in table_rows(tmp_path / "results")] == [("failed", [])]
    why = CliRunner().invoke(cli, ["why"], standalone_mode=False, catch_exceptions=False)
    assert "no cycle ends within the run" in why.output


# Each option alone fits the first ones of the others.
NO_JOBS = """
name: none
job:
  kind: swa
  start: {kind: sgd, model: lenet5, data: digits, epochs: 1, lr: !choice [0.1, 0.2]}
  lr: 0.1
  epochs: 2
  cycle_epochs: !choice [1, 2]
  average_from: !choice [0, 1]
search: {metric: validation/nll, trials: 1, points: [{cycle_epochs: 2, average_from: 1}]}
"""


def test_rows_say_kind_class_message_and_place(tmp_path: Path) -> None:
    """Rows of runs and trials have the failure in columns, written where it was caught; ``why`` groups by them."""
    faults = linear().with_holes({"model.options.fault": rs.Each(("bug", "memory", "gpu_memory"))})
    once = rs.Failures(retries=0)
    slow = rs.SWA(start=linear(epochs=2), epochs=100_000, lr=0.1, evaluate_every=1000)
    sweeps = [
        rs.Sweep(faults, name="faults", failures=once),
        rs.Sweep(linear(epochs=3).with_holes(lr=rs.Each((1e38,))), name="diverged"),
        rs.Sweep(linear().with_holes(lr=rs.Each((1e30,))), name="not_finite"),
        rs.Sweep(tiny_sgd(data=rs.DataSpec(name="mnist", root=str(tmp_path / "none"))), name="mistake"),
        rs.Sweep(slow, name="time_limit", failures=rs.Failures(time_limit_s=1.0)),
        rs.Sweep(rs.SWA(start=linear(3, fault="bug"), epochs=1, lr=0.1).with_holes(lr=rs.Each((0.1,))), name="blocked"),
    ]
    run(sweeps, tmp_path / "r")
    runs = {(row["sweep"], row["role"], row["trial"]): row for row in table_rows(tmp_path / "r", "runs")}
    recorded = {
        key: (row["error_kind"], row["error_class"], row["error_place"].rpartition(":")[0].removeprefix(str(ROOT)))
        for key, row in runs.items()
        if row["status"] == "failed"
    }
    flaky = "/tests/support/flaky.py"
    assert recorded == {
        ("faults", "trial", 0): ("user_code", "KeyError", flaky),
        ("faults", "trial", 1): ("cpu_memory", "MemoryError", flaky),
        ("faults", "trial", 2): ("gpu_memory", "RuntimeError", flaky),
        ("diverged", "trial", 0): ("diverged", "DivergedError", "raysurf/training/epoch.py"),
        ("not_finite", "trial", 0): ("diverged", "NotFiniteError", "raysurf/jobs/execute.py"),
        ("mistake", "trial", 0): ("mistake", "DataError", "raysurf/data/sets/torchvision.py"),
        ("time_limit", "trial", 0): ("time_limit", "TimeLimitError", "raysurf/cluster/task.py"),
        ("blocked", "input", None): ("user_code", "KeyError", flaky),
        ("blocked", "trial", 0): ("blocked", "", ""),
    }
    assert runs["faults", "trial", 0]["error_message"] == "'layer7'"
    assert runs["faults", "trial", 0]["error"].startswith("Traceback (most recent call last):")
    for row in table_rows(tmp_path / "r"):
        of_run = runs[row["sweep"], "trial", row["trial"]]
        assert [row[name] for name in COLUMNS] == [of_run[name] for name in COLUMNS]
    groups = rs.results.open(str(tmp_path / "r")).failures().groups
    grouped = {(failed.sweep, failed.role, failed.trial): group.what for group in groups for failed in group.runs}
    assert {key: (what.kind, what.error) for key, what in grouped.items()} == {
        key: at[:2] for key, at in recorded.items()
    }
    assert run(sweeps[-1], tmp_path / "r").begun == [0]


def test_rows_of_an_older_version_have_their_kind_from_the_traceback(tmp_path: Path) -> None:
    """A store whose files lack the columns is read as before, beside rows that have them, and after compaction."""
    tree = linear().with_holes({"model.options.fault": rs.Each(("bug", "memory"))})
    run(rs.Sweep(tree, name="s", failures=rs.Failures(retries=0)), tmp_path / "r")
    ours = rs.results.open(str(tmp_path / "r")).failures().groups
    for table in ("runs", "trials"):
        files = (tmp_path / "r/tables" / table).iterdir()
        file = next(path for path in files if "KeyError" in pq.read_table(path)["error"][0].as_py())
        pq.write_table(pq.read_table(file).drop_columns(COLUMNS), file)
    for act in (lambda: None, lambda: compact(Store(str(tmp_path / "r")), grace_s=0.0)):
        act()
        read = rs.results.open(str(tmp_path / "r"))
        kinds = {row["error_kind"] for row in read.table("runs").to_pylist()}
        assert kinds == {None, "cpu_memory"}
        assert [group.what for group in read.failures().groups] == [group.what for group in ours]
        assert {group.what.kind for group in ours} == {"user_code", "cpu_memory"}

"""The study as Optuna's journal: what Optuna itself reads from it, and that it is only ever a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import raysurf as rs
from raysurf.cluster.study import StudyFile, study_path
from raysurf.cluster.trial_table import TrialTable
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd
from tests.support.searches import sweep_of
from tests.support.sweep_runs import run


def load(path: Path, name: str = "closed") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(path))))


def trials(path: Path, name: str = "closed") -> list[tuple[int, str, list[float] | None]]:
    return [(trial.user_attrs["trial"], trial.state.name, trial.values) for trial in load(path, name).trials]


def params(number: int) -> dict[str, Any]:
    return {"cycle_epochs": 1, "schedule": "constant", "schedule.constant.lr": 0.01 + number / 1000}


ENDS = [("done", (0.5,)), ("failed", None), ("stopped", None), ("done", (float("nan"),)), ("running", None)]
STATES = [(0, "COMPLETE", [0.5]), (1, "FAIL", None), (2, "PRUNED", None), (3, "FAIL", None), (4, "FAIL", None)]


@pytest.fixture
def table(tmp_path: Path) -> TrialTable:
    """Trials of every end, the last one left running by a killed driver."""
    trial_table = TrialTable(Store(str(tmp_path)), sweep_of())
    for number, (state, values) in enumerate(ENDS):
        trial_table.write(number, None, params(number), state, values)
    return trial_table


def no_warning(text: str) -> None:
    raise AssertionError(text)


@pytest.mark.parametrize("moved", [False, True])
def test_a_kept_lock_holds_nothing_up(moved: bool, table: TrialTable) -> None:
    """A lock that a killed driver left is removed, also where the store was moved and it leads to nowhere."""
    StudyFile(table, no_warning)
    path = study_path(table.store, "closed")
    lock = path.with_name(f"{path.name}.lock")
    lock.symlink_to("/nowhere/closed.journal" if moved else path)
    study = StudyFile(table, no_warning)
    table.write(5, None, params(5), "running")
    study.begun(5)
    assert not lock.is_symlink()
    assert trials(path) == [*STATES, (5, "RUNNING", None)]


def test_optuna_reads_the_trials_of_a_sweep(tmp_path: Path) -> None:
    """Optuna opens the study of several configurations: parameters, values, states, direction, metric names."""
    job = tiny_sgd(epochs=1).with_holes(lr=rs.Float(0.01, 0.2, log=True), momentum=rs.Each((0.0, 0.9)))
    search = rs.Search(metric="validation/accuracy", trials=2, seed=0)
    sweep = rs.Sweep(job, search, name="arms")
    assert run(sweep, tmp_path).notices == []
    study = load(tmp_path / "studies" / "arms.journal", "arms")
    rows = rs.results.open(str(tmp_path)).table("trials").sort_by("trial").to_pylist()
    assert [(trial.state.name, trial.value) for trial in study.trials] == [("COMPLETE", row["value"]) for row in rows]
    assert [trial.params["momentum"] for trial in study.trials] == ["0.0", "0.0", "0.9", "0.9"]
    assert study.direction.name == "MAXIMIZE"
    assert study.metric_names == ["validation/accuracy"]
    assert study.best_trial.user_attrs["trial"] == rs.results.open(str(tmp_path)).best("arms")["trial"]


@pytest.mark.parametrize("harm", ["missing", "torn", "no newline", "garbage", "behind", "another definition"])
def test_journal_is_rewritten_from_the_rows(harm: str, tmp_path: Path, table: TrialTable) -> None:
    """Whatever became of the journal, it says afterwards what the rows say, and takes the next trial."""
    path = study_path(table.store, "closed")
    StudyFile(table, no_warning)
    if harm == "missing":
        path.unlink()
    elif harm == "torn":
        path.write_bytes(path.read_bytes()[:-40] + b"\n")
    elif harm == "no newline":
        path.write_bytes(path.read_bytes()[:-40])
    elif harm == "garbage":
        path.write_bytes(b"\x00\xff\n" * 3)
    elif harm == "behind":
        table.write(0, None, params(0), "done", (0.4,))
    else:
        table = TrialTable(table.store, sweep_of(points=[{"cycle_epochs": 1}]))
        for number, (state, values) in enumerate(ENDS):
            table.write(number, None, params(number), state, values)
    file = StudyFile(table, no_warning)
    expected = [(0, "COMPLETE", [0.4]), *STATES[1:]] if harm == "behind" else STATES
    assert trials(path) == expected
    table.write(5, None, params(5), "running")
    file.begun(5)
    assert trials(path)[5:] == [(5, "RUNNING", None)]
    table.write(5, None, params(5), "done", (0.1,))
    file.ended(5)
    assert trials(path)[5:] == [(5, "COMPLETE", [0.1])]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_a_killed_driver_left_running_is_failed(table: TrialTable) -> None:
    """A sound journal is kept: trials still running in it are failed, and one that goes on is another trial."""
    path = study_path(table.store, "closed")
    before = StudyFile(table, no_warning)
    before.begun(4)
    assert trials(path)[-1] == (4, "RUNNING", None)
    size = path.stat().st_size
    text = path.read_bytes()
    after = StudyFile(TrialTable(table.store, table.sweep), no_warning)
    assert path.read_bytes()[:size] == text
    assert trials(path) == [*STATES, (4, "FAIL", None)]
    after.begun(4)
    assert trials(path)[-1] == (4, "RUNNING", None)


def test_journal_that_cannot_be_written_stops_nothing(table: TrialTable) -> None:
    """A place that cannot be written is one warning; later trials say nothing more."""
    Path(table.store.root, "studies").write_text("a file")
    warned: list[str] = []
    file = StudyFile(table, warned.append)
    file.begun(4)
    file.ended(4)
    assert len(warned) == 1
    assert "the sweep goes on without it" in warned[0]

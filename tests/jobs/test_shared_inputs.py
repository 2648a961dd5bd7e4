"""What two processes need at the same time is done once: the other one waits for it, or takes over."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.jobs.context import Progress
from raysurf.jobs.execute import execute, execute_piece
from raysurf.jobs.job import Job
from raysurf.jobs.measuring import MeasuringJob
from raysurf.jobs.outcome import metrics_of
from raysurf.store.store import Store
from raysurf.training.workers import Workers
from tests.support.cases import tiny_sgd
from tests.support.execution import rows
from tests.support.gated import builders, labels, open_when_waiting, run_in_group, run_job
from tests.support.processes import FORKS, forked, until
from tests.support.surfaces import surface


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Another process, for all of these tests, since it takes seconds to start."""
    with ProcessPoolExecutor(1, FORKS) as other:
        yield other


class Place:
    """A store in which another process is doing something that does not end before the gate is open."""

    def __init__(self, root: Path, pool: ProcessPoolExecutor) -> None:
        self.pool = pool
        self.store, self.calm = Store(str(root / "store")), Store(str(root / "calm"))
        self.log, self.gate, self.meeting = root / "log", root / "gate", root / "meeting"

    def sgd(self, **changes: object) -> rs.SGD:
        """A network that logs when it is built."""
        net = rs.ModelSpec(name="tests.support.gated:net", options={"log": str(self.log)})
        return tiny_sgd(**{"model": net, "data": rs.DataSpec(name="digits", share=0.1), **changes})

    @contextmanager
    def busy(self, job: Job, points: tuple[int, ...] = ()) -> Iterator[int]:
        """Another process, whose number is given, does a job or some points of it, and is at its first network."""
        self.gate.touch()
        self.log.unlink(missing_ok=True)
        end = self.pool.submit(run_job, job.tree, self.store.uri, str(self.gate), points)
        until(lambda: builders(self.log) or end.done())
        try:
            yield builders(self.log)[0]
        finally:
            self.gate.unlink(missing_ok=True)
            wait([end])
        assert not self.store.list("claims")

    def do(self, job: Job, store: Store | None = None) -> list[Progress]:
        """Do a job in this process; the gate is opened when it waits. Gives what it told."""
        reports: list[Progress] = []

        def progress(at: Progress) -> None:
            reports.append(at)
            open_when_waiting(at, str(self.gate))

        execute(job, store or self.store, Workers(), progress, labels("own"))
        return reports

    def same_rows(self, job: Job) -> bool:
        """Whether the store has the rows of one in which a job was done by itself, but for what says who did it."""
        self.do(job, self.calm)
        tables = [
            {table: [_without_owner(row) for row in records] for table, records in rows(store).items()}
            for store in (self.store, self.calm)
        ]
        return tables[0] == tables[1]


def _without_owner(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("sweep", "role", "command")}


@pytest.fixture
def place(tmp_path: Path, pool: ProcessPoolExecutor) -> Place:
    return Place(tmp_path, pool)


def test_input_is_trained_once(place: Place) -> None:
    """Who needs an input that another process trains waits, says for whom, and goes on from that one's outcome."""
    start = place.sgd()
    job = rs.SWA(start=start, epochs=1, lr=0.05)
    with place.busy(start) as other:
        reports = place.do(job)
    waited = [at for at in reports if at.waits_for]
    assert {at.run_id for at in waited} == {start.id}
    assert all(at.waits_for.startswith(f"sweep other, pid {other} on host ") for at in waited)
    assert builders(place.log)[0] == other and set(builders(place.log)[1:]) == {os.getpid()}
    assert {row["run_id"]: row["sweep"] for row in rows(place.store)["runs"]} == {start.id: "other", job.id: "own"}
    assert [at.run_id for at in reports if not at.waits_for] == [job.id]
    assert place.same_rows(job)


def test_who_waits_takes_over_from_a_killed_process(place: Place) -> None:
    """The process that is waited for is killed: its work goes on here, and the rows are those of one undisturbed."""
    job = place.sgd()
    place.gate.touch()
    other = forked(run_job, job.tree, place.store.uri, str(place.gate))
    until(lambda: builders(place.log))

    def progress(at: Progress) -> None:
        if at.waits_for and other.pid is not None:
            os.kill(other.pid, signal.SIGKILL)

    execute(job, place.store, Workers(), progress, labels("own"))
    other.join()
    assert other.exitcode == -signal.SIGKILL
    place.gate.unlink()
    assert builders(place.log) == [other.pid, *[os.getpid()] * (len(builders(place.log)) - 1)]
    assert place.same_rows(job)


def test_who_fails_lets_the_next_one_try(place: Place) -> None:
    """An error of the process that is waited for gives the job free, and the next one meets its own."""
    job = place.sgd(lr=1e38, epochs=3)
    with place.busy(job), pytest.raises(ArithmeticError, match="the loss is not finite"):
        place.do(job)
    assert [row["sweep"] for row in rows(place.store)["runs"]] == ["own"]


@pytest.mark.parametrize("kind", ["swa", "sgd"])
def test_budgets_of_two_users_train_common_epochs_once(kind: str, place: Place) -> None:
    """Who asks for more waits for who trains less of the same, and trains the rest alone."""
    shorter: Job
    longer: Job
    if kind == "swa":
        shorter, longer = (rs.SWA(start=place.sgd(), epochs=epochs, lr=0.05) for epochs in (2, 3))
        place.do(place.sgd())
    else:
        shorter, longer = place.sgd(epochs=3, until=2), place.sgd(epochs=3)
    with place.busy(shorter):
        reports = place.do(longer)
    assert reports[0].waits_for
    assert [at.epoch for at in reports if not at.waits_for] == [3]
    place.do(shorter, place.calm)
    assert place.same_rows(longer)


def test_less_does_not_wait_for_more(place: Place) -> None:
    """Nothing is gained by waiting for the end of a longer training; it is run beside it."""
    shorter, longer = place.sgd(epochs=3, until=1), place.sgd(epochs=3)
    with place.busy(longer):
        reports = place.do(shorter)
        assert [(at.epoch, at.waits_for) for at in reports] == [(1, "")]
        assert place.gate.exists() and metrics_of(place.store, longer.id) is None
    place.do(shorter, place.calm)
    assert place.same_rows(longer)


def test_group_waits_as_one(place: Place) -> None:
    """The workers of a group wait for another process together, and end together."""
    job = place.sgd()
    with place.busy(job) as other:
        settings = (job.tree, place.store.uri, str(place.gate), str(place.meeting))
        group = [forked(run_in_group, *settings, rank, 2) for rank in range(2)]
        for worker in group:
            worker.join()
    assert [worker.exitcode for worker in group] == [0, 0]
    assert set(builders(place.log)) == {other}
    assert place.same_rows(job)


def test_points_are_measured_once(place: Place) -> None:
    """A surface whose piece another process measures is waited for, by the whole and by that piece; others are not."""
    ends = (place.sgd(), place.sgd(seed=1))
    job: MeasuringJob = rs.Profile(along=rs.Line(start=ends[0], end=ends[1]), num_points=9)
    for end in ends:
        place.do(end)
    reports: list[Progress] = []

    def note(at: Progress) -> None:
        reports.append(at)
        open_when_waiting(at, str(place.gate))

    with place.busy(job, (4, 5, 6, 7)):
        execute_piece(job, place.store, Workers(), note, (0, 1), "own")
        assert not any(at.waits_for for at in reports) and place.gate.exists()
        execute_piece(job, place.store, Workers(), note, (5, 6, 7), "own")
        assert any(at.waits_for for at in reports)
        assert sorted({point for point, _ in surface(place.store, job)}) == [0, 1, 4, 5, 6, 7]
    with place.busy(job, (0, 1, 2, 3)):
        assert place.do(job)[0].waits_for
    place.do(job, place.calm)
    assert surface(place.store, job) == surface(place.calm, job)
    assert metrics_of(place.store, job.id) == metrics_of(place.calm, job.id)

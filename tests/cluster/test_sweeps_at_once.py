"""Sweeps that two drivers run on one store at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cluster import events
from raysurf.cluster.ray_cluster import FOLDER, ray_storage
from raysurf.errors import RaysurfError
from raysurf.store.lease import Lease
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd
from tests.support.gated import GATE, builders
from tests.support.lease_holders import elsewhere, write
from tests.support.processes import FORKS, until
from tests.support.stored_rows import stored_rows
from tests.support.sweep_runs import break_off, notices


def gated(root: Path) -> rs.SGD:
    """An epoch of a network that logs when it is built."""
    net = rs.ModelSpec(name="tests.support.gated:net", options={"log": str(root / "log")})
    return tiny_sgd(model=net, data=rs.DataSpec(name="digits", share=0.1), epochs=1)


def sweep(root: Path, name: str = "one", searched: bool = False) -> rs.Sweep:
    """Two averages of one network."""
    rates = (0.05, 0.1)
    holes = rs.SWA(start=gated(root), epochs=1, lr=0.05).with_holes(lr=rs.Choice(rates) if searched else rs.Each(rates))
    search = rs.Search(metric="validation/nll", sampler="grid") if searched else None
    return rs.Sweep(holes, search, name=name)


def run_behind(gate: str, what: rs.Sweep, uri: str, only: tuple[str, ...] = ()) -> int:
    """Run a sweep that builds no network before the gate is open."""
    os.environ[GATE] = gate
    return rs.run(what, uri, executor="inline", only=only).failed


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Another driver's process."""
    with ProcessPoolExecutor(1, FORKS) as other:
        yield other


@contextmanager
def running(pool: ProcessPoolExecutor, root: Path, what: rs.Sweep, *only: str) -> Iterator[Path]:
    """Another driver runs a sweep in ``store``, and has come as far as the gate, which is given."""
    gate, log = root / "gate", root / "log"
    gate.touch()
    end = pool.submit(run_behind, str(gate), what, str(root / "store"), only)
    until(lambda: builders(log) or end.done())
    try:
        yield gate
    finally:
        gate.unlink(missing_ok=True)
        wait([end])
    assert end.result() == 0


def run(root: Path, what: rs.Sweep, *only: str) -> list[events.Event]:
    """Run a sweep here; the gate is opened when it is said that it waits."""
    heard: list[events.Event] = []

    def listen(event: events.Event) -> None:
        heard.append(event)
        if isinstance(event, events.Notice) and "waiting for it" in event.text:
            (root / "gate").unlink(missing_ok=True)

    assert rs.run(what, str(root / "store"), executor="inline", listener=listen, only=only).failed == 0
    return heard


def begun(heard: list[events.Event]) -> list[int]:
    return [event.number for event in heard if isinstance(event, events.RunStarted)]


@pytest.mark.parametrize("searched", [False, True])
def test_second_run_of_a_sweep_waits_for_the_first(searched: bool, tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    """It says who runs it, then finds everything done; the rows are those of one run."""
    what = sweep(tmp_path, searched=searched)
    with running(pool, tmp_path, what):
        (other,) = set(builders(tmp_path / "log"))
        heard = run(tmp_path, what)
    (line,) = notices(heard)
    assert line.startswith(f"sweep one is being run by pid {other} on host ") and line.endswith("; waiting for it")
    assert begun(heard) == []
    assert len([event for event in heard if isinstance(event, events.RunEnded) and event.reused]) == 3
    assert set(builders(tmp_path / "log")) == {other}
    rs.run(what, str(tmp_path / "calm"), executor="inline")
    assert stored_rows(str(tmp_path / "store")) == stored_rows(str(tmp_path / "calm"))
    assert not Store(str(tmp_path / "store")).list("claims")


def test_sweeps_with_one_input_train_it_once(tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    """Sweeps of other names run beside one another; the second waits for the input alone, and says whose it is."""
    with running(pool, tmp_path, sweep(tmp_path)):
        (other,) = set(builders(tmp_path / "log"))
        heard = run(tmp_path, sweep(tmp_path, "two"))
    (line,) = [notice for notice in notices(heard) if notice.startswith("sgd-")]
    assert f" is being done by sweep one, pid {other} on host " in line and line.endswith("; waiting for it")
    runs = rs.results.open(str(tmp_path / "store")).table("runs").to_pylist()
    assert [row["sweep"] for row in runs if row["kind"] == "sgd"] == ["one"]
    assert len(runs) == 3


@pytest.mark.parametrize("budget", [None, rs.Budget(epochs=9)])
def test_other_trials_of_a_sweep_do_not_wait(
    budget: rs.Budget | None, tmp_path: Path, pool: ProcessPoolExecutor
) -> None:
    """Drivers of its other configurations run beside one another, unless there is a budget, which is for all."""
    tree = gated(tmp_path).with_holes(lr=rs.Each((0.05, 0.1)))
    what = rs.Sweep(tree, name="one", budget=budget)
    with running(pool, tmp_path, what, "trial=0") as gate:
        heard = run(tmp_path, what, "trial=1")
        assert gate.exists() is (budget is None)
    assert begun(heard) == [1]
    assert any("is being run by" in notice for notice in notices(heard)) is (budget is not None)
    rs.run(what, str(tmp_path / "calm"), executor="inline")
    assert stored_rows(str(tmp_path / "store")) == stored_rows(str(tmp_path / "calm"))


def test_waiting_counts_for_the_time_limit(tmp_path: Path) -> None:
    """A trial whose job somebody else does says so once, however often it looks, and is ended when its time is over."""
    what = rs.Sweep(gated(tmp_path), name="one", failures=rs.Failures(time_limit_s=2.0))
    (job,) = what.fill({}).jobs
    write(Store(str(tmp_path / "store")), job.trajectory or job.id, elsewhere())
    heard: list[events.Event] = []
    assert rs.run(what, str(tmp_path / "store"), executor="inline", listener=heard.append).failed == 1
    assert notices(heard) == [f"{job.id} is being done by sweep y, pid 12 on host far since now; waiting for it"]
    (trial,) = rs.results.open(str(tmp_path / "store")).table("trials").to_pylist()
    assert trial["error"].startswith("TimeLimitError: the trial took longer than time_limit_s: 2; it was ended after 0")
    assert not builders(tmp_path / "log")


def test_run_that_is_broken_off_keeps_nobody_waiting(tmp_path: Path) -> None:
    """After Ctrl-C nothing is claimed any more."""
    store, what = Store(str(tmp_path / "store")), sweep(tmp_path)
    break_off(what, store.uri, lambda event: isinstance(event, events.RunStarted) and store.list("claims"))
    assert not store.list("claims")
    assert notices(run(tmp_path, what)) == []


def test_rays_own_files_of_others_are_left(tmp_path: Path) -> None:
    """A run removes its own folder and those of runs that were killed, and none that is in use."""
    store = Store(str(tmp_path))
    for name in ("killed", "used", "far"):
        store.put_bytes(f"{FOLDER}/{name}/tune-1/file", b"x")
    write(store, "ray.far", elsewhere())
    with Lease(store, "ray.used", "") as used:
        assert used.take() is None
        with ray_storage(store) as first, ray_storage(store) as second:
            assert first != second
            for place in (first, second):
                Path(place, "tune-2").mkdir(parents=True)
                Path(place, "tune-2", "file").touch()
            assert not Path(tmp_path, FOLDER, "killed").exists()
        assert sorted(path.name for path in Path(tmp_path, FOLDER).iterdir()) == ["far", "used"]
    with pytest.raises(RaysurfError), ray_storage(store):
        raise RaysurfError
    assert [path.name for path in Path(tmp_path, FOLDER).iterdir()] == ["far"]
    store.delete(store.list("claims")[0])
    with ray_storage(store):
        pass
    assert not Path(tmp_path, FOLDER).exists()

"""Claims: one holder at a time, whatever the store, and what becomes of those whose holder is no more."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.store import lease as leases
from raysurf.store.lease import Holder, Lease
from raysurf.store.retry import Retry
from raysurf.store.store import Store
from raysurf.store.tables import part_names, write_rows
from tests.support.lease_holders import elsewhere, hammer, hold, started, write
from tests.support.processes import until
from tests.support.s3_server import make_bucket
from tests.support.shaky_store import remote
from tests.support.stores import epoch

NEVER = 1e9


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims that beat and die within a second."""
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(leases, "EXPIRES_S", 1.0)
    monkeypatch.setattr(leases, "_heart", leases._Heart())


def files(store: Store) -> list[str]:
    return store.list("claims")


@pytest.mark.parametrize(("place", "threads", "rounds"), [("disk", 4, 25), ("s3", 2, 3)])
def test_one_holds_it_at_a_time(
    place: str, threads: int, rounds: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Threads of several processes that all want one lease get it one after another, each as often as it wants."""
    uri = make_bucket(request.getfixturevalue("port"), "claims") if place == "s3" else str(tmp_path / "store")
    Store(uri).make()
    everybody = [started(hammer, uri, str(tmp_path), threads, rounds) for _ in range(3)]
    for process in everybody:
        process.join()
    assert [process.exitcode for process in everybody] == [0, 0, 0]
    assert len((tmp_path / "count").read_text()) == 3 * threads * rounds
    assert files(Store(uri)) == []


def test_claim_of_a_killed_process_is_taken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of this machine that held it is gone, though nobody has asked after it yet; no time need pass."""
    monkeypatch.setattr(leases, "EXPIRES_S", NEVER)
    store = Store(str(tmp_path))
    holder = started(hold, str(tmp_path))
    until(lambda: files(store))
    with Lease(store, "one", "sweep y") as lease:
        held = lease.take()
        assert held is not None and str(held).startswith(f"sweep x, pid {holder.pid} on host ")
        assert lease.take() == held
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        assert lease.take() is None
        assert files(store) == [lease.path]
    assert files(store) == []
    holder.join()


def test_process_is_known_by_its_start() -> None:
    """A number that another process has been given since is not the process that was meant."""
    since = leases.started(os.getpid())
    assert since is not None and leases.is_running(os.getpid(), since)
    assert not leases.is_running(os.getpid(), f"{since}0")
    for nobody in (2**22 + 1, 2**80):
        assert not leases.is_running(nobody, since)


@pytest.mark.usefixtures("quick")
def test_claim_that_does_not_stir_is_dead(tmp_path: Path) -> None:
    """Of another host's process one knows no more than that its file does not change; while it does, it is alive."""
    store, beat = Store(str(tmp_path)), 0
    lease = Lease(store, "one", "")
    began = time.monotonic()
    while time.monotonic() - began < 2.5:
        write(store, "one", elsewhere(beat=(beat := beat + 1)))
        held = lease.take()
        assert str(held) == "sweep y, pid 12 on host far since now"
        time.sleep(0.1)
    assert held is not None
    until(lambda: lease.take() is None)
    assert files(store) == [lease.path]
    lease.release()


@pytest.mark.usefixtures("quick")
def test_holder_beats_until_it_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits on another machine sees the file change for as long as the lease is held, and nothing afterwards."""
    store = Store(str(tmp_path))
    with Lease(store, "one", "sweep x") as lease:
        lease.take()
        monkeypatch.setattr(leases, "place", lambda: "another machine")
        waiter, began = Lease(store, "one", "sweep y"), time.monotonic()
        while time.monotonic() - began < 2.5:
            assert waiter.take() is not None
            time.sleep(0.1)
        assert json.loads(store.get_bytes(lease.path))["beat"] > 2
    assert files(store) == []
    time.sleep(0.2)
    assert files(store) == []
    assert waiter.take() is None
    waiter.release()


@pytest.mark.usefixtures("quick")
def test_frozen_holder_loses_its_claim_for_good(tmp_path: Path) -> None:
    """A process that was stopped for long is taken for dead; when it goes on it takes no new lease."""
    store = Store(str(tmp_path))
    holder = started(hold, str(tmp_path), 0.05)
    until(lambda: files(store))
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGSTOP)
    lease = Lease(store, "one", "sweep y")
    until(lambda: lease.take() is None)
    os.kill(holder.pid, signal.SIGCONT)
    time.sleep(0.5)
    assert holder.is_alive() and files(store) == [lease.path]
    lease.release()
    holder.kill()
    holder.join()


@pytest.mark.usefixtures("quick")
def test_broken_claim_holds_but_does_not_stir(tmp_path: Path) -> None:
    """What is no lease of ours is waited for as one that says nothing, then removed; it is no error."""
    store, known = Store(str(tmp_path)), ({"pid": "12"}, {"last": None}, {"last": True}, {"who": ["x"]})
    texts = (b"", b"\xff\x00", b"[1, 2]", b'{"who": "x"}', b"[" * 100_000, *(elsewhere(**wrong) for wrong in known))
    waiting = {f"claim{number}": text for number, text in enumerate(texts)}
    with ExitStack() as held:
        taking = [held.enter_context(Lease(store, name, "", part=(7, 9))) for name in waiting]
        for name, text in waiting.items():
            write(store, name, text)
        assert all("somebody whose lease cannot be read" in str(lease.take()) for lease in taking)
        for lease in taking:
            until(lambda lease=lease: lease.take() is None)
        assert files(store) == [lease.path for lease in taking]


def test_what_a_claim_says_is_printed_plain() -> None:
    """A terminal is told nothing by who has written the file, and not much."""
    held = Holder.read(elsewhere(who="\x1b[2J\n" + 10_000 * "x", pid=-1, host="a\x00"))
    assert held is not None
    assert str(held).isprintable() and len(str(held)) == 300
    assert not held.is_gone


@pytest.mark.parametrize(
    ("mine", "waits_for_longer", "theirs", "waits"),
    [
        ((0, 1), True, (0, 1), True),
        ((0, 4), True, (4, 8), False),
        ((4, 8), True, (0, 20), True),
        ((0, 20), True, (4, 8), True),
        ((0, 8), False, (0, 4), True),
        ((0, 8), False, (0, 8), True),
        ((0, 4), False, (0, 8), False),
        ((0, 0), True, (0, 9), False),
    ],
)
def test_parts_that_meet_wait_for_each_other(
    mine: tuple[int, int], waits_for_longer: bool, theirs: tuple[int, int], waits: bool, tmp_path: Path
) -> None:
    """Claims on other parts of a name, on other names, and on longer ones where that is asked for, do not count."""
    store = Store(str(tmp_path))
    write(store, "one", elsewhere(first=theirs[0], last=theirs[1]))
    write(store, "one.more", elsewhere())
    with Lease(store, "one", "", mine, waits_for_longer) as lease:
        assert (lease.take() is not None) is waits


@pytest.mark.usefixtures("quick")
def test_claim_that_is_lent_for_ever_is_given_up(tmp_path: Path) -> None:
    """A thread that is never given back holds nothing; one that comes back soon has its lease still."""
    store = Store(str(tmp_path))
    with Lease(store, "one", "") as lease:
        lease.take()
        with lease.lent():
            time.sleep(0.2)
        time.sleep(1.2)
        assert files(store) == [lease.path]
        with lease.lent():
            until(lambda: not files(store))
    assert files(store) == []


def test_claims_are_no_rows(tmp_path: Path) -> None:
    """Tables, parts and queries do not see them."""
    store = Store(str(tmp_path))
    write_rows(store, "epochs", "a", [epoch("a")])
    with Lease(store, "one", "") as lease:
        lease.take()
        assert files(store)
        results = rs.results.open(str(tmp_path))
        assert results.tables() == ["epochs"] and results.table("epochs").num_rows == 1
        assert part_names(store, "epochs") == ["a"]


def test_what_killed_processes_have_left_is_removed(tmp_path: Path) -> None:
    """Of all leases in a store those of ended processes of this machine go; what is unknown stays."""
    store = Store(str(tmp_path))
    here = {"place": leases.place(), "started": leases.started(os.getpid())}
    for name, said in (("far", elsewhere()), ("broken", b"{"), ("dead", elsewhere(pid=2**22 + 1, **here))):
        write(store, name, said)
    with Lease(store, "own", "") as lease:
        assert lease.take() is None
        leases.remove_dead(store)
        assert [path.partition(".")[0] for path in files(store)] == ["claims/broken", "claims/far", "claims/own"]


@pytest.mark.usefixtures("quick")
def test_store_that_is_away_keeps_nobody(tmp_path: Path) -> None:
    """To give a lease up in an outage is no error and is not waited for long; it is dead to others by itself."""
    store, shaky, said = remote(tmp_path, Retry(limit_s=60))
    lease = Lease(store, "one", "")
    assert lease.take() is None
    shaky.away(600)
    lease.release()
    shaky.away(0)
    assert said == [] and files(store) == [lease.path]
    other = Lease(store, "one", "")
    assert other.take() is not None
    until(lambda: other.take() is None)
    other.release()
    assert files(store) == []

"""What SIGTERM does to a process that works, and what it leaves alone; whose error it is that ends one of a group."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import raysurf as rs
from raysurf.cluster import events
from raysurf.cluster.shutdown import PreemptionNotice, _in_main_thread, in_this_process
from raysurf.cluster.task import PREEMPTIONS, Report, Task, run_task
from raysurf.cluster.train_group import Broker, _is_anothers
from raysurf.errors import PreemptedError
from raysurf.jobs.provenance import Labels, collect
from raysurf.training.workers import Workers
from tests.support.cases import tiny_sgd
from tests.support.stored_rows import stored_rows
from tests.support.sweep_runs import epochs, run

Got = list[int]


@pytest.fixture
def got() -> Iterator[Got]:
    """What the handler gets that was there before."""
    signals: Got = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
    yield signals
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def unhandled() -> Iterator[None]:
    """Nobody handles SIGTERM."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    """Send SIGTERM to this process, if it is not deadly."""
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGTERM)


def test_signal_is_a_notice_while_there_is_work(got: Got) -> None:
    """While a process works the first SIGTERM tells it to leave; all others do what they did before."""
    notice = PreemptionNotice()
    notice.install()
    notice.install()
    terminate()
    assert got == [signal.SIGTERM]
    with notice.working():
        assert not notice.is_set()
        terminate()
        assert notice.is_set()
        terminate()
    terminate()
    assert len(got) == 3
    assert notice.is_set()
    notice.uninstall()
    terminate()
    assert len(got) == 4


def test_handler_is_set_from_any_thread(got: Got) -> None:
    """What a thread asks for is done by the main thread."""
    notice, done = PreemptionNotice(), threading.Event()

    def install() -> None:
        assert threading.current_thread() is threading.main_thread()
        notice.install()
        done.set()

    asking = threading.Thread(target=_in_main_thread, args=(install,))
    asking.start()
    assert done.wait(10)
    asking.join()
    with notice.working():
        terminate()
    assert notice.is_set()
    assert got == []


def test_work_begins_when_the_handler_is_there(got: Got) -> None:
    """SIGTERM in the first line of the work is a notice, though the main thread runs Python every fifth of a second."""
    notice, ended = PreemptionNotice(), threading.Event()

    def work() -> None:
        notice.install_soon()
        with notice.working():
            terminate()
            ended.wait(1)
        ended.set()

    working = threading.Thread(target=work)
    working.start()
    while working.is_alive():
        working.join(0.2)
    assert notice.is_set()
    assert got == []
    notice.uninstall()


def test_handlers_of_others_are_left_alone(got: Got) -> None:
    """In a process whose SIGTERM somebody handles, nothing is changed."""
    with in_this_process() as is_told:
        terminate()
        assert not is_told()
    assert got == [signal.SIGTERM]


@pytest.mark.usefixtures("unhandled")
def test_handler_is_taken_back() -> None:
    """After the work SIGTERM is as it was; a handler that somebody has set meanwhile stays."""
    with in_this_process() as is_told:
        terminate()
        assert is_told()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with in_this_process():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


@pytest.mark.usefixtures("unhandled")
def test_preempted_process_goes_on_when_it_is_run_again(tmp_path: Path) -> None:
    """SIGTERM to a process that runs a sweep itself ends it with an error that says where; no trial has failed."""
    tree = tiny_sgd().with_holes(lr=rs.Each((0.1, 0.2)))
    sweep, uri = rs.Sweep(tree, name="s"), str(tmp_path / "r")
    threads = torch.get_num_threads()

    def listen(event: events.Event) -> None:
        if isinstance(event, events.RunProgressed) and event.epoch == 1:
            terminate()

    with pytest.raises(PreemptedError, match="told to leave, after epoch 1; the state is kept, and running it again"):
        rs.run(sweep, uri, executor="inline", listener=listen)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert torch.get_num_threads() == threads
    results = rs.results.open(uri)
    assert results.table("trials")["state"].to_pylist() == ["running"]
    assert results.failures().groups == ()
    ran = run(sweep, uri)
    assert (ran.finished.failed, epochs(ran.events)[0]) == (0, 2)
    rs.run(sweep, str(tmp_path / "calm"), executor="inline")
    assert stored_rows(uri) == stored_rows(str(tmp_path / "calm"))


def task(store: str = "nowhere", retries: int = 0) -> Task:
    """A job, in a task."""
    labels = Labels("s", "trial", "arm", collect())
    return Task(0, "trial 0", (tiny_sgd(),), labels, store, rs.Resources(), retries=retries)


def test_preempted_request_may_be_tried_again(tmp_path: Path) -> None:
    """Its report says that it failed, that another try may do away with it, and why."""
    asked = task(str(tmp_path))
    report = run_task(asked, Workers(is_told=lambda: True), lambda report: None)
    assert report["preempted"] == (f"before {asked.jobs[0].id} began",)
    assert (report["state"], report["passing"], report["lost"]) == ("failed", True, True)


def test_preempted_group_uses_up_no_try() -> None:
    """A group that is preempted gets its task again though there are no retries, but not for ever."""

    async def tries() -> int:
        broker, count = Broker(), 0
        await broker.give(task())
        while True:
            taking = asyncio.ensure_future(broker.take(0, f"incarnation {count}", 0, None))
            telling = asyncio.ensure_future(broker.next())
            done, _ = await asyncio.wait((taking, telling), return_when=asyncio.FIRST_COMPLETED)
            if taking not in done:
                assert telling.result()["lost"]
                taking.cancel()
                return count
            count += 1
            await broker.preempted(1, {"state": "failed", "preempted": ("after epoch 1",)})
            if count <= PREEMPTIONS:
                assert (await telling)["state"] == "preempted"
            else:
                telling.cancel()

    assert asyncio.run(tries()) == PREEMPTIONS + 1


def test_lost_group_uses_up_its_tries() -> None:
    """A task whose group is lost is handed out as often as it may be tried; then it has failed, and says why."""

    async def lost() -> Report:
        broker = Broker()
        await broker.give(task(retries=1))
        for incarnation in ("first", "second"):
            assert (await broker.take(0, incarnation, 0, None))[0] == 1
        taking = asyncio.ensure_future(broker.take(0, "third", 0, None))
        report = await broker.next()
        taking.cancel()
        return report

    report = asyncio.run(lost())
    assert (report["state"], report["failure"].kind, report["lost"]) == ("failed", "lost", True)
    assert report["failure"].message == "the worker process was lost: at its last of 2 tries"


def test_whose_error_it_is() -> None:
    """That a worker is gone is what torch says; what a user's code says of gloo or of a connection is its own error."""
    texts = ("{'GLOO_SOCKET_IFNAME': 'lo'}", "no connection to the server of images")
    places = {"/x/torch/distributed/distributed_c10d.py": True, "/home/me/net.py": False}
    for text, (place, is_anothers) in itertools.product(texts, places.items()):
        with pytest.raises(RuntimeError) as raised:
            exec(compile("raise RuntimeError(text)", place, "exec"), {"text": text})
        assert _is_anothers(raised.value) == is_anothers

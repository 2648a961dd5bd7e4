"""A whole sweep whose results lie on S3: rows, checkpoints, resumption, queries and commands, through one address."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from pathlib import Path

import duckdb
import pyarrow.dataset as ds
import pytest

import raysurf as rs
from raysurf.cli.main import cli
from raysurf.errors import StoreError
from raysurf.store.store import Store
from tests.support.cases import tiny_sgd
from tests.support.s3_server import make_bucket
from tests.support.stored_rows import CLOCK, stored_rows
from tests.support.sweep_runs import break_off, epochs, run


def sweep() -> rs.Sweep:
    """A trial of some dozens of short epochs, and a baseline."""
    tree = rs.SWA(start=tiny_sgd(), epochs=24, cycle_epochs=1, lr=0.05).with_holes(lr=rs.Each((0.1,)))
    return rs.Sweep(tree, name="on-s3", baselines=(tiny_sgd(),))


def test_sweep_on_s3_is_broken_off_and_goes_on(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It resumes from its checkpoint there; every reader and command sees the rows of an undisturbed run on a disk."""
    uri, local = make_bucket(port, "sweeps"), str(tmp_path)
    store = Store(uri)

    break_off(sweep(), uri, lambda event: max(epochs([event], "swa-"), default=0) > 2)
    kept = [path for path in store.list("trajectories") if path.endswith(".json")]
    assert [path for path in kept if "/swa-" in path]
    ran = run(sweep(), uri)
    assert ran.finished.failed == 0 and epochs(ran.events, "swa-")[0] > 1
    rs.run(sweep(), local, executor="inline")
    assert stored_rows(uri) == stored_rows(local)
    stored = rs.results.open(uri)
    num_epochs = stored.table("epochs").num_rows
    assert stored.sql("select count(*) as n from epochs").to_pylist() == [{"n": num_epochs}]
    files = ds.dataset(f"{store.root}/tables/epochs", filesystem=store.fs, format="parquet")
    assert duckdb.from_arrow(files.to_table()).aggregate("count(*)").fetchall() == [(num_epochs,)]
    for command in (["table", "trials"], ["compare", "budgets"]):
        answers = []
        for results in (uri, local):
            cli.main([*command, "--format", "json", "--results", results], standalone_mode=False)
            answers.append(printed(capsys))
        assert answers[0] == answers[1] != []
    assert not [path for path in store.list() if path.startswith(("_tmp/", "_ray/"))]


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What a command has printed, without what depends on the clock, in one order."""
    rows = [{k: v for k, v in row.items() if k not in CLOCK} for row in json.loads(capsys.readouterr().out)]
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


class Gate:
    """Passes connections on to a server; while it is shut, every one of them breaks."""

    def __init__(self, server: int) -> None:
        self.server, self.is_shut = server, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with source, target, contextlib.suppress(OSError):
            while (data := source.recv(65536)) and not self.is_shut:
                target.sendall(data)
            for end in (source, target):
                end.shutdown(socket.SHUT_RDWR)


def test_server_that_is_away_for_a_while_is_waited_for(port: int) -> None:
    """Calls outlive a network that breaks for longer than the SDK waits, and say so; no bucket is an error at once."""
    gate, said = Gate(port), list[str]()
    make_bucket(port, "gated")
    store = Store(f"s3://gated/x?endpoint_override=127.0.0.1:{gate.port}&scheme=http", tell=said.append)
    store.put_bytes("a", b"x")
    gate.is_shut = True
    threading.Timer(7.0, lambda: setattr(gate, "is_shut", False)).start()
    began = time.monotonic()
    store.put_bytes("b", b"y")
    assert time.monotonic() - began > 6
    assert store.list() == ["a", "b"] and store.get_bytes("b") == b"y"
    assert len(said) == 1 and "do not answer" in said[0]
    gate.listener.close()
    with pytest.raises(StoreError, match="expected a bucket that is there and can be written"):
        Store(f"s3://nowhere/x?endpoint_override=127.0.0.1:{port}&scheme=http").check_writable()

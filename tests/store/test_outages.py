"""A store that is away is waited for, a full one is one error, and neither loses what was written."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cluster import events
from raysurf.errors import StoreError, StoreUnavailableError
from raysurf.store.retry import Retry, may_pass
from raysurf.store.tables import part_names, read_rows, write_rows
from tests.support.cases import tiny_sgd
from tests.support.shaky_store import remote
from tests.support.small_disk import fill, small_disk
from tests.support.stored_rows import stored_rows
from tests.support.stores import epoch


def test_store_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    """Every kind of call outlives an outage; it is told once a call, if it takes more than a second."""
    store, shaky, said = remote(tmp_path, Retry(limit_s=20))
    write_rows(store, "epochs", "a", [epoch("a")])
    shaky.away(1.5)
    write_rows(store, "epochs", "b", [epoch("b")])
    assert len(said) == 1
    assert "do not answer" in said[0] and "the server does not answer" in said[0]
    shaky.away(0.2)
    assert part_names(store, "epochs") == ["a", "b"]
    shaky.away(0.2)
    assert len(read_rows(store, "epochs", "b")) == 1
    shaky.away(0.2)
    assert store.exists("tables/epochs/a.parquet")
    shaky.away(0.2)
    store.delete("tables/epochs/a.parquet")
    assert part_names(store, "epochs") == ["b"]
    assert len(said) == 1


def test_patience_has_an_end(tmp_path: Path) -> None:
    """A store that stays away is an error that says for how long it was waited, and what to do; its rows stay."""
    store, shaky, _ = remote(tmp_path, Retry(limit_s=0.3))
    write_rows(store, "epochs", "a", [epoch("a")])
    shaky.away(60)
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"for 0\.3 s while writing .*; expected .* run the same command"):
        write_rows(store, "epochs", "a", [epoch("a", 2)])
    assert time.monotonic() - began < 2
    shaky.away(0)
    assert [row["epoch"] for row in read_rows(store, "epochs", "a")] == [1]


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError("AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7"), True),
        (OSError("AWS Error SLOW_DOWN during PutObject operation"), True),
        (OSError("AWS Error UNKNOWN (HTTP status 503) during HeadObject operation"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.EROFS, "Read-only file system"), True),
        (PermissionError(errno.EACCES, "Permission denied"), True),
        (OSError("AWS Error ACCESS_DENIED during PutObject operation"), False),
        (OSError("AWS Error NO_SUCH_BUCKET during PutObject operation"), False),
        (OSError("AWS Error UNKNOWN (HTTP status 403) during HeadObject operation"), False),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_what_may_pass(error: OSError, passes: bool) -> None:
    """Outages are told from refusals."""
    assert may_pass(error) == passes


def test_what_waiting_cannot_mend_is_told_at_once(tmp_path: Path) -> None:
    """A refusal, a store that never answered and a full one do not wait; one that is known to be there does."""
    store, shaky, _ = remote(tmp_path, Retry(limit_s=20))
    shaky.away(60)
    began = time.monotonic()
    with pytest.raises(StoreError, match="the server does not answer while listing") as never:
        part_names(store, "epochs")
    assert not isinstance(never.value, StoreUnavailableError)
    shaky.away(0)
    assert part_names(store, "epochs") == []
    for error, kind, expected in (
        (OSError("AWS Error ACCESS_DENIED"), StoreError, "a store that can be read and written"),
        (OSError(errno.ENOSPC, "No space left on device"), StoreUnavailableError, "room for it: free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StoreUnavailableError, "what is finished is kept"),
    ):
        shaky.error = error
        shaky.away(60)
        with pytest.raises(kind, match=expected):
            store.put_bytes("a", b"x")
    assert time.monotonic() - began < 2
    known, shaky, _ = remote(tmp_path, Retry(limit_s=20), known=True)
    shaky.away(0.3)
    assert part_names(known, "epochs") == []


def small() -> rs.Sweep:
    """Two short trials."""
    return rs.Sweep(tiny_sgd().with_holes(lr=rs.Each((0.1, 0.05))), name="small")


def test_sweep_outlives_a_disk_that_is_unmounted(tmp_path: Path) -> None:
    """The folder vanishes in mid-run and comes back: it is not made anew, this is said, and no row is lost."""
    rs.run(small(), str(tmp_path / "calm"), executor="inline")
    here, gone, notices = tmp_path / "results", tmp_path / "gone", list[str]()
    threads: list[threading.Thread] = []

    def come_back() -> None:
        time.sleep(1.5)
        assert not here.exists()
        os.rename(gone, here)

    def listen(event: events.Event) -> None:
        if isinstance(event, events.RunProgressed) and not threads:
            os.rename(here, gone)
            threads.append(threading.Thread(target=come_back))
            threads[0].start()
        if isinstance(event, events.Notice):
            notices.append(event.text)

    assert rs.run(small(), str(here), executor="inline", listener=listen).failed == 0
    threads[0].join()
    assert stored_rows(str(here)) == stored_rows(str(tmp_path / "calm"))
    assert len(notices) == 1 and "the folder is gone" in notices[0]


def test_full_disk_is_one_error_and_loses_nothing(tmp_path: Path) -> None:
    """What was finished stays, nothing is left lying about, no trial counts as failed, and with room it goes on."""
    rs.run(small(), str(tmp_path / "calm"), executor="inline")
    with small_disk(tmp_path / "disk") as disk:
        store = disk / "results"
        rs.run(tiny_sgd(), str(store), executor="inline")
        before = stored_rows(str(store), "runs")
        fill(disk / "filler")
        with pytest.raises(StoreUnavailableError, match=r"no space left .* \(0 of 4 MiB free\); expected room for it"):
            rs.run(small(), str(store), executor="inline")
        assert stored_rows(str(store), "runs") == before
        assert list((store / "_tmp").iterdir()) == []
        (disk / "filler").unlink()
        assert rs.run(small(), str(store), executor="inline").failed == 0
        query = "select params, state, run_ids, error from trials where sweep = 'small' order by trial"
        there, calm = (rs.results.open(str(root)).sql(query).to_pylist() for root in (store, tmp_path / "calm"))
        assert there == calm

"""A store that is away, or cannot be written, for a while in the middle of a run."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cluster import events
from tests.support.paced import first_epochs, paced, processes, undisturbed
from tests.support.small_disk import small_disk
from tests.support.stored_rows import check_undisturbed

pytestmark = pytest.mark.fault


class Outage:
    """Listens to a run and, when its first trial has trained for some epochs, lets its store be away for a while.

    Args:
        away: Takes the store away.
        back: Brings it back.
        away_s: For how long.
    """

    def __init__(self, away: Callable[[], object], back: Callable[[], object], away_s: float) -> None:
        self.away, self.back, self.away_s = away, back, away_s
        self.notices: list[str] = []
        self._thread: threading.Thread | None = None

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        if isinstance(event, events.Notice):
            self.notices.append(event.text)
        if isinstance(event, events.RunProgressed) and event.epoch >= 3 and self._thread is None:
            self.away()
            self._thread = threading.Thread(target=self._come_back)
            self._thread.start()

    def _come_back(self) -> None:
        time.sleep(self.away_s)
        self.back()

    def end(self) -> None:
        """Wait until the store is back."""
        assert self._thread is not None, "it was never away"
        self._thread.join()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_workers_wait_for_a_store_that_is_gone_for_20_s(tmp_path: Path) -> None:
    """The folder is moved away for 20 s: it is waited for and not made anew, which is said once; no row is lost."""
    sweep, here, gone = paced(tmp_path), tmp_path / "r", tmp_path / "gone"

    def back() -> None:
        assert not here.exists(), list(here.rglob("*"))
        os.rename(gone, here)

    outage = Outage(lambda: os.rename(here, gone), back, 20.0)
    assert rs.run(sweep, str(here), listener=outage).failed == 0
    outage.end()
    assert [len(processes(tmp_path / f"log{number}")) for number in (0, 1)] == [1, 1]
    (notice,) = outage.notices
    assert "do not answer (the folder is gone" in notice and notice.endswith("waiting for them")
    check_undisturbed(str(here), undisturbed(sweep, tmp_path))


def test_disk_that_is_read_only_for_a_while(tmp_path: Path) -> None:
    """A file system that is remounted read-only in mid-run is waited for until it can be written again."""
    sweep = paced(tmp_path)
    with small_disk(tmp_path / "disk") as disk:

        def remount(how: str) -> None:
            subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)

        outage = Outage(lambda: remount("ro"), lambda: remount("rw"), 3.0)
        assert rs.run(sweep, str(disk / "r"), executor="inline", listener=outage).failed == 0
        outage.end()
        (notice,) = outage.notices
        assert "Read-only file system" in notice
        assert first_epochs(str(disk / "r"))
        check_undisturbed(str(disk / "r"), undisturbed(sweep, tmp_path))

"""A disk that fills while workers of Ray write to it."""

from __future__ import annotations

from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cluster import events
from raysurf.errors import StoreUnavailableError
from tests.support.cases import tiny_sgd
from tests.support.small_disk import fill, small_disk
from tests.support.stored_rows import check_undisturbed

pytestmark = [pytest.mark.ray, pytest.mark.fault, pytest.mark.usefixtures("ray_cluster")]


def test_full_disk_ends_the_run_and_room_lets_it_go_on(tmp_path: Path) -> None:
    """The one error says what to do, no trial counts as failed, and the rows are those of an undisturbed run."""
    sweep = rs.Sweep(tiny_sgd().with_holes(lr=rs.Each((0.1, 0.05))), name="full")
    with small_disk(tmp_path / "disk") as disk:

        def listen(event: events.Event) -> None:
            if isinstance(event, events.RunStarted):
                fill(disk / "filler")

        with pytest.raises(StoreUnavailableError, match=r"no space left .*; expected room for it: free some space"):
            rs.run(sweep, str(disk / "results"), listener=listen)
        (disk / "filler").unlink()
        assert {row["state"] for row in rs.results.open(str(disk / "results")).table("trials").to_pylist()} == {
            "running"
        }
        assert rs.run(sweep, str(disk / "results")).failed == 0
        rs.run(sweep, str(tmp_path / "calm"), executor="inline")
        check_undisturbed(str(disk / "results"), str(tmp_path / "calm"))

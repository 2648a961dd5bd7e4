"""Surfaces spread over real Ray workers: the same rows as in one process, whatever was killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.cluster import events
from raysurf.store.store import Store
from raysurf.store.tables import part_names
from tests.support.cases import tiny_sgd

PLANE = """
name: plane
job:
  kind: plane
  grid: GRID
  weights: [SGD0, SGD1, SGD2]
"""
SGD = "{kind: sgd, model: {name: digits_conv, options: {width: 4}}, data: digits, epochs: 2, lr: 0.05, seed: N}"


def plane(**changes: Any) -> rs.Plane:
    return rs.Plane(weights=tuple(tiny_sgd(seed=seed) for seed in range(3)), **{"grid": 5, **changes})


def surface(root: Path) -> list[dict[str, Any]]:
    rows = rs.results.open(str(root)).table("surface").to_pylist()
    return sorted(({k: v for k, v in row.items() if k != "point_s"} for row in rows), key=repr)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_points_are_spread_and_the_same(tmp_path: Path) -> None:
    """A plane, and a line measured as a baseline, are cut into pieces for all workers, with the rows of one process."""
    line = rs.Profile(along=rs.Line(start=tiny_sgd(seed=0), end=tiny_sgd(seed=1)), num_points=9)
    sweep = rs.Sweep(plane(), name="plane", baselines=(line,))
    heard: list[events.Event] = []
    assert rs.run(sweep, str(tmp_path / "ray"), listener=heard.append).failed == 0
    rs.run(sweep, str(tmp_path / "inline"), executor="inline")
    assert surface(tmp_path / "ray") == surface(tmp_path / "inline")
    parts = [part.partition(".")[0] for part in part_names(Store(str(tmp_path / "ray")), "surface")]
    assert (parts.count(plane().id), parts.count(line.id)) == (7, 3)
    told = [(event.job.id, event.done) for event in heard if isinstance(event, events.PointsMeasured)]
    assert (plane().id, 25) in told
    assert (line.id, 9) in told
    runs = [event for event in heard if isinstance(event, events.RunEnded)]
    assert len(runs) == 3 + 1 + 1


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_failing_points_are_told_and_kept_apart(tmp_path: Path) -> None:
    """When points raise in their pieces, the others are kept, and the trial fails with the reason."""
    from tests.support.surfaces import fragile_line

    job, _ = fragile_line(tmp_path)
    finished = rs.run(rs.Sweep(job, name="fragile"), str(tmp_path / "out"))
    assert finished.failed == 1
    (row,) = rs.results.open(str(tmp_path / "out")).table("trials").to_pylist()
    assert "point 6: RuntimeError: out of memory, say" in row["error"]
    assert {row["point"] for row in surface(tmp_path / "out")} == set(range(11)) - {6}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_killed_plane_measures_only_what_is_missing(tmp_path: Path) -> None:
    """A plane whose processes are all killed half-way, run again, has the rows of an unbroken one, none done twice."""
    text = PLANE.replace("GRID", "11")
    for seed in range(3):
        text = text.replace(f"SGD{seed}", SGD.replace("N", str(seed)))
    (tmp_path / "plane.yaml").write_text(text)
    command = [sys.executable, "-m", "raysurf.cli.main", "run", "plane.yaml", "--wandb", "off", "--results", "broken"]
    with subprocess.Popen(
        command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 90
        while len(list(tmp_path.glob("broken/tables/surface/plane-*.parquet"))) < 8:
            assert time.monotonic() < until, "no points were measured"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert not list(tmp_path.glob("broken/jobs/plane-*/outcome.json")), "it was killed too late to show anything"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("broken/tables/surface/plane-*.parquet")}
    kept = {row["point"] for row in surface(tmp_path / "broken")}
    assert 8 <= len(kept) < 121
    assert rs.run(rs.load(tmp_path / "plane.yaml"), str(tmp_path / "broken")).failed == 0
    untouched = [path for path, when in before.items() if path.stat().st_mtime_ns == when]
    assert len(untouched) >= len(before) - 4
    rs.run(rs.load(tmp_path / "plane.yaml"), str(tmp_path / "whole"), executor="inline")
    assert len(surface(tmp_path / "whole")) == 3 * 121
    assert surface(tmp_path / "broken") == surface(tmp_path / "whole")

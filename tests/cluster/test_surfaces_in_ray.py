"""Surfaces spread over real Ray workers: the same rows as in one process, whatever was killed on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.cluster import events
from raysurf.jobs.context import Progress
from raysurf.store.store import Store
from raysurf.store.tables import part_names
from tests.support.cases import Killed, tiny_sgd
from tests.support.execution import do
from tests.support.run_process import raysurf_run


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
    measured = [(event.job.id, event.done) for event in heard if isinstance(event, events.PointsMeasured)]
    assert (plane().id, 25) in measured
    assert (line.id, 9) in measured
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
@pytest.mark.usefixtures("ray_cluster")
def test_broken_off_plane_measures_only_what_is_missing(tmp_path: Path) -> None:
    """A plane that was broken off half-way, run again on Ray, has the rows of an unbroken one, none measured twice."""
    sweep, broken = rs.Sweep(plane(), name="plane"), tmp_path / "broken"

    def stop(at: Progress) -> None:
        if at.epoch == 12:
            at.flush()
            raise Killed

    for needed in plane().ancestors:
        do(needed, Store(str(broken)))
    with pytest.raises(Killed):
        do(plane(), Store(str(broken)), stop)
    query = "select point, split, point_s from surface order by all"
    before = rs.results.open(str(broken)).sql(query).to_pylist()
    assert rs.run(sweep, str(broken)).failed == 0
    after = rs.results.open(str(broken)).sql(query).to_pylist()
    assert 0 < len(before) < len(after) == 3 * 25
    assert [row for row in after if row in before] == before
    rs.run(sweep, str(tmp_path / "whole"), executor="inline")
    assert surface(broken) == surface(tmp_path / "whole")


@pytest.mark.ray
@pytest.mark.fault
@pytest.mark.usefixtures("ray_cluster")
def test_killed_plane_measures_only_what_is_missing(tmp_path: Path) -> None:
    """A plane whose processes are all killed half-way, run again, has the rows of an unbroken one, none done twice."""
    ends = [tiny_sgd(seed=seed, data=rs.DataSpec(name="digits")) for seed in range(3)]
    job = rs.Plane(weights=tuple(ends), grid=11)
    file, parts = tmp_path / "plane.yaml", "broken/tables/surface/plane-*.parquet"
    file.write_text(json.dumps({"name": "plane", "job": job.tree}))
    with raysurf_run(file, str(tmp_path / "broken")) as run:
        run.wait_until(lambda: len(list(tmp_path.glob(parts))) >= 8)
    assert not list(tmp_path.glob("broken/jobs/plane-*/outcome.json")), "it was killed too late to show anything"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob(parts)}
    kept = {row["point"] for row in surface(tmp_path / "broken")}
    assert 8 <= len(kept) < 121
    assert rs.run(rs.load(file), str(tmp_path / "broken")).failed == 0
    untouched = [path for path, when in before.items() if path.stat().st_mtime_ns == when]
    assert len(untouched) >= len(before) - 4
    rs.run(rs.load(file), str(tmp_path / "whole"), executor="inline")
    assert len(surface(tmp_path / "whole")) == 3 * 121
    assert surface(tmp_path / "broken") == surface(tmp_path / "whole")

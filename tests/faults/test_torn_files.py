"""Files that were cut short, as by a machine that lost power, beside good ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import raysurf as rs
from raysurf.cluster import events
from raysurf.errors import StoreError, StoreWarning
from tests.support.cases import tiny_sgd
from tests.support.stored_rows import check_undisturbed

pytestmark = pytest.mark.fault

HARMS: dict[str, Callable[[bytes], bytes | None]] = {
    "half": lambda data: data[: len(data) // 2],
    "all but a byte": lambda data: data[:-1],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "gone": lambda data: None,
}
PLACES = (
    "tables/runs/{average}.parquet",
    "tables/epochs/{start}.parquet",
    "tables/predictions/{average}.parquet",
    "tables/trials/torn-000000.parquet",
    "tables/surface/{line}.parquet",
    "jobs/{start}/outcome.json",
    "jobs/{average}/outcome.json",
    "jobs/{start}/weights.safetensors",
    "jobs/{average}/weights.safetensors",
)


def sweeps() -> list[rs.Sweep]:
    """Two averages, the first of which is harmed, and a line between the networks that they start from."""
    averaged = rs.SWA(start=tiny_sgd(), epochs=2, lr=0.1).with_holes({"start.lr": rs.Each((0.1, 0.05))})
    line = rs.Profile(along=rs.Line(start=tiny_sgd(), end=tiny_sgd(lr=0.05)), num_points=3)
    return [rs.Sweep(averaged, name="torn"), rs.Sweep(line, name="line")]


def run(root: Path) -> list[str]:
    """Run them in this process, and give the notices."""
    heard: list[events.Event] = []
    assert rs.run(sweeps(), str(root), executor="inline", listener=heard.append).failed == 0
    return [event.text for event in heard if isinstance(event, events.Notice)]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    root = tmp_path_factory.mktemp("calm")
    assert run(root) == []
    return root


CASES = [(place, "half") for place in PLACES] + [(place, harm) for place in PLACES[:8:7] for harm in HARMS]


@pytest.mark.parametrize(("place", "harm"), sorted(set(CASES)))
def test_torn_file_is_written_again(place: str, harm: str, calm: Path, tmp_path: Path) -> None:
    """A file of a finished sweep that is cut short or gone is told of and made again; what has to do with it alone."""
    average, profile = (sweep.fill(sweep.configurations[0]).jobs[0] for sweep in sweeps())
    runs = {"average": average.id, "start": average.ancestors[0].id, "line": profile.id}
    path, run_id = place.format(**runs), runs.get(place.partition("{")[2].partition("}")[0])
    root = tmp_path / "r"
    shutil.copytree(calm, root)
    data = HARMS[harm]((root / path).read_bytes())
    if data is None:
        (root / path).unlink()
    else:
        (root / path).write_bytes(data)
    others = {path: path.read_bytes() for path in root.glob("tables/runs/*") if run_id and run_id not in path.name}
    if path.startswith("tables") and data is not None:
        table = path.split("/")[1]
        with pytest.raises(StoreError, match=r"a file of .* that cannot be read"):
            rs.results.open(str(root), strict=True).table(table)
        with pytest.warns(StoreWarning, match=f"{path} is left out"):
            assert len(rs.results.open(str(root)).table(table)) < len(rs.results.open(str(calm)).table(table))
    said = run(root)
    assert said == ([] if "trials" in path else [f"{path} is missing or was cut short; {run_id} is done again"])
    check_undisturbed(str(root), str(calm))
    assert {path: path.read_bytes() for path in others} == others
    assert run(root) == []

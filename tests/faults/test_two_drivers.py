"""Drivers at once on one store, each a ``raysurf run`` with a Ray of its own: one trains what they share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import raysurf as rs
from raysurf.store.store import Store
from raysurf.sweep.document import load
from tests.support.cases import ROOT
from tests.support.gated import GATE, builders
from tests.support.processes import until
from tests.support.ray_home import ray_home
from tests.support.stored_rows import CLOCK, stored_rows

pytestmark = [pytest.mark.ray, pytest.mark.fault]

SWEEP = """
name: {name}
job:
  kind: swa
  start:
    kind: sgd
    model: {{name: "tests.support.gated:net", options: {{log: "{log}"}}}}
    data: {{name: digits, share: 0.1}}
    epochs: 2
    lr: 0.1
  epochs: 1
  lr: !each {rates}
"""


class Place:
    """A folder with two sweeps that share an input and a trial's job; no network is built before the gate is open."""

    def __init__(self, root: Path) -> None:
        self.root, self.log, self.gate = root, root / "log", root / "gate"
        self.store, self.calm = str(root / "store"), str(root / "calm")
        self.gate.touch()
        for name, rates in (("one", "[0.05, 0.1]"), ("two", "[0.1, 0.2]")):
            (root / f"{name}.yaml").write_text(SWEEP.format(name=name, log=self.log, rates=rates))

    def start(self, name: str, number: int) -> subprocess.Popen[bytes]:
        """Run a sweep; what it says goes to a file."""
        environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(self.root), GATE: str(self.gate)}
        command = [sys.executable, "-m", "raysurf.cli.main", "run", f"{name}.yaml", "--results", self.store]
        with self.said(number).open("wb") as file:
            return subprocess.Popen(
                [*command, "--wandb", "off"], stdout=file, stderr=file, cwd=self.root, env=environment
            )

    def said(self, number: int) -> Path:
        return self.root / f"said{number}"

    def waits(self, pattern: str, *numbers: int) -> list[int]:
        """Those of some drivers that say that they wait."""
        return [number for number in numbers if re.search(f"{pattern}; waiting for it", self.said(number).read_text())]

    def runs(self, uri: str) -> list[str]:
        """Rows of ``runs``, but for the times and for whose the shared ones are: the input and the average at 0.1."""
        rows: list[dict[str, Any]] = rs.results.open(uri).table("runs").to_pylist()
        return sorted(repr({k: v for k, v in row.items() if k not in (*CLOCK, "sweep", "trial")}) for row in rows)

    def require_same(self, *names: str) -> None:
        """Check that the store has the rows of one in which the sweeps were run undisturbed, and no lease is left."""
        for name in names:
            rs.run(load(str(self.root / f"{name}.yaml")), self.calm, executor="inline")
        tables = ("trials", "epochs", "predictions")
        assert stored_rows(self.store, *tables) == stored_rows(self.calm, *tables)
        assert self.runs(self.store) == self.runs(self.calm)
        kept = {"tables", "jobs", "trajectories", "sweeps", "version.json"}
        assert {path.partition("/")[0] for path in Store(self.store).list()} == kept


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """In a Ray's home of its own; whatever was started there ends with it."""
    with ray_home() as root:
        monkeypatch.chdir(root)
        yield Place(root)


def test_drivers_at_once_do_everything_once(place: Place) -> None:
    """Two runs of one sweep, and one of another with the same input: the rows are those of undisturbed runs."""
    drivers = [place.start(name, number) for number, name in enumerate(("one", "one", "two"))]
    (second,) = until(lambda: place.waits(r"^sweep one is being run by pid \d+ on host .*", 0, 1))
    first = 1 - second
    until(lambda: place.waits(r"sgd-\w+ is being done by sweep (one|two), pid \d+ on host .*", first, 2))
    assert len(builders(place.log)) == 1
    place.gate.unlink()
    assert [driver.wait() for driver in drivers] == [0, 0, 0], [place.said(number).read_text() for number in range(3)]
    assert "one trials: 2 of 2 were done already and are reused" in place.said(second).read_text()
    times_built = len(builders(place.log))
    place.require_same("one", "two")
    assert len(builders(place.log)) == 2 * times_built


def test_second_driver_takes_over_from_a_killed_one(place: Place) -> None:
    """The driver that runs the sweep is killed; the one that waits runs it to its end, with the same rows."""
    drivers = [place.start("one", number) for number in range(2)]
    (second,) = until(lambda: place.waits(r"^sweep one is being run by pid \d+ on host .*", 0, 1))
    until(lambda: builders(place.log))
    drivers[1 - second].kill()
    drivers[1 - second].wait()
    place.gate.unlink()
    assert drivers[second].wait() == 0, place.said(second).read_text()
    place.require_same("one")

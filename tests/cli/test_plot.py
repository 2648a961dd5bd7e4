"""``raysurf plot`` and ``report``, as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from raysurf.cli.pictures import PICTURES
from raysurf.report.draw import KINDS
from tests.support.command import raysurf
from tests.support.large_sweep import SWEEP, large_sweep
from tests.support.measured_rows import along, points, run, run_id, store

CURVE = run_id("profile", 7)
PLANNED = """
name: averages
job:
  kind: swa
  schedule: {kind: cyclic, high: 0.1, low: 0.01}
  start: {kind: sgd, model: lenet5, data: digits, epochs: 20, until: 8, lr: 0.1}
  epochs: 8
  cycle_epochs: !each [2, 4]
---
name: other
job: {kind: sgd, model: lenet5, data: digits, epochs: 5, schedule: {kind: cosine, lr: 0.1}}
"""


@pytest.fixture(autouse=True)
def _store() -> None:
    """The working folder's store, which has one profile."""
    rows = points(CURVE, "curve", along(5, 3.0), lambda place: 1.0)
    store(Path("results"), [run(CURVE, {"kind": "profile", "along": {"kind": "curve"}})], rows)


def test_default_place() -> None:
    """The picture goes into the store's folder of pictures, and its path alone is on stdout."""
    assert raysurf("plot profile") == (0, "results/pictures/profile.png\n", "")
    with Image.open("results/pictures/profile.png") as image:
        assert image.width > 1000


def test_a_store_at_an_address_has_its_pictures_here(tmp_path: Path) -> None:
    """Nothing is written beside a remote store's tables."""
    assert raysurf(f"plot profile --results file://{tmp_path}/results") == (0, "profile.png\n", "")
    assert Path("profile.png").exists()
    assert not Path("results/pictures").exists()


def test_output_and_choice() -> None:
    """-o says where and as what; --sweep, --run and --x are taken."""
    asked = "plot profile --sweep study --run profile-0007 --x arc -o deep/a.svg"
    assert raysurf(asked) == (0, "deep/a.svg\n", "")
    said = "<!-- arc length from the first network -->"
    assert said in Path("deep/a.svg").read_text()


def test_rates_of_a_file() -> None:
    """With a file no store is needed: its training jobs are drawn, SGD before SWA, of the sweeps that are asked for."""
    Path("a.yaml").write_text(PLANNED)
    assert raysurf("plot schedule a.yaml --results nowhere") == (0, "schedule.png\n", "")
    with Image.open("schedule.png") as image:
        assert image.width > 800
    assert raysurf("plot schedule a.yaml -o a.svg --sweep averages") == (0, "a.svg\n", "")
    text = Path("a.svg").read_text()
    for said in ("→ swa cyclic", "swa cyclic: cycle_epochs = 4", "weights are taken", "epochs, inputs included"):
        assert f"<!-- {said} -->" in text
    assert "sgd cosine" not in text
    assert raysurf("plot schedule a.yaml -o a.html").code == 0
    assert "drawn by raysurf before anything is trained" in Path("a.html").read_text()
    assert not Path("results/pictures").exists()


def test_page_of_a_sweep() -> None:
    """``raysurf report`` prints its page's path alone; without -o it is report.html."""
    large_sweep(Path("large"), trials=3, epochs=1, nodes=2, planes=0)
    assert raysurf(f"report {SWEEP} --results large") == (0, "report.html\n", "")
    assert raysurf(f"report {SWEEP} -o deep/page.html --results large") == (0, "deep/page.html\n", "")
    assert "<h1>large: report</h1>" in Path("deep/page.html").read_text()
    assert Path("report.html").stat().st_size < 500_000
    assert raysurf(f"report {SWEEP} --interactive -o more.html --results large").code == 0
    assert Path("more.html").stat().st_size > 4_000_000


def test_kinds_are_those_of_the_report() -> None:
    """The command, which imports nothing for its help, offers every picture that there is."""
    assert tuple(KINDS) == PICTURES

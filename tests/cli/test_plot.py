"""``raysurf plot``, as a user types it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from raysurf.cli import main
from raysurf.cli.pictures import PICTURES
from raysurf.report.draw import KINDS
from tests.support.measured_rows import along, points, run, run_id, store

Plot = Callable[..., tuple[int, str, str]]
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


@pytest.fixture
def plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plot:
    """The command in a folder whose ``results`` has one profile; it gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    rows = points(CURVE, "curve", along(5, 3.0), lambda place: 1.0)
    store(Path("results"), [run(CURVE, {"kind": "profile", "along": {"kind": "curve"}})], rows)

    def typed(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raysurf", "plot", *arguments])
        code = main._run()
        return code, *capsys.readouterr()

    return typed


def test_default_place(plot: Plot) -> None:
    """The picture goes into the store's folder of pictures, and its path alone is on stdout."""
    assert plot("profile") == (0, "results/pictures/profile.png\n", "")
    with Image.open("results/pictures/profile.png") as image:
        assert image.width > 1000


def test_a_store_at_an_address_has_its_pictures_here(plot: Plot, tmp_path: Path) -> None:
    """Nothing is written beside a remote store's tables."""
    assert plot("profile", "--results", f"file://{tmp_path}/results") == (0, "profile.png\n", "")
    assert Path("profile.png").exists()
    assert not Path("results/pictures").exists()


def test_output_and_choice(plot: Plot) -> None:
    """-o says where and as what; --sweep, --run and --x are taken."""
    asked = ("profile", "--sweep", "study", "--run", "profile-0007", "--x", "arc", "-o", "deep/a.svg")
    assert plot(*asked) == (0, "deep/a.svg\n", "")
    said = "<!-- arc length from the first network -->"
    assert said in Path("deep/a.svg").read_text()


def test_rates_of_a_file(plot: Plot) -> None:
    """With a file no store is needed: its training jobs are drawn, SGD before SWA, of the sweeps that are asked for."""
    Path("a.yaml").write_text(PLANNED)
    assert plot("schedule", "a.yaml", "--results", "nowhere") == (0, "schedule.png\n", "")
    with Image.open("schedule.png") as image:
        assert image.width > 800
    assert plot("schedule", "a.yaml", "-o", "a.svg", "--sweep", "averages") == (0, "a.svg\n", "")
    text = Path("a.svg").read_text()
    for said in ("→ swa cyclic", "swa cyclic: cycle_epochs = 4", "weights are taken", "epochs, inputs included"):
        assert f"<!-- {said} -->" in text
    assert "sgd cosine" not in text
    assert plot("schedule", "a.yaml", "-o", "a.html")[0] == 0
    assert "drawn by raysurf before anything is trained" in Path("a.html").read_text()
    assert not Path("results/pictures").exists()


@pytest.mark.parametrize(
    ("edit", "arguments", "said"),
    [
        ("high: -0.1", (), "job.schedule.high: got -0.1; expected greater than 0"),
        ("high: .inf", (), "a.yaml:5: job.schedule.high: got .inf; expected a finite number"),
        ("high: .nan", (), "a.yaml:5: job.schedule.high: got .nan; expected a finite number"),
        ("high: 0", (), "job.schedule.high: got 0; expected greater than 0"),
        ("high: 0.1", ("--sweep", "avrages"), "did you mean 'averages'"),
        ("high: 0.1", ("--run", "a"), "a file is for schedule, without --run"),
        ("high: 0.1", ("-o", "a.eps"), "expected a name that ends in .png, .svg, .pdf, .html"),
    ],
)
def test_mistakes_of_a_file_exit_with_2(plot: Plot, edit: str, arguments: tuple[str, ...], said: str) -> None:
    """A rate that is not positive and finite is told with its field; nothing is written."""
    Path("a.yaml").write_text(PLANNED.replace("high: 0.1", edit))
    code, out, err = plot("schedule", "a.yaml", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert sorted(path.name for path in Path().iterdir()) == ["a.yaml", "results"]


def test_a_file_that_trains_nothing(plot: Plot) -> None:
    """Weights from a file have no rates to draw."""
    Path("a.yaml").write_text("{kind: predict, weights: {kind: weights, file: a.pt, model: lenet5, data: digits}}")
    code, _, err = plot("schedule", "a.yaml")
    assert code == 2
    assert "a.yaml" in err
    assert "got no training job" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("profile", "a.yaml"), "a file is for schedule"),
        (("schedule",), "no epochs of training"),
        (("schedule", "nope.yaml"), "nope.yaml: No such file"),
        (("profiles",), "'profiles' is not one of"),
        (("profile", "--sweep", "studdy"), "did you mean 'study'"),
        (("profile", "--run", "nope"), f"expected one profile run of {CURVE}"),
        (("plane",), "no measured points of a plane run"),
        (("profile", "-o", "a.eps"), "expected a name that ends in .png, .svg, .pdf, .html"),
        (("plane", "--x", "t"), "--x is for profile and path"),
        (("schemes", "--x", "distance"), "--x is for profile and path"),
        (("schemes",), "no predictions of an ensemble"),
        (("activations", "--sweep", "study"), "no activations of a noise run in study"),
        (("toy", "--run", "profile-0007"), "no measured run 'profile-0007'; expected one regions run of (none yet)"),
        (("profile", "--results", "nowhere"), "expected a store that a sweep has written"),
    ],
)
def test_mistakes_exit_with_2(plot: Plot, arguments: tuple[str, ...], said: str) -> None:
    """A mistake is told on stderr, with what there is; nothing is written."""
    code, out, err = plot(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert [path.name for path in Path().iterdir()] == ["results"]
    assert not Path("results/pictures").exists()


def test_kinds_are_those_of_the_report() -> None:
    """The command, which imports nothing for its help, offers every picture that there is."""
    assert tuple(KINDS) == PICTURES

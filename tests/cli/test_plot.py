"""``raysurf plot``, as a user types it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from raysurf.cli import main
from raysurf.cli.plot import PICTURES
from raysurf.report.draw import KINDS
from tests.report.measured import along, points, run, run_id, store

Plot = Callable[..., tuple[int, str, str]]
CURVE = run_id("profile", 7)


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
    asked = ("profile", "--sweep", "study", "--run", "profile-0007", "--x", "distance", "-o", "deep/a.svg")
    assert plot(*asked) == (0, "deep/a.svg\n", "")
    assert "<!-- weight distance from the first network -->" in Path("deep/a.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("profiles",), "'profiles' is not one of"),
        (("profile", "--sweep", "studdy"), "did you mean 'study'"),
        (("profile", "--run", "nope"), f"expected one profile run of {CURVE}"),
        (("plane",), "no measured points of a plane run"),
        (("profile", "-o", "a.pdf"), "expected a name that ends in .png, .svg, .html"),
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

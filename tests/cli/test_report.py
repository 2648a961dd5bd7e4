"""``raysurf report``, as a user types it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raysurf.cli import main
from tests.support.large_sweep import SWEEP, large_sweep

Report = Callable[..., tuple[int, str, str]]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Report:
    """The command in a folder whose ``results`` has one sweep; it gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    large_sweep(Path("results"), trials=3, epochs=1, nodes=2, planes=0)

    def typed(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raysurf", "report", *arguments])
        code = main._run()
        return code, *capsys.readouterr()

    return typed


def test_page_is_written(report: Report) -> None:
    """The page's path alone is on stdout; without -o it is report.html."""
    assert report(SWEEP) == (0, "report.html\n", "")
    assert report(SWEEP, "-o", "deep/page.html", "--results", "results") == (0, "deep/page.html\n", "")
    assert "<h1>large: report</h1>" in Path("deep/page.html").read_text()
    assert Path("report.html").stat().st_size < 500_000
    assert report(SWEEP, "--interactive", "-o", "more.html")[0] == 0
    assert Path("more.html").stat().st_size > 4_000_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument"),
        (("larg",), "expected one of large (did you mean 'large'?)"),
        ((SWEEP, "nothing"), "unknown sweep: got 'nothing'"),
        ((SWEEP, "-o", "a.pdf"), "expected a name that ends in .html"),
        ((SWEEP, "--results", "nowhere"), "expected a store that a sweep has written"),
    ],
)
def test_mistakes_exit_with_2(report: Report, arguments: tuple[str, ...], said: str) -> None:
    """A mistake is told on stderr, with what there is; nothing is written."""
    code, out, err = report(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert [path.name for path in Path().iterdir()] == ["results"]

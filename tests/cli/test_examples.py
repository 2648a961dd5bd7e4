"""Shipped sweeps by name: listed, copied with what they include, and run in place of a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from raysurf.cli.examples import examples, question
from raysurf.sweep.document import load
from tests.support.cases import ROOT
from tests.support.command import raysurf


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder, as somebody's who has only a wheel."""
    monkeypatch.chdir(tmp_path)


def test_every_shipped_sweep_is_listed_with_its_question() -> None:
    """A sweep is in the list once, by a name of its own, and says what it asks."""
    shipped = [path for path in (ROOT / "sweeps").rglob("*.yaml") if path.parent.name != "recipes"]
    assert sorted(examples()) == sorted(path.stem for path in shipped)
    listed = raysurf("examples").out
    for name, path in examples().items():
        assert re.search(rf"^  {name} +\S.*\?$", listed, re.M), name
        assert question(path).endswith("?")


def test_copies_run_by_themselves(tmp_path: Path) -> None:
    """A copy has the files that it includes beside it, and is the same sweeps; a second copy changes nothing."""
    for _ in range(2):
        done = raysurf("examples", "path_digits", "--to", "mine")
        assert done.code == 0
        copied = [tmp_path / line for line in done.out.splitlines()]
        assert sorted(path for path in (tmp_path / "mine").rglob("*.*")) == sorted(copied)
        [path] = [path for path in copied if path.stem == "path_digits"]
        assert [sweep.job for sweep in load(path)] == [sweep.job for sweep in load(examples()["path_digits"])]


def test_a_copy_replaces_no_other_file(tmp_path: Path) -> None:
    """A file of that name with another content is kept, and nothing else is copied."""
    [first, *_] = raysurf("examples", "path_digits").out.splitlines()
    others = [path for path in tmp_path.rglob("*.yaml") if path != tmp_path / first]
    for path in others:
        path.unlink()
    (tmp_path / first).write_text("mine")
    done = raysurf("examples", "path_digits")
    assert (done.code, (tmp_path / first).read_text()) == (2, "mine")
    assert first in done.err and not any(path.exists() for path in others)


def test_a_name_stands_for_a_file(tmp_path: Path) -> None:
    """``check`` takes a shipped sweep's name, unless there is a file of that name; unknown names are errors."""
    assert "quickstart-swa" in raysurf("check", "quickstart").out
    (tmp_path / "quickstart").write_text("{kind: nothing}")
    assert raysurf("check", "quickstart").code == 2
    assert "did you mean 'path_digits'" in raysurf("examples", "pth_digits").err


def test_schema_is_printed() -> None:
    """``raysurf schema`` prints a JSON schema of the sweeps that a file may hold."""
    schema = json.loads(raysurf("schema").out)
    assert schema["$schema"].startswith("https://json-schema.org/") and "SGD" in schema["$defs"]

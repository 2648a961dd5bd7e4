"""A sweep file's parts are found, so that all of it can travel."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysurf.errors import SpecError
from raysurf.sweep.includes import files_of
from tests.support.cases import ROOT


def test_includes_are_found_wherever_they_stand(tmp_path: Path) -> None:
    """In lists, under merges, in holes, in further documents, and through other files; each once, in any order."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "a.yaml").write_text(
        "job: !choice [!include parts/b.yaml, {<<: !include parts/c.yaml, lr: 1}]\n---\njob: !include parts/b.yaml\n"
    )
    (tmp_path / "parts" / "b.yaml").write_text("start: !include ../d.yaml\n")
    (tmp_path / "parts" / "c.yaml").write_text("lr: 2\n")
    (tmp_path / "d.yaml").write_text("x: &x {y: 1}\nz: *x\n")
    first, *others = files_of(tmp_path / "a.yaml")
    assert first == tmp_path / "a.yaml"
    assert sorted(path.relative_to(tmp_path).as_posix() for path in others) == [
        "d.yaml",
        "parts/b.yaml",
        "parts/c.yaml",
    ]


def test_quickstart_has_its_recipe() -> None:
    """A shipped sweep's recipe is one of its files."""
    assert ROOT / "sweeps" / "recipes" / "digits_sgd.yaml" in files_of(ROOT / "sweeps" / "quickstart.yaml")


def test_absolute_includes_are_told(tmp_path: Path) -> None:
    """A path that is this machine's alone is an error with its line."""
    (tmp_path / "a.yaml").write_text("name: x\njob: !include /tmp/b.yaml\n")
    with pytest.raises(
        SpecError, match=r"a\.yaml:2: !include: got the absolute path /tmp/b\.yaml; expected .* relative"
    ):
        files_of(tmp_path / "a.yaml")
